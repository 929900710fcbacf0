"""Laws of the metrics, and comparisons with medpy, MONAI and loops too plain to be wrong."""

import itertools

import numpy as np
import pytest
import torch
from medpy.metric import binary
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from numpy.typing import NDArray
from scipy import ndimage

from passion.errors import InputError
from passion.evaluation.metrics import (
    EmptyPolicy,
    SurfaceScores,
    dice,
    empty_distance_mm,
    surface_scores,
)

BRATS_SHAPE = (240, 240, 155)
UNIT_MM = (1.0, 1.0, 1.0)
GRIDS = [
    ((19, 23), (1.0, 1.0)),
    ((31, 17), (1.37, 0.61)),
    ((64, 48), (0.75, 0.75)),
    ((13, 11, 9), (1.0, 1.0, 1.0)),
    ((12, 14, 7), (0.9, 0.7, 5.0)),
    ((7, 16, 15), (3.3, 1.1, 0.4)),
]
"""Shapes and spacings in mm: small enough for the loops, in 2D and 3D, with thick slices too."""


def blobs(rng: np.random.Generator, shape: tuple[int, ...], share: float) -> NDArray[np.bool_]:
    """Smooth noise over a threshold: several pieces with holes, some of which touch the edge of the grid."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma=1.2, mode="wrap")
    mask: NDArray[np.bool_] = noise > np.quantile(noise, 1 - share)
    return mask


def random_pairs(shape: tuple[int, ...], count: int = 12) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Unrelated masks, nearly equal masks and masks of very different size; none empty."""
    rng = np.random.default_rng([count, *shape])
    pairs = []
    for index in range(count):
        first = blobs(rng, shape, share=rng.uniform(0.1, 0.6))
        second = blobs(rng, shape, share=(0.02, 0.1, 0.4)[index % 3])
        if index % 4 == 0:
            second = first ^ (rng.random(shape) < 0.03)
        pairs.append((first, second))
    assert all(first.any() and second.any() for first, second in pairs)
    return pairs


