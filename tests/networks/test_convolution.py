"""Our convolution against PyTorch's own, forward and backward, and against zeros and reflections as padding."""

import copy

import pytest
import torch
from torch import nn

from passion.errors import InputError
from passion.networks import build, network_class
from passion.networks.convolution import Convolution3d


@pytest.mark.parametrize("channels", [(1, 8), (8, 8), (16, 8), (3, 4), (8, 16), (2, 9)])
@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("space", [(5, 6, 7), (4, 5, 6)])
def test_equals_pytorch(channels: tuple[int, int], padding: str, stride: int, space: tuple[int, ...]) -> None:
    check_equal(channels, space, stride=stride, padding_mode=padding)


def test_equals_pytorch_where_channels_stand_alone() -> None:
    check_equal((4, 4), (4, 5, 6), groups=4)


def check_equal(channels: tuple[int, int], space: tuple[int, ...], **chosen: object) -> None:
    torch.manual_seed(0)
    options = {"kernel_size": 3, "padding": 1, "dtype": torch.float64, **chosen}
    plain = nn.Conv3d(*channels, **options)
    ours = Convolution3d(*channels, **options)
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(2, channels[0], *space, dtype=torch.float64)
    results = []
    for layer in (plain, ours):
        images = x.clone().requires_grad_()
        out = layer(images)
        (out * torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out)).sum().backward()
        results.append((out, images.grad, layer.weight.grad, layer.bias.grad))
    for theirs, own in zip(*results, strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-12, atol=1e-12)


def test_a_frozen_input_gets_no_gradient_and_no_bias_is_needed() -> None:
    layer = Convolution3d(2, 4, 3, padding=1, bias=False)
    images = torch.randn(1, 2, 4, 4, 4)
    layer(images).sum().backward()
    assert images.grad is None
    assert layer.weight.grad is not None


def test_autocast_convolves_in_bf16_and_keeps_fp32_gradients() -> None:
    torch.manual_seed(0)
    layer = Convolution3d(8, 8, 3, padding=1, padding_mode="reflect")
    exact = copy.deepcopy(layer)
    images = torch.randn(1, 8, 6, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(images)
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    exact(images).square().sum().backward()
    assert layer.weight.grad.dtype == torch.float32
    torch.testing.assert_close(layer.weight.grad, exact.weight.grad, rtol=0.05, atol=1.0)


@pytest.mark.parametrize("name", ["mmformer", "rfnet", "m2ftrans"])
def test_recomputing_changes_neither_answers_nor_gradients(name: str) -> None:
    results = []
    for recompute in (False, True):
        torch.manual_seed(0)
        network = build(name, modalities=2, classes=3, patch_size=32, **{**network_class(name).TINY, "width": 4})
        if recompute:
            network.recompute_activations()
        encoding = network.encode(torch.randn(1, 2, 32, 32, 32), torch.ones(1, 2, dtype=torch.bool))
        answer = network.decode(
            encoding, torch.zeros(2, dtype=torch.int64), torch.tensor([[True, True], [True, False]])
        )
        answer.logits.square().mean().backward()
        gradients = {key: value.grad for key, value in network.named_parameters() if value.grad is not None}
        results.append((answer.logits, gradients))
    (plain, gradients), (again, recomputed) = results
    assert torch.equal(plain, again)
    assert gradients.keys() == recomputed.keys()
    assert all(torch.equal(gradients[key], recomputed[key]) for key in gradients)


def test_a_network_that_cannot_recompute_says_so() -> None:
    network = build("early_fusion", modalities=2, classes=3, patch_size=32, class_path="monai.networks.nets.BasicUNet")
    with pytest.raises(InputError, match="recompute"):
        network.recompute_activations()
