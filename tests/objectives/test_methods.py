"""The methods that are compared: what ModDrop feeds, what PMR weighs; and laws of every method that is found."""

import math

import numpy as np
import pytest
import torch

from passion.data.loading import Batch
from passion.networks import Segmenter, build
from passion.objectives import OBJECTIVES, objective_class
from passion.objectives.distillation import decode_fed_and_alone
from passion.objectives.moddrop import ModDrop
from passion.objectives.pmr import PMR, prototype_scores
from passion.objectives.segmentation import unimodal_losses

MODALITIES = 3


def network_for(objective: torch.nn.Module) -> Segmenter:
    torch.manual_seed(0)
    return build(
        "mmformer", modalities=MODALITIES, classes=3, spatial_dims=2, width=4, patch_size=32, token_dim=16,
        token_hidden=16, heads=2, unimodal_decoder=objective.needs_unimodal_decoder,
    ).double().eval()  # fmt: skip


def batch_of(present: torch.Tensor, seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    size = (len(present), 32, 32)
    images = torch.randn(len(present), MODALITIES, 32, 32, generator=random, dtype=torch.float64)
    return Batch(images, present, present, torch.randint(0, 3, size, generator=random))


def rows(batch: Batch, index: slice) -> Batch:
    return Batch(batch.images[index], batch.present[index], batch.fed[index], batch.target[index])


@pytest.fixture(params=OBJECTIVES)
def objective(request: pytest.FixtureRequest) -> torch.nn.Module:
    return objective_class(request.param)(torch.tensor([1.0, 2.0, 3.0]))


PRESENT = torch.tensor([[True, True, False], [True, False, False], [True, True, True]])


def test_terms_of_a_sample_do_not_depend_on_its_batch_mates(objective: torch.nn.Module) -> None:
    network, batch = network_for(objective), batch_of(PRESENT)
    objective.feed = lambda batch: batch.fed
    together = objective(network, batch).terms
    for row in range(len(PRESENT)):
        alone = objective(network, rows(batch, slice(row, row + 1))).terms
        for name, term in together.items():
            torch.testing.assert_close(alone[name].per_sample[0], term.per_sample[row], rtol=1e-5, atol=1e-7)


def test_what_stands_in_absent_voxels_changes_no_term(objective: torch.nn.Module) -> None:
    network, batch = network_for(objective), batch_of(PRESENT)
    poisoned = torch.where(PRESENT[:, :, None, None], batch.images, torch.nan)
    torch.manual_seed(1)
    clean = objective(network, batch)
    torch.manual_seed(1)
    dirty = objective(network, Batch(poisoned, PRESENT, PRESENT, batch.target))
    for name, term in clean.terms.items():
        assert torch.equal(dirty.terms[name].per_sample, term.per_sample), name
        if term.value.ndim == 2:
            assert (term.value[~PRESENT] == 0).all(), name


def test_every_method_trains_when_modalities_are_fed_at_random(objective: torch.nn.Module) -> None:
    everything = torch.ones(2, MODALITIES, dtype=torch.bool)
    batch = batch_of(everything)
    fed = torch.tensor([[True, False, False], [True, False, True]])
    losses = objective(network_for(objective), Batch(batch.images, everything, fed, batch.target))
    losses.total.backward()
    assert torch.isfinite(losses.total)


ONLY_DECODER = {"spatial_dims": 2, "patch_size": 32, "init_args": {"features": [4, 4, 8, 8, 16, 4]}}


@pytest.mark.parametrize(("name", "options"), [("pmr", {}), ("passion", {"form": "reference"})])
def test_a_network_with_one_decoder_answers_no_question_twice(name: str, options: dict[str, str]) -> None:
    """Three teachers, and three modalities that are not all that a teacher was fed."""
    torch.manual_seed(0)
    network = build("early_fusion", modalities=MODALITIES, classes=3, **ONLY_DECODER).double().eval()
    present = torch.tensor([[True, True, False], [True, False, False], [True, False, True]])
    fed = torch.tensor([[True, True, False], [True, False, False], [True, False, False]])
    batch = Batch(torch.randn(3, MODALITIES, 32, 32, dtype=torch.float64), present, fed,
                  torch.randint(0, 3, (3, 32, 32)))  # fmt: skip
    asked = []
    network.network.register_forward_pre_hook(lambda _, inputs: asked.append(len(inputs[0])))
    terms = objective_class(name)(torch.ones(MODALITIES), **options)(network, batch).terms
    assert sum(asked) == 6
    expected = unimodal_losses(network, network.encode(batch.images, present), batch.target)
    torch.testing.assert_close(terms["unimodal"].value, expected)


def test_pmr_asks_a_teacher_that_was_fed_one_modality_for_its_prototypes() -> None:
    network, everything = network_for(PMR(torch.ones(MODALITIES))), torch.ones(1, MODALITIES, dtype=torch.bool)
    encoding = network.encode(batch_of(everything).images, everything)
    fed = torch.tensor([[False, True, False]])
    decoded = decode_fed_and_alone(network, encoding, fed, everything)
    apart = network.decode(encoding, torch.zeros(3, dtype=torch.int64), torch.eye(3, dtype=torch.bool))
    torch.testing.assert_close(decoded.students.features, apart.features)
    torch.testing.assert_close(decoded.students.logits, apart.logits)
    assert torch.equal(decoded.students.features[1], decoded.teacher.features[0])


def test_moddrop_feeds_every_subset_of_what_is_there_as_often() -> None:
    batch = batch_of(torch.tensor([[True, False, True]]).repeat(6000, 1)[:, :MODALITIES])
    torch.manual_seed(0)
    fed = ModDrop(torch.ones(MODALITIES)).feed(batch)
    kinds, counts = torch.unique(fed, dim=0, return_counts=True)
    assert kinds.int().tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 1]]
    assert (counts.double() / 6000 - 1 / 3).abs().max() < 0.03


