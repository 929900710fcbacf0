"""The losses against slow and obvious re-implementations, and the laws of preference."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from passion.data.loading import Batch
from passion.networks import Decoding, build
from passion.objectives import OBJECTIVES, measure_preference, objective_class
from passion.objectives.distillation import (
    TeacherAndStudents,
    pixel_distillation,
    semantic_distillation,
    softened_divergence,
)
from passion.objectives.preference import GradientWeight, relative_preference
from passion.objectives.segmentation import deep_supervision, segmentation_loss


def some_decoding(rows: int, seed: int) -> Decoding:
    random = torch.Generator().manual_seed(seed)
    logits, coarse = torch.randn(rows, 3, 4, 6, generator=random) * 3, torch.randn(rows, 3, 2, 3, generator=random)
    return Decoding(logits, (coarse,), torch.randn(rows, 5, 4, 6, generator=random))


def some_decoded(teachers: int = 2) -> TeacherAndStudents:
    """Of two samples with two students and one; or of one sample with three."""
    case = torch.tensor([0, 0, 1]) if teachers == 2 else torch.zeros(3, dtype=torch.int64)
    return TeacherAndStudents(some_decoding(teachers, 1), some_decoding(3, 0), case, torch.tensor([0, 1, 0]))


@pytest.fixture
def target() -> torch.Tensor:
    target = torch.randint(0, 3, (2, 4, 6), generator=torch.Generator().manual_seed(3))
    target[1][target[1] == 2] = 0
    return target


def slow_segmentation_loss(p: np.ndarray, y: np.ndarray) -> float:
    classes, dice, entropy = len(p), 0.0, 0.0
    for k in range(classes):
        dice += 2 * p[k][y == k].sum() / (p[k].sum() + (y == k).sum() + 1e-7) / classes
    for place in np.ndindex(y.shape):
        k = y[place]
        weight = 1 - (y == k).sum() / y.size
        entropy -= weight * math.log(min(max(p[k][place], 0.005), 1)) / y.size
    return 1 - dice + entropy


def up(p: torch.Tensor, size: torch.Size) -> torch.Tensor:
    return F.interpolate(p, size=size, mode="bilinear", align_corners=True)


def test_segmentation_loss_and_deep_supervision(target: torch.Tensor) -> None:
    decoding = some_decoding(2, 0)
    p = decoding.logits.softmax(1)
    deep = up(decoding.deep_logits[0].softmax(1), target.shape[1:])
    for row in range(2):
        y = target[row].numpy()
        assert segmentation_loss(p, target)[row].item() == pytest.approx(
            slow_segmentation_loss(p[row].numpy(), y), 1e-5
        )
        expected = 0.5 * slow_segmentation_loss(deep[row].numpy(), y)
        assert deep_supervision(decoding, target)[row].item() == pytest.approx(expected, 1e-5)


@pytest.mark.parametrize("teachers", [1, 2])
def test_pixel_distillation(teachers: int) -> None:
    decoded, tau = some_decoded(teachers), 4.0
    got = pixel_distillation(decoded, tau)
    student, teacher = decoded.students, decoded.teacher
    for row, case in enumerate(decoded.case.tolist()):
        expected = 0.0
        for weight, s, t in (
            (1, student.logits, teacher.logits),
            (0.5, student.deep_logits[0], teacher.deep_logits[0]),
        ):
            s, t = (
                up((z / tau).softmax(1), student.logits.shape[2:])[place].clamp(0.005, 1).numpy()
                for z, place in ((s, row), (t, case))
            )
            expected += weight * tau**2 * np.mean([a * math.log(a / b) for a, b in zip(t.flat, s.flat, strict=True)])
        assert got[row].item() == pytest.approx(expected, 1e-4)


@pytest.mark.parametrize("teachers", [1, 2])
def test_semantic_distillation(target: torch.Tensor, teachers: int) -> None:
    decoded = some_decoded(teachers)
    loss, gap = semantic_distillation(decoded, target[:teachers])
    for row, case in enumerate(decoded.case.tolist()):
        y, maps = target[case].numpy(), []
        for features in (decoded.students.features[row].numpy(), decoded.teacher.features[case].numpy()):
            for k in sorted(set(y.flat)):
                prototype = np.mean([features[(slice(None), *i)] for i in np.argwhere(y == k)], axis=0)
                norms = np.linalg.norm(features, axis=0) * np.linalg.norm(prototype)
                maps.append(np.einsum("f...,f->...", features, prototype) / norms)
        half = len(maps) // 2
        difference = np.array(maps[:half]) - np.array(maps[half:])
        assert loss[row].item() == pytest.approx((difference**2).mean(), 1e-4)
        assert gap[row].item() == pytest.approx(np.abs(difference).mean(), 1e-4)


def test_student_equal_to_teacher_gives_zero(target: torch.Tensor) -> None:
    decoded = TeacherAndStudents(some_decoding(2, 0), some_decoding(2, 0), torch.tensor([0, 1]), torch.tensor([0, 0]))
    loss, gap = semantic_distillation(decoded, target)
    assert pixel_distillation(decoded, 4.0).abs().max() == 0
    assert loss.abs().max() == 0
    assert gap.abs().max() == 0


def test_a_probability_that_underflows_has_no_gradient() -> None:
    logits = torch.zeros(1, 2, 4, 6)
    logits[0, 0, 0, 0] = 2000.0
    heads = [Decoding(z, (), torch.randn(1, 5, 4, 6)) for z in (torch.zeros(1, 2, 4, 6), logits.requires_grad_())]
    pixel_distillation(TeacherAndStudents(*heads, torch.tensor([0]), torch.tensor([0])), 4.0).sum().backward()
    assert torch.equal(logits.grad[0, :, 0, 0], torch.zeros(2))
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("teachers", [1, 2])
def test_gradient_of_the_clipped_divergence(teachers: int) -> None:
    random = torch.Generator().manual_seed(0)
    taught = [torch.rand(teachers, 3, 4, 5, generator=random, dtype=torch.float64)]
    learnt = torch.rand(2, 3, 4, 5, generator=random, dtype=torch.float64)
    learnt[0, 0, 0] = 0.001
    learnt.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: softened_divergence([s], taught, 4.0), learnt)
    expected = taught[0].clamp(0.005, 1) * (taught[0].clamp(0.005, 1) / learnt.clamp(0.005, 1)).log()
    torch.testing.assert_close(
        softened_divergence([learnt], taught, 4.0), 16 * expected.mean((1, 2, 3)), check_dtype=False
    )


def test_no_gradient_reaches_the_teacher(target: torch.Tensor) -> None:
    decoded = some_decoded()
    for decoding in (decoded.students, decoded.teacher):
        for tensor in (decoding.logits, *decoding.deep_logits, decoding.features):
            tensor.requires_grad_()
    loss, gap = semantic_distillation(decoded, target)
    (pixel_distillation(decoded, 4.0) + loss).sum().backward()
    for tensor in (decoded.teacher.logits, *decoded.teacher.deep_logits, decoded.teacher.features):
        assert tensor.grad is None
    for tensor in (decoded.students.logits, *decoded.students.deep_logits, decoded.students.features):
        assert tensor.grad is not None
    assert not gap.requires_grad


def test_gaps_stay_in_full_precision_under_autocast(target: torch.Tensor) -> None:
    plain = semantic_distillation(some_decoded(), target)[1]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(semantic_distillation(some_decoded(), target)[1], plain)


def small_batch() -> Batch:
    present = torch.tensor([[True, True, False], [True, False, False]])
    random = torch.Generator().manual_seed(0)
    target = torch.randint(0, 3, (2, 32, 32), generator=random)
    return Batch(torch.randn(2, 3, 32, 32, generator=random), present, present, target)


def small_network(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    options = {"width": 4, "token_dim": 16, "token_hidden": 16, "heads": 2, "dropout": 0.0}
    return build("mmformer", modalities=3, classes=3, spatial_dims=2, patch_size=32, **options)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_term_is_per_sample_and_finite(name: str) -> None:
    losses = objective_class(name)(torch.ones(3))(small_network(), small_batch())
    for term in losses.terms.values():
        assert term.value.shape in ((2,), (2, 3))
        assert term.value.isfinite().all()
        assert term.per_sample.shape == (2,)
    assert losses.total.item() == pytest.approx(sum(t.per_sample for t in losses.terms.values()).mean().item(), 1e-6)


@pytest.mark.parametrize("form", ["paper", "reference"])
def test_a_single_modality_has_preference_zero(form: str) -> None:
    losses = objective_class("passion")(torch.ones(3), form=form)(small_network(), small_batch())
    assert losses.preference is not None
    assert torch.equal(losses.preference[1], torch.zeros(3))
    assert losses.preference[0, 2] == 0
    assert losses.terms["pixel"].value[1].abs().max() == 0


def test_components_can_be_switched_off() -> None:
    def terms(**off: bool) -> dict:
        return dict(
            objective_class("passion")(torch.tensor([1.0, 2.0, 4.0]), **off)(small_network(), small_batch()).terms
        )

    assert set(terms()) == {"segmentation", "deep_supervision", "semantic", "pixel"}
    assert "pixel" not in terms(use_pixel=False)
    assert "semantic" not in terms(use_semantic=False)
    assert torch.as_tensor(terms(use_delta=False)["semantic"].weight).unique().tolist() == pytest.approx([0.1])
    assert torch.as_tensor(terms(use_beta=False)["pixel"].weight).unique().tolist() == pytest.approx([0.5])
    assert terms()["pixel"].weight.tolist() == pytest.approx([0.5, 1.0, 2.0])


def test_gaps_alone_keep_nothing_for_a_gradient() -> None:
    def kept(**off: bool) -> int:
        sizes = []
        objective, network = objective_class("passion")(torch.ones(3), use_pixel=False, **off), small_network()
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: sizes.append(tensor.nbytes), lambda _: None):
            objective(network, small_batch())
        return sum(sizes)

    assert kept(use_semantic=False) == kept(use_semantic=False, use_beta=False) < kept()


def test_preference_of_the_baseline_is_that_of_passion() -> None:
    batch = small_batch()
    losses = objective_class("passion")(torch.ones(3))(small_network(), batch)
    torch.testing.assert_close(measure_preference(small_network(), batch).preference, losses.preference)


def test_relative_preference_sums_to_zero_over_the_present() -> None:
    present = torch.tensor([[True, True, False, True]])
    preference = relative_preference(torch.tensor([[0.1, 0.2, 9.0, 0.6]]), present)
    assert preference.sum().item() == pytest.approx(0, abs=1e-6)
    assert preference[0, 0].item() == pytest.approx(1 - 0.1 / 0.3)
    broken = relative_preference(torch.tensor([[math.nan, 0.2, 9.0, 0.6]]), present)
    assert broken.isnan().tolist() == present.tolist()


def test_beta_of_the_paper() -> None:
    weight = GradientWeight(torch.tensor([1.25, 5.0]), 0.5, "paper")
    gap, present = torch.tensor([[1.0, 3.0], [1.0, 0.0]]), torch.tensor([[True, True], [True, False]])
    weight.record(gap, relative_preference(gap, present), present)
    weight.update()
    assert weight.beta.tolist() == pytest.approx([1.25 - 0.5 * 0.5 / 2, 5.0 + 0.5 * 0.5])
    weight.beta.fill_(0.1)
    weight.record(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.5, -0.5]]), present[:1])
    weight.update()
    assert weight.beta[0] == pytest.approx(0.1)


def test_beta_of_the_reference() -> None:
    GradientWeight(torch.tensor([1.25, 5.0]), 0, "reference").update()
    weight = GradientWeight(torch.tensor([1.25, 5.0]), 0.01, "reference")
    gap, present = torch.tensor([[1.0, 3.0]]), torch.tensor([[True, True]])
    weight.record(gap, relative_preference(gap, present), present)
    weight.update()
    raw = np.array([1 - 0.015 * 0.5, 1 + 0.015 * 0.5])
    assert weight.beta.tolist() == pytest.approx((raw * math.sqrt(2) / np.linalg.norm(raw)).tolist(), 1e-6)


def test_a_modality_that_an_epoch_has_not_seen_is_not_preferred_by_the_reference() -> None:
    weight = GradientWeight(torch.ones(3), 0.01, "reference")
    gap, present = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[True, True, False]])
    weight.record(gap, relative_preference(gap, present), present)
    weight.update()
    assert weight.beta.tolist() == pytest.approx([1.0, 1.0, 1.0])
    weight.update()
    assert weight.beta.tolist() == pytest.approx([1.0, 1.0, 1.0])


@pytest.mark.parametrize("norm", ["batch", ("instance", {"track_running_stats": True})], ids=str)
def test_measuring_the_preference_leaves_the_network_as_it_is(norm: object) -> None:
    torch.manual_seed(0)
    options = {"channels": [4, 8], "strides": [2], "norm": norm}
    network = build("early_fusion", modalities=2, classes=3, spatial_dims=2, patch_size=16,
                    class_path="monai.networks.nets.UNet", init_args=options)  # fmt: skip
    everything = torch.ones(2, 2, dtype=torch.bool)
    batch = Batch(torch.randn(2, 2, 16, 16) + 3, everything, everything, torch.randint(0, 3, (2, 16, 16)))
    loss = objective_class("baseline")(torch.ones(2))(network, batch).total
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert any("running_mean" in name for name in before)
    measured = measure_preference(network, batch).preference
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    loss.backward()
    trained = objective_class("passion")(torch.ones(2))(network, batch).preference
    torch.testing.assert_close(measured, trained)
    assert any(not torch.equal(value, before[name]) for name, value in network.state_dict().items())
