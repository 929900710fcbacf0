"""Weights that another network of the same kind takes over."""

import pytest
import torch

from passion.errors import InputError
from passion.networks import NETWORKS, Segmenter, build, network_class
from passion.networks.adoption import adopt

WITH_ENCODERS = [name for name in NETWORKS if name != "early_fusion"]


def made(name: str, modalities: int, seed: int, **more: object) -> Segmenter:
    torch.manual_seed(seed)
    options = {**network_class(name).TINY, "spatial_dims": 2, "classes": 3, **more}
    return build(name, modalities=modalities, patch_size=32, **options).double().eval()


def answer(network: Segmenter, images: torch.Tensor) -> torch.Tensor:
    seen = torch.ones(1, network.modalities, dtype=torch.bool)
    return network.decode(network.encode(images, seen), torch.tensor([0]), seen).logits


def alone(network: Segmenter, images: torch.Tensor, modality: int) -> torch.Tensor:
    seen = torch.ones(1, network.modalities, dtype=torch.bool)
    return network.decode_alone(network.encode(images, seen), torch.tensor([0]), torch.tensor([modality]))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_modalities_answer_alike(name: str) -> None:
    source, network, images = made(name, 3, 0), made(name, 3, 1), torch.randn(1, 3, 32, 32, dtype=torch.float64)
    assert not torch.allclose(answer(network, images), answer(source, images))
    adopt(network, source, [(0, 0), (1, 1), (2, 2)], own=set())
    torch.testing.assert_close(answer(network, images), answer(source, images))


@pytest.mark.parametrize("name", WITH_ENCODERS)
@pytest.mark.parametrize(("modalities", "shared"), [(3, [(2, 0), (0, 1), (1, 2)]), (2, [(0, 2), (1, 0)]),
                                                    (5, [(4, 0), (0, 2)])])  # fmt: skip
def test_each_modality_alone_answers_as_in_the_source(
    name: str, modalities: int, shared: list[tuple[int, int]]
) -> None:
    source, network, fresh = made(name, 3, 0), made(name, modalities, 1), made(name, modalities, 1)
    adopt(network, source, shared, own=set())
    image = torch.randn(1, 1, 32, 32, dtype=torch.float64)
    here, there = image.expand(1, modalities, -1, -1), image.expand(1, 3, -1, -1)
    for place, theirs in shared:
        torch.testing.assert_close(alone(network, here, place), alone(source, there, theirs))
    for name_, value in network.state_dict().items():
        words = name_.split(".")
        if words[0] == "encoders" and int(words[1]) not in dict(shared):
            assert torch.equal(value, fresh.state_dict()[name_])


@pytest.mark.parametrize("name", ["rfnet", "m2ftrans"])
def test_without_a_modality_it_answers_as_the_source_where_that_one_is_absent(name: str) -> None:
    """mmFormer's tokens see an absent modality's positions, so that of it only the parts are the same."""
    source, network, images = made(name, 3, 0), made(name, 2, 1), torch.randn(1, 3, 32, 32, dtype=torch.float64)
    adopt(network, source, [(0, 2), (1, 0)], own=set())
    seen = torch.tensor([[True, False, True]])
    theirs = source.decode(source.encode(images, seen), torch.tensor([0]), seen).logits
    torch.testing.assert_close(answer(network, images[:, [2, 0]]), theirs)


def test_what_has_no_counterpart_is_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        adopt(made("rfnet", 2, 0), made("rfnet", 2, 0, width=8), [(0, 0), (1, 1)], own=set())
    with pytest.raises(InputError, match="it has no unimodal_decoder"):
        adopt(made("rfnet", 2, 0), made("rfnet", 2, 0, unimodal_decoder=False), [(0, 0), (1, 1)], own=set())
    with pytest.raises(InputError, match="order"):
        adopt(made("early_fusion", 3, 0), made("early_fusion", 2, 0), [(0, 0), (1, 1)], own=set())
