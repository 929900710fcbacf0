"""What one region of one subject scores: all metrics of `metrics` and `lesions` together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passion.evaluation.lesions import SMALLEST_MM3, Lesions, find_lesions, lesion_dice
from passion.evaluation.metrics import TOLERANCE_MM, check_spacing, dice, region_mask, surface_scores


@dataclass(frozen=True)
class RegionScore:
    """What one region of one subject scores.

    Args:
        dice: overlap, 0 to 1.
        hd95: mm, see `metrics.SurfaceScores`.
        hd95_pooled: mm, see `metrics.SurfaceScores`.
        hd95_reference: mm, see `metrics.SurfaceScores`.
        surface_dice: 0 to 1, see `metrics.SurfaceScores`.
        lesion_dice: 0 to 1, see `lesions.lesion_dice`.
        prediction_empty: no predicted voxel, or too small a volume to count.
        reference_empty: the subject has no such region.

    >>> labels = np.ones((9, 12), dtype=int)
    >>> score(0 * labels, region_truth(labels, [1], minimum_mm3=0, spacing_mm=(1.0, 1.0)))
    RegionScore(dice=0.0, hd95=15.0, hd95_pooled=15.0, hd95_reference=1.0, surface_dice=0.0, lesion_dice=0.0,
                prediction_empty=True, reference_empty=False)
    """

    dice: float
    hd95: float
    hd95_pooled: float
    hd95_reference: float
    surface_dice: float
    lesion_dice: float
    prediction_empty: bool
    reference_empty: bool


@dataclass(frozen=True)
class RegionTruth:
    """One region of one subject's reference, made ready once for all predictions of it.

    Args:
        classes: indices of the classes that make up the region.
        minimum_mm3: a smaller prediction is scored as empty.
        spacing_mm: distance of neighbouring voxels along each axis.
        mask: where the region is, on the original grid.
        lesions: its lesions.
    """

    classes: Sequence[int]
    minimum_mm3: float
    spacing_mm: Sequence[float]
    mask: NDArray[np.bool_]
    lesions: Lesions


def region_truth(
    reference_labels: NDArray[np.integer[Any]],
    classes_of_region: Sequence[int],
    minimum_mm3: float,
    spacing_mm: Sequence[float],
    smallest_lesion_mm3: float = SMALLEST_MM3,
) -> RegionTruth:
    """The union of some classes of a reference, to be compared with predictions.

    Args:
        reference_labels: class indices on the original grid, integers, two- or three-dimensional.
        classes_of_region: indices of the classes that make up the region (`Study.region_classes`).
        minimum_mm3: a smaller prediction is scored as empty, a smaller reference is not (mm2 on a 2D grid).
        spacing_mm: distance of neighbouring voxels along each axis.
        smallest_lesion_mm3: see `lesions.find_lesions`.

    Raises:
        InputError: labels that are not integers, no classes, or an unsuitable spacing.
    """
    check_spacing(reference_labels.shape, spacing_mm)
    mask = region_mask(reference_labels, classes_of_region)
    lesions = find_lesions(mask, spacing_mm, smallest_lesion_mm3)
    return RegionTruth(classes_of_region, minimum_mm3, spacing_mm, mask, lesions)


def score(
    prediction_labels: NDArray[np.integer[Any]], truth: RegionTruth, tolerance_mm: float = TOLERANCE_MM
) -> RegionScore:
    """Scores of a prediction of one region of one subject.

    Args:
        prediction_labels: class indices on the original grid, integers.
        truth: see `region_truth`.
        tolerance_mm: of the surface Dice.

    Raises:
        InputError: labels that are not integers, shapes that differ, or an unsuitable tolerance.

    >>> labels = np.array([[0, 1, 2], [0, 0, 2]])
    >>> score(labels, region_truth(labels, [1, 2], minimum_mm3=0, spacing_mm=(1.0, 1.0))).dice
    1.0
    >>> score(labels, region_truth(labels, [1, 2], minimum_mm3=5, spacing_mm=(1.0, 1.0))).prediction_empty
    True
    """
    prediction = predicted_region(prediction_labels, truth.classes, truth.minimum_mm3, truth.spacing_mm)
    return score_mask(prediction, truth, tolerance_mm)


def predicted_region(
    labels: NDArray[np.integer[Any]], classes: Sequence[int], minimum_mm3: float, spacing_mm: Sequence[float]
) -> NDArray[np.bool_]:
    """Where a region is predicted; nowhere if its volume is smaller than `minimum_mm3`."""
    region = region_mask(labels, classes)
    too_small = np.count_nonzero(region) * math.prod(spacing_mm) < minimum_mm3
    return np.zeros_like(region) if too_small else region


def score_mask(prediction: NDArray[np.bool_], truth: RegionTruth, tolerance_mm: float = TOLERANCE_MM) -> RegionScore:
    """As `score`, of a mask of the region that is scored as it is.

    Raises:
        InputError: shapes that differ, or an unsuitable tolerance.
    """
    surface = surface_scores(prediction, truth.mask, truth.spacing_mm, tolerance_mm)
    return RegionScore(
        dice=dice(prediction, truth.mask),
        hd95=surface.hd95,
        hd95_pooled=surface.hd95_pooled,
        hd95_reference=surface.hd95_reference,
        surface_dice=surface.surface_dice,
        lesion_dice=lesion_dice(prediction, truth.lesions),
        prediction_empty=not prediction.any(),
        reference_empty=not truth.mask.any(),
    )