def test_moddrop_draws_from_what_is_there_whatever_is_fed() -> None:
    """In perfect data training a random subset is fed; to draw from it again would drop more."""
    everything = torch.ones(7000, MODALITIES, dtype=torch.bool)
    batch = batch_of(everything[:1])
    alone = torch.zeros_like(everything)
    alone[:, 0] = True
    torch.manual_seed(0)
    fed = ModDrop(torch.ones(MODALITIES)).feed(Batch(batch.images, everything, alone, batch.target))
    kinds, counts = torch.unique(fed, dim=0, return_counts=True)
    assert len(kinds) == 2**MODALITIES - 1
    assert (counts.double() / 7000 - 1 / 7).abs().max() < 0.02


def test_moddrop_rate_is_the_chance_to_be_dropped_given_that_one_is_left() -> None:
    batch = batch_of(torch.ones(20000, MODALITIES, dtype=torch.bool))
    torch.manual_seed(0)
    fed = ModDrop(torch.ones(MODALITIES), drop_rate=0.2).feed(batch)
    assert fed.any(1).all()
    assert fed.double().mean().item() == pytest.approx(0.8 / (1 - 0.2**3), abs=0.01)


def slow_prototype_scores(features: np.ndarray, target: np.ndarray, classes: int) -> tuple[float, float, float]:
    """Voxel by voxel: (F, *space) and (*space)."""
    there = [k for k in range(classes) if (target == k).any()]
    prototypes = {k: features[:, target == k].mean(1) for k in there}
    cross_entropy, entropy, score = [], [], []
    for place in np.ndindex(target.shape):
        distances = {k: math.dist(features[(slice(None), *place)], prototypes[k]) for k in there}
        total = sum(math.exp(-d) for d in distances.values())
        p = {k: math.exp(-d) / total for k, d in distances.items()}
        cross_entropy.append(-math.log(max(p[target[place]], 0.005)))
        entropy.append(-sum(q * math.log(max(q, 0.005)) for q in p.values()))
        score.append(p[target[place]])
    return float(np.mean(cross_entropy)), float(np.mean(entropy)), float(np.mean(score))


def test_prototype_scores() -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(2, 5, 4, 6, generator=random) * 2
    target = torch.randint(0, 3, (2, 4, 6), generator=random)
    target[1][target[1] == 2] = 0
    found = prototype_scores(features, target, 4)
    for row in range(2):
        expected = slow_prototype_scores(features[row].double().numpy(), target[row].numpy(), 4)
        got = (found.cross_entropy[row].item(), found.entropy[row].item(), found.score[row].item())
        assert got == pytest.approx(expected, rel=1e-4)


def test_pmr_lets_go_of_the_entropy_term_after_the_first_epochs() -> None:
    objective = PMR(torch.ones(MODALITIES), entropy_epochs=1)
    network, batch = network_for(objective), batch_of(PRESENT)
    early = objective(network, batch).terms["prototype_entropy"].per_sample
    objective.end_epoch()
    late = objective(network, batch).terms["prototype_entropy"].per_sample
    assert (early < 0).any()
    assert (late == 0).all()
