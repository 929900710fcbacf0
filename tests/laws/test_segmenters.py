"""Laws that every network keeps; each runs on every network that is registered."""

import pytest
import torch
from torch import Tensor

from passion.errors import InputError
from passion.networks import NETWORKS, Segmenter, all_subsets, build, network_class

SHAPES = [(name, modalities, classes, dims) for name in NETWORKS for modalities, classes, dims in
          ((2, 2, 2), (3, 6, 2), (5, 3, 2), (4, 4, 3))]  # fmt: skip


@pytest.fixture(params=SHAPES, ids=str)
def network(request: pytest.FixtureRequest) -> Segmenter:
    name, modalities, classes, dims = request.param
    torch.manual_seed(0)
    options = {**network_class(name).TINY, "modalities": modalities, "classes": classes, "spatial_dims": dims}
    return build(name, patch_size=32, **options).double().eval()


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
    images, present = images_of(network, 2), presence_of(network, 2)
    order = torch.arange(network.modalities).roll(1)
    first, ours = torch.tensor([0, 1]), torch.tensor([0, 0])
    encoding = network.encode(images, present)
    before, alone_before = network.decode(encoding, first, present), network.decode_alone(encoding, first, ours)
    network.reorder(order)
    encoding = network.encode(images[:, order], present[:, order])
    after = network.decode(encoding, first, present[:, order])
    theirs = (order == 0).nonzero().flatten().expand(2)
    alone_after = network.decode_alone(encoding, first, theirs)
    torch.testing.assert_close(after.logits, before.logits, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(after.features, before.features, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(alone_after, alone_before, rtol=1e-8, atol=1e-8)


def test_the_unimodal_decoder_sees_its_modality_and_nothing_else(network: Segmenter) -> None:
    images, present = images_of(network, 2), presence_of(network, 2)
    poisoned = torch.where(present.view(2, -1, *[1] * network.spatial_dims), images, torch.nan)
    case, modality = torch.tensor([1, 0, 1]), torch.tensor([0, 0, network.modalities - 1])
    together = network.decode_alone(network.encode(poisoned, present), case, modality)
    for row in range(3):
        alone = torch.zeros(1, network.modalities, dtype=torch.bool)
        alone[0, modality[row]] = True
        encoding = network.encode(images[case[row], None], alone)
        own = network.decode_alone(encoding, torch.tensor([0]), modality[row, None])
        torch.testing.assert_close(own[0], together[row], rtol=1e-8, atol=1e-8)


def test_deep_heads_run_from_fine_to_coarse(network: Segmenter) -> None:
    images = images_of(network, 1)
    subset = torch.ones(1, network.modalities, dtype=torch.bool)
    out = network.decode(network.encode(images, subset), torch.tensor([0]), subset)
    assert out.logits.shape == (1, network.classes, *network.patch_size)
    assert out.features.shape[2:] == out.logits.shape[2:]
    extents = [deep.shape[2] for deep in out.deep_logits]
    assert extents == sorted(extents, reverse=True)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("wrong", [{"modalities": 0}, {"classes": 1}, {"spatial_dims": 4}], ids=str)
def test_refuses_a_task_that_is_none(name: str, wrong: dict[str, int]) -> None:
    options = {**network_class(name).TINY, "modalities": 2, "classes": 2, "spatial_dims": 2, **wrong}
    with pytest.raises(InputError, match=next(iter(wrong))):
        build(name, patch_size=32, **options)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "early_fusion"])
def test_a_case_without_any_modality_is_refused(name: str) -> None:
    options = {**network_class(name).TINY, "modalities": 2, "classes": 2, "spatial_dims": 2}
    network = build(name, patch_size=32, **options)
    with pytest.raises(ValueError, match=r"present: row 1 has no modality"):
        network.encode(images_of(network, 2).float(), torch.tensor([[True, False], [False, False]]))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("patch_size", [[32], [32, 32, 32], [32, -32], 0], ids=str)
def test_refuses_a_patch_that_is_none(name: str, patch_size: int | list[int]) -> None:
    options = {**network_class(name).TINY, "modalities": 2, "classes": 2, "spatial_dims": 2}
    with pytest.raises(InputError, match="patch_size"):
        build(name, patch_size=patch_size, **options)
