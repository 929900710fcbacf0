"""Regions: which voxels count, and that every metric is of the same two masks."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from passion.errors import InputError
from passion.evaluation.lesions import find_lesions, lesion_dice
from passion.evaluation.metrics import dice, surface_scores
from passion.evaluation.scoring import RegionScore, region_truth, score

UNIT_MM = (1.0, 1.0, 1.0)


def single(shape: tuple[int, ...], *places: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask of the voxels at `places`."""
    mask = np.zeros(shape, dtype=bool)
    for place in places:
        mask[place] = True
    return mask


def scored(
    prediction: NDArray[np.integer],
    reference: NDArray[np.integer],
    classes: Sequence[int],
    minimum_mm3: float,
    spacing_mm: Sequence[float],
    tolerance_mm: float = 1.0,
) -> RegionScore:
    return score(prediction, region_truth(reference, classes, minimum_mm3, spacing_mm), tolerance_mm)


def labels_with(shape: tuple[int, ...], **places: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Class indices: `c2=mask` puts class 2 where the mask is."""
    labels = np.zeros(shape, dtype=np.uint8)
    for name, mask in places.items():
        labels[mask] = int(name[1:])
    return labels


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_a_region_is_the_union_of_its_classes(dtype: type) -> None:
    rng = np.random.default_rng(5)
    prediction, reference = rng.integers(0, 4, size=(2, 10, 11, 12)).astype(dtype)
    spacing_mm = (1.0, 1.5, 2.0)
    result = scored(prediction, reference, [1, 3], 0, spacing_mm, 1.2)
    first, second = np.isin(prediction, [1, 3]), np.isin(reference, [1, 3])
    expected = {
        "dice": dice(first, second),
        **vars(surface_scores(first, second, spacing_mm, tolerance_mm=1.2)),
        "lesion_dice": lesion_dice(first, find_lesions(second, spacing_mm)),
        "prediction_empty": False,
        "reference_empty": False,
    }
    assert vars(result) == expected


def test_a_prediction_under_the_minimum_is_scored_as_empty() -> None:
    shape, spacing_mm = (10, 10, 10), (1.0, 1.0, 2.0)
    ten = single(shape, *((2, column, 2) for column in range(10)))
    labels = labels_with(shape, c2=ten)  # 10 voxels of 2 mm3

    kept = scored(labels, labels, [2], 20.0, spacing_mm)
    assert kept == RegionScore(1.0, 0.0, 0.0, 0.0, 1.0, 1.0, prediction_empty=False, reference_empty=False)

    dropped = scored(labels, labels, [2], 20.5, spacing_mm)
    diagonal_mm = math.sqrt(10**2 + 10**2 + 20**2)
    assert dropped.hd95 == dropped.hd95_pooled == pytest.approx(diagonal_mm)
    assert (dropped.dice, dropped.surface_dice, dropped.hd95_reference) == (0.0, 0.0, 1.0)
    assert dropped.prediction_empty
    assert not dropped.reference_empty


def test_a_small_prediction_where_there_is_none_is_forgiven_and_a_small_reference_kept() -> None:
    shape = (6, 6, 6)
    nothing, speck = labels_with(shape), labels_with(shape, c3=single(shape, (1, 1, 1)))

    forgiven = scored(speck, nothing, [3], 500, UNIT_MM)
    assert forgiven == RegionScore(1.0, 0.0, 0.0, 0.0, 1.0, 1.0, prediction_empty=True, reference_empty=True)

    missed = scored(nothing, speck, [3], 500, UNIT_MM)
    assert missed.dice == 0.0
    assert not missed.reference_empty


def test_the_minimum_counts_the_region_not_its_classes() -> None:
    shape = (4, 4)
    labels = labels_with(shape, c1=single(shape, (0, 0)), c2=single(shape, (0, 1)))
    together = scored(labels, labels, [1, 2], 2, (1.0, 1.0))
    alone = scored(labels, labels, [1], 2, (1.0, 1.0))
    assert not together.prediction_empty
    assert alone.prediction_empty


def test_labels_must_be_integers_and_a_region_needs_a_class() -> None:
    labels = np.zeros((2, 2), dtype=np.int64)
    with pytest.raises(InputError, match="float64"):
        scored(labels.astype(float), labels, [1], 0, (1.0, 1.0))
    with pytest.raises(InputError, match="classes_of_region is empty"):
        scored(labels, labels, [], 0, (1.0, 1.0))
    with pytest.raises(InputError, match="original grid"):
        scored(labels, labels[:1], [1], 0, (1.0, 1.0))
