"""Laws that every network keeps; each runs on every network that is registered."""

import pytest
import torch
from torch import Tensor

from passion.networks import NETWORKS, Segmenter, all_subsets, build

SMALL = {"mmformer": {"width": 4, "token_dim": 16, "token_hidden": 16, "heads": 2}}
SHAPES = [(name, modalities, classes, dims) for name in NETWORKS for modalities, classes, dims in
          ((2, 2, 2), (3, 6, 2), (5, 3, 2), (4, 4, 3))]  # fmt: skip


@pytest.fixture(params=SHAPES, ids=str)
def network(request: pytest.FixtureRequest) -> Segmenter:
    name, modalities, classes, dims = request.param
    torch.manual_seed(0)
    options = dict(modalities=modalities, classes=classes, spatial_dims=dims, patch_size=32, **SMALL[name])
    return build(name, **options).double().eval()


def images_of(network: Segmenter, batch: int) -> Tensor:
    return torch.randn(batch, network.modalities, *network.patch_size, dtype=torch.float64)


def presence_of(network: Segmenter, batch: int) -> Tensor:
    """Rows that differ, the last modality absent from the first and present in the second."""
    present = torch.zeros(batch, network.modalities, dtype=torch.bool)
    present[:, 0] = True
    present[1:] = True
    return present


def test_what_stands_in_absent_voxels_changes_nothing(network: Segmenter) -> None:
    images, present = images_of(network, 2), presence_of(network, 2)
    poisoned = torch.where(present.view(2, -1, *[1] * network.spatial_dims), images, torch.nan)
    case = torch.arange(2)
    clean, dirty = (network.decode(network.encode(x, present), case, present) for x in (images, poisoned))
    assert torch.equal(clean.logits, dirty.logits)
    assert torch.equal(clean.features, dirty.features)


def test_an_absent_modality_gets_zero_gradient(network: Segmenter) -> None:
    images, present = images_of(network, 1).requires_grad_(), presence_of(network, 1)
    out = network.decode(network.encode(images, present), torch.tensor([0]), present)
    out.logits.square().sum().backward()
    assert images.grad is not None
    assert (images.grad[:, 1:] == 0).all()
    assert (images.grad[:, 0] != 0).any()


def test_the_optimiser_passes_over_encoders_of_absent_modalities(network: Segmenter) -> None:
    present = presence_of(network, 1)
    before = {name: value.clone() for name, value in network.named_parameters()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
    out = network.decode(network.encode(images_of(network, 1), present), torch.tensor([0]), present)
    out.logits.square().sum().backward()
    optimiser.step()
    for name, value in network.named_parameters():
        if name.startswith("encoders."):
            assert torch.equal(value, before[name]) == (not name.startswith("encoders.0."))


def test_a_case_scores_the_same_alone_and_in_a_batch(network: Segmenter) -> None:
    images, present = images_of(network, 3), presence_of(network, 3)
    together = network.decode(network.encode(images, present), torch.arange(3), present)
    for row in range(3):
        one = slice(row, row + 1)
        alone = network.decode(network.encode(images[one], present[one]), torch.tensor([0]), present[one])
        torch.testing.assert_close(alone.logits[0], together.logits[row], rtol=1e-8, atol=1e-8)


def test_every_subset_at_once_is_every_subset_alone(network: Segmenter) -> None:
    images, subsets = images_of(network, 1), all_subsets(network.modalities)
    encoding = network.encode(images, torch.ones(1, network.modalities, dtype=torch.bool))
    together = network.decode(encoding, torch.zeros(len(subsets), dtype=torch.int64), subsets)
    for row, subset in enumerate(subsets):
        alone = network.decode(network.encode(images, subset[None]), torch.tensor([0]), subset[None])
        torch.testing.assert_close(alone.logits[0], together.logits[row], rtol=1e-8, atol=1e-8)
        for own, shared in zip(alone.deep_logits, together.deep_logits, strict=True):
            torch.testing.assert_close(own[0], shared[row], rtol=1e-8, atol=1e-8)


def test_permuting_modalities_permutes_everything(network: Segmenter) -> None:
    """With aligned tokens: the published layout mixes places, so that the order of modalities matters."""
    network.token_layout = "aligned"
    images, present = images_of(network, 2), presence_of(network, 2)
    order = torch.arange(network.modalities).roll(1)
    before = network.decode(network.encode(images, present), torch.arange(2), present).logits
    permute_parameters(network, order)
    after = network.decode(network.encode(images[:, order], present[:, order]), torch.arange(2), present[:, order])
    torch.testing.assert_close(after.logits, before, rtol=1e-8, atol=1e-8)


def permute_parameters(network: Segmenter, order: Tensor) -> None:
    modalities = len(order)
    for name in ("encoders", "to_tokens", "intra"):
        layers = getattr(network, name)
        setattr(network, name, torch.nn.ModuleList(layers[index] for index in order.tolist()))
    network.positions.data = network.positions.data[order]

    def blocks(weight: Tensor, axis: int) -> Tensor:
        return torch.cat([weight.chunk(modalities, axis)[index] for index in order.tolist()], axis)

    network.from_tokens.weight.data = blocks(network.from_tokens.weight.data, 1)
    decoder = network.fusion_decoder
    for layer in [*[fuse.convolution for fuse in decoder.fuse], decoder.fuse_bottleneck.convolution]:
        if layer is not decoder.fuse_bottleneck.convolution:
            layer.weight.data = blocks(layer.weight.data, 1)