def brute_border(mask: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Voxels of the mask that lack a neighbour along some axis, by looking at each."""
    border = []
    for place in itertools.product(*(range(size) for size in mask.shape)):
        if not mask[place]:
            continue
        for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
            near = list(place)
            near[axis] += step
            beyond = not 0 <= near[axis] < mask.shape[axis]
            if beyond or not mask[tuple(near)]:
                border.append(place)
                break
    return border


def brute_directed(first: NDArray[np.bool_], second: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> list[float]:
    """Distance in mm of each border voxel of `first` to the nearest border voxel of `second`."""
    scale = np.array(spacing_mm)
    goals = np.array(brute_border(second)) * scale
    return [float(np.sqrt(((goals - np.array(place) * scale) ** 2).sum(axis=1)).min()) for place in brute_border(first)]


def single(shape: tuple[int, ...], *places: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask of the voxels at `places`."""
    mask = np.zeros(shape, dtype=bool)
    for place in places:
        mask[place] = True
    return mask


# Laws


@pytest.mark.parametrize(
    ("second", "spacing_mm"),
    [((3, 3, 5), UNIT_MM), ((3, 4, 3), (1.0, 2.0, 9.0)), ((7, 3, 3), (0.5, 3.0, 3.0))],
)
def test_two_voxels_2_mm_apart_score_2_mm(second: tuple[int, ...], spacing_mm: tuple[float, ...]) -> None:
    shape = (9, 9, 9)
    scores = surface_scores(single(shape, (3, 3, 3)), single(shape, second), spacing_mm)
    assert scores == SurfaceScores(2.0, 2.0, 2.0, 0.0)


@pytest.mark.parametrize("shift", [(4, 0, 0), (0, -3, 0), (0, 0, 5)])
def test_translated_plate_scores_the_way_it_went(shift: tuple[int, ...]) -> None:
    spacing_mm = (0.8, 1.5, 3.0)
    axis = int(np.flatnonzero(shift)[0])
    # A plate across the axis: each voxel's nearest partner is its own image, so every distance is the shift.
    corner = [slice(6, 12)] * 3
    corner[axis] = slice(8, 9)
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[tuple(corner)] = True
    moved = np.roll(mask, shift, axis=(0, 1, 2))
    away_mm = abs(shift[axis]) * spacing_mm[axis]
    scores = surface_scores(mask, moved, spacing_mm)
    assert scores.hd95 == pytest.approx(away_mm, abs=1e-9)
    assert scores.hd95_pooled == pytest.approx(away_mm, abs=1e-9)


@pytest.mark.parametrize(("shape", "spacing_mm"), GRIDS)
def test_no_translation_of_both_masks_changes_a_score(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> None:
    for first, second in random_pairs(shape, count=4):
        before = surface_scores(first, second, spacing_mm)
        padding = [(axis + 1, 5) for axis in range(len(shape))]
        after = surface_scores(np.pad(first, padding), np.pad(second, padding), spacing_mm)
        assert after == before


@pytest.mark.parametrize(("shape", "spacing_mm"), GRIDS)
def test_symmetric(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> None:
    for first, second in random_pairs(shape):
        there = surface_scores(first, second, spacing_mm)
        back = surface_scores(second, first, spacing_mm)
        assert there.hd95 == back.hd95
        assert there.hd95_pooled == back.hd95_pooled
        assert there.surface_dice == back.surface_dice
        assert dice(first, second) == dice(second, first)


@pytest.mark.parametrize(("shape", "spacing_mm"), GRIDS)
def test_identical_masks(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> None:
    for mask, _ in random_pairs(shape):
        assert surface_scores(mask, mask.copy(), spacing_mm) == SurfaceScores(0.0, 0.0, 0.0, 1.0)
        assert dice(mask, mask.copy()) == 1.0


@pytest.mark.parametrize(("shape", "spacing_mm"), GRIDS)
def test_distances_scale_with_the_spacing(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> None:
    tripled_mm = tuple(3 * mm for mm in spacing_mm)
    for first, second in random_pairs(shape, count=4):
        once, thrice = surface_scores(first, second, spacing_mm), surface_scores(first, second, tripled_mm)
        assert thrice.hd95 == pytest.approx(3 * once.hd95)
        assert thrice.hd95_pooled == pytest.approx(3 * once.hd95_pooled)


def test_memory_order_changes_nothing_and_inputs_stay_as_they_are() -> None:
    first, second = random_pairs((13, 11, 9), count=2)[1]
    kept = first.copy(), second.copy()
    expected = surface_scores(first, second, (1.0, 2.0, 3.0))
    fortran = surface_scores(np.asfortranarray(first), np.asfortranarray(second), (1.0, 2.0, 3.0))
    assert fortran == expected
    assert np.array_equal(first, kept[0])
    assert np.array_equal(second, kept[1])


def test_the_three_readings_differ_where_they_should() -> None:
    # A row of 40 voxels against its own first voxel: 0 to 39 mm one way, 0 mm the other.
    row = np.zeros((3, 60), dtype=bool)
    row[1, :40] = True
    dot = single((3, 60), (1, 0))
    scores = surface_scores(row, dot, (1.0, 1.0))
    assert scores.hd95 == pytest.approx(np.percentile(np.arange(40), 95))
    assert scores.hd95_pooled == pytest.approx(np.percentile([0, *range(40)], 95))
    assert scores.hd95_reference == scores.hd95_pooled < scores.hd95


# Empty masks


def test_diagonal_of_brats() -> None:
    assert empty_distance_mm(BRATS_SHAPE, UNIT_MM) == pytest.approx(373.13, abs=0.005)
    assert empty_distance_mm((3, 4), (2.0, 2.0)) == 10.0
    assert empty_distance_mm(BRATS_SHAPE, UNIT_MM, empty=EmptyPolicy.ONE_MM) == 1.0


@pytest.mark.parametrize("swap", [False, True])
def test_one_empty_mask(swap: bool) -> None:
    pair = [single(BRATS_SHAPE, (100, 100, 70)), np.zeros(BRATS_SHAPE, dtype=bool)]
    first, second = pair[::-1] if swap else pair
    scores = surface_scores(first, second, UNIT_MM)
    assert scores.hd95 == scores.hd95_pooled == pytest.approx(373.13, abs=0.005)
    assert scores.hd95_reference == 1.0
    assert scores.surface_dice == 0.0
    assert dice(first, second) == 0.0


def test_one_empty_mask_uses_mm_of_the_whole_grid() -> None:
    scores = surface_scores(single((6, 8), (1, 1)), np.zeros((6, 8), dtype=bool), (0.5, 0.5))
    assert scores == SurfaceScores(5.0, 5.0, 1.0, 0.0)


def test_no_pair_of_voxels_scores_worse_than_an_empty_mask() -> None:
    shape, spacing_mm = (5, 6, 7), (1.0, 2.0, 0.5)
    corners = surface_scores(single(shape, (0, 0, 0)), single(shape, (4, 5, 6)), spacing_mm)
    assert corners.hd95 < empty_distance_mm(shape, spacing_mm)


def test_two_empty_masks() -> None:
    empty = np.zeros((5, 5, 5), dtype=bool)
    assert surface_scores(empty, empty, UNIT_MM) == SurfaceScores(0.0, 0.0, 0.0, 1.0)
    assert dice(empty, empty) == 1.0


# Oracles


@pytest.mark.parametrize(("shape", "spacing_mm"), GRIDS)
def test_pooled_equals_medpy(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> None:
    for first, second in random_pairs(shape, count=40):
        expected = binary.hd95(first, second, voxelspacing=spacing_mm)
        scores = surface_scores(first, second, spacing_mm)
        assert scores.hd95_pooled == pytest.approx(expected, abs=1e-6)
        assert scores.hd95_reference == scores.hd95_pooled


def test_pooled_equals_medpy_on_a_full_mask_and_at_every_edge() -> None:
    shape, spacing_mm = (8, 9, 10), (1.0, 0.5, 2.0)
    full = np.ones(shape, dtype=bool)
    for axis, end in itertools.product(range(3), (0, -1)):
        wall = np.zeros(shape, dtype=bool)
        np.moveaxis(wall, axis, 0)[end] = True
        expected = binary.hd95(full, wall, voxelspacing=spacing_mm)
        assert surface_scores(full, wall, spacing_mm).hd95_pooled == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("shape", "spacing_mm"), GRIDS)
def test_hd95_and_pooled_equal_the_loops(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> None:
    for first, second in random_pairs(shape, count=8):
        there_mm = brute_directed(first, second, spacing_mm)
        back_mm = brute_directed(second, first, spacing_mm)
        scores = surface_scores(first, second, spacing_mm)
        expected = max(np.percentile(there_mm, 95), np.percentile(back_mm, 95))
        assert scores.hd95 == pytest.approx(expected, abs=1e-6)
        assert scores.hd95_pooled == pytest.approx(np.percentile(there_mm + back_mm, 95), abs=1e-6)


@pytest.mark.parametrize(("shape", "spacing_mm"), GRIDS)
def test_hd95_equals_monai(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> None:
    # MONAI's border is the same: it crops with a margin of one voxel, padding at the edge of the grid, and
    # erodes with the 1-connected element. Its distances are float32, hence the tolerance.
    for first, second in random_pairs(shape):
        theirs = compute_hausdorff_distance(
            torch.from_numpy(first)[None, None],
            torch.from_numpy(second)[None, None],
            include_background=True,
            percentile=95,
            directed=False,
            spacing=spacing_mm,
        )
        assert surface_scores(first, second, spacing_mm).hd95 == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("tolerance_mm", [0.0, 0.9, 1.0, 2.5])
@pytest.mark.parametrize(("shape", "spacing_mm"), GRIDS)
def test_surface_dice_equals_the_loops_and_monai(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...], tolerance_mm: float
) -> None:
    for first, second in random_pairs(shape, count=4):
        found = surface_scores(first, second, spacing_mm, tolerance_mm).surface_dice
        distances_mm = brute_directed(first, second, spacing_mm) + brute_directed(second, first, spacing_mm)
        # A distance that is the tolerance exactly may fall on either side in another order of rounding.
        least, most = (np.mean(np.array(distances_mm) <= tolerance_mm + shift) for shift in (-1e-9, 1e-9))
        assert least <= found <= most
        theirs = compute_surface_dice(
            torch.from_numpy(first)[None, None],
            torch.from_numpy(second)[None, None],
            class_thresholds=[tolerance_mm],
            include_background=True,
            spacing=spacing_mm,
        )
        assert least - 1e-6 <= float(theirs) <= most + 1e-6


def test_surface_dice_grows_with_the_tolerance_to_one() -> None:
    for first, second in random_pairs((12, 14, 7), count=4):
        values = [surface_scores(first, second, (0.9, 0.7, 5.0), mm).surface_dice for mm in (0.0, 1.0, 3.0, 99.0)]
        assert values == sorted(values)
        assert values[0] < values[-1] == 1.0


@pytest.mark.parametrize(("shape", "spacing_mm"), GRIDS)
def test_dice_equals_medpy(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> None:
    for first, second in random_pairs(shape, count=40):
        assert dice(first, second) == pytest.approx(binary.dc(first, second), abs=1e-12)


# Mistakes


@pytest.mark.parametrize(
    ("second", "spacing_mm", "message"),
    [
        (np.ones((2, 3), dtype=bool), (1.0, 1.0), r"\(2, 3\)"),
        (np.ones((2, 2), dtype=np.uint8), (1.0, 1.0), "uint8"),
        (np.ones((2, 2), dtype=bool), (1.0, 1.0, 1.0), "3 values"),
        (np.ones((2, 2), dtype=bool), (1.0, 0.0), "positive"),
        (np.ones((2, 2), dtype=bool), (1.0, float("nan")), "positive"),
    ],
)
def test_masks_or_spacing_that_do_not_fit(
    second: NDArray[np.bool_], spacing_mm: tuple[float, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        surface_scores(np.ones((2, 2), dtype=bool), second, spacing_mm)


@pytest.mark.parametrize("tolerance_mm", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_that_is_none(tolerance_mm: float) -> None:
    mask = np.ones((2, 2), dtype=bool)
    with pytest.raises(InputError, match="tolerance"):
        surface_scores(mask, mask, (1.0, 1.0), tolerance_mm)
