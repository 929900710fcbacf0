"""Overlap and surface distances of two masks, exact, in mm, with every empty case decided in the open."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from passion.data.boxes import bounding_box
from passion.errors import InputError

LEAF_VOXELS = 32
"""Leaf size of the KD-trees: on tumour-like masks 24 to 64 take the same time, scipy's 16 a tenth more."""

TOLERANCE_MM = 1.0
"""Of the surface Dice: the edge of a voxel of BraTS."""


class EmptyPolicy(Enum):
    """What the distance between two masks is where exactly one is empty, so that none is defined."""

    DIAGONAL = "diagonal"
    """The diagonal of the original grid: nothing on it lies further apart, so finding nothing never pays."""
    ONE_MM = "one mm"
    """1.0 mm, as the authors' published code has it: better than nearly every real prediction scores."""


@dataclass(frozen=True)
class SurfaceScores:
    """Three readings of HD95, in mm, and the surface Dice of a predicted mask P and a reference mask R.

    The border dA of a mask A is its voxels that have a neighbour along an axis outside the mask or the grid.
    With d(A -> B) = {min over b in dB of |a - b| : a in dA} and q the 95th percentile, linearly interpolated,
    both masks non-empty:

    - hd95 = max(q(d(P -> R)), q(d(R -> P)));
    - hd95_pooled = hd95_reference = q(d(P -> R) and d(R -> P) together);
    - surface_dice = the share of those of both together that are at most the tolerance.

    Args:
        hd95: the larger of the directed percentiles; `EmptyPolicy.DIAGONAL` where exactly one mask is empty.
        hd95_pooled: as medpy and the paper's tables have it; `EmptyPolicy.DIAGONAL` too.
        hd95_reference: the same with `EmptyPolicy.ONE_MM`, for comparison with published tables.
        surface_dice: 0 to 1; 0 where exactly one mask is empty, 1 where both are.

    Source: Huttenlocher et al., "Comparing images using the Hausdorff distance", TPAMI 1993, for the directed
    distances; `medpy.metric.binary.hd95` for the border and the pooled percentile; Nikolov et al.,
    "Clinically applicable segmentation of head and neck anatomy for radiotherapy", JMIR 2021, for the surface Dice,
    here with border voxels that count alike, as in `monai.metrics.compute_surface_dice`.

    >>> empty = np.zeros((3, 4), dtype=bool)
    >>> surface_scores(empty, ~empty, spacing_mm=(1.0, 1.0))
    SurfaceScores(hd95=5.0, hd95_pooled=5.0, hd95_reference=1.0, surface_dice=0.0)
    """

    hd95: float
    hd95_pooled: float
    hd95_reference: float
    surface_dice: float


def region_mask(labels: NDArray[np.integer[Any]], classes: Sequence[int]) -> NDArray[np.bool_]:
    """Where `labels` is one of `classes`.

    Raises:
        InputError: labels that are not integers, or no classes.

    >>> region_mask(np.array([0, 1, 2, 3]), [1, 3]).tolist()
    [False, True, False, True]
    """
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels are {labels.dtype}: give class indices as integers")
    if len(classes) == 0:
        raise InputError("classes_of_region is empty: name at least one class for the region")
    # A comparison per class, since regions have few: np.isin takes up to nine times as long on a volume in
    # Fortran order, which is how image files are read.
    mask: NDArray[np.bool_] = labels == classes[0]
    for index in classes[1:]:
        mask |= labels == index
    return mask


def dice(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
    """Overlap 2 |P and R| / (|P| + |R|) of two masks; 1 where both are empty, 0 where one is.

    Args:
        prediction: boolean mask P, any shape.
        reference: boolean mask R of the same shape.

    Raises:
        InputError: the shapes differ, or an array is not boolean.

    Source: Dice, "Measures of the amount of ecologic association between species", Ecology 1945.

    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    >>> dice(np.array([False]), np.array([False])), dice(np.array([False]), np.array([True]))
    (1.0, 0.0)
    """
    _check_masks(prediction, reference)
    both = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    if both == 0:
        return 1.0
    return 2 * int(np.count_nonzero(prediction & reference)) / both


def empty_distance_mm(
    shape: Sequence[int], spacing_mm: Sequence[float], empty: EmptyPolicy = EmptyPolicy.DIAGONAL
) -> float:
    """Distance in mm that is scored where exactly one mask is empty.

    The diagonal is sqrt(sum over axes of (voxels * spacing)^2).

    Args:
        shape: voxels of the *original* grid along each axis, not of a crop of it.
        spacing_mm: distance of neighbouring voxels along each axis.
        empty: which convention.

    >>> round(empty_distance_mm((240, 240, 155), (1.0, 1.0, 1.0)), 2)
    373.13
    >>> empty_distance_mm((240, 240, 155), (1.0, 1.0, 1.0), empty=EmptyPolicy.ONE_MM)
    1.0
    """
    if empty is EmptyPolicy.ONE_MM:
        return 1.0
    return math.hypot(*(voxels * mm for voxels, mm in zip(shape, spacing_mm, strict=True)))


def surface_scores(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    tolerance_mm: float = TOLERANCE_MM,
) -> SurfaceScores:
    """The three readings of HD95, in mm, and the surface Dice, from one pass over the masks.

    Distances are 0 where both masks are empty.

    Args:
        prediction: boolean mask on the original grid, two- or three-dimensional.
        reference: boolean mask of the same shape.
        spacing_mm: distance of neighbouring voxels along each axis.
        tolerance_mm: distance up to which surfaces count as the same.

    Raises:
        InputError: shapes differ, an array is not boolean, the spacing does not suit the grid, or the tolerance is
            negative or no number.

    >>> a, b = np.zeros((2, 5, 5), dtype=bool)
    >>> a[2, 1] = b[2, 3] = True
    >>> surface_scores(a, b, spacing_mm=(1.0, 1.0))
    SurfaceScores(hd95=2.0, hd95_pooled=2.0, hd95_reference=2.0, surface_dice=0.0)
    """
    _check_masks(prediction, reference)
    check_spacing(prediction.shape, spacing_mm)
    check_tolerance(tolerance_mm)
    empties = int(not prediction.any()) + int(not reference.any())
    if empties == 2:
        return SurfaceScores(0.0, 0.0, 0.0, 1.0)
    if empties == 1:
        diagonal_mm = empty_distance_mm(prediction.shape, spacing_mm, EmptyPolicy.DIAGONAL)
        one_mm = empty_distance_mm(prediction.shape, spacing_mm, EmptyPolicy.ONE_MM)
        return SurfaceScores(diagonal_mm, diagonal_mm, one_mm, 0.0)
    there_mm, back_mm = _directed_distances_mm(prediction, reference, spacing_mm)
    both_mm = np.concatenate([there_mm, back_mm])
    pooled_mm = float(np.percentile(both_mm, 95))
    directed_mm = max(float(np.percentile(there_mm, 95)), float(np.percentile(back_mm, 95)))
    return SurfaceScores(directed_mm, pooled_mm, pooled_mm, float((both_mm <= tolerance_mm).mean()))


def _directed_distances_mm(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances from the prediction's border voxels to the reference's border, and back; no mask is empty.

    KD-trees of the border voxels, not distance transforms: the border is a small part of the box, and they
    take 3 to 18 times less time on tumours of all sizes. Cells are split in the middle and left uncompacted,
    because voxels of a closed surface are spread evenly: three times faster where one border encloses the
    other at a distance.
    """
    # Cropping changes nothing: outside the joint box both masks are empty, so erosion, which takes voxels
    # beyond the array as empty, finds the same border, and distances depend on coordinate differences only.
    box = bounding_box(prediction | reference).slices
    borders_mm = [_border_mm(np.ascontiguousarray(mask[box]), spacing_mm) for mask in (prediction, reference)]
    trees = [
        cKDTree(points_mm, leafsize=LEAF_VOXELS, balanced_tree=False, compact_nodes=False) for points_mm in borders_mm
    ]
    there_mm, _ = trees[1].query(borders_mm[0], workers=1)
    back_mm, _ = trees[0].query(borders_mm[1], workers=1)
    return np.asarray(there_mm, dtype=np.float64), np.asarray(back_mm, dtype=np.float64)


def _border_mm(mask: NDArray[np.bool_], spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """Places in mm, shape (V, dims), of the voxels that an erosion with the 1-connected element takes away.

    Equal to `mask ^ scipy.ndimage.binary_erosion(mask)`, about seven times faster.
    """
    inside = mask.copy()
    for axis in range(mask.ndim):
        shifted, kept = np.moveaxis(mask, axis, 0), np.moveaxis(inside, axis, 0)
        kept[1:] &= shifted[:-1]
        kept[:-1] &= shifted[1:]
        kept[[0, -1]] = False
    places = np.unravel_index(np.flatnonzero(mask & ~inside), mask.shape)
    return np.stack(places, axis=1).astype(np.float64) * np.asarray(spacing_mm, dtype=np.float64)


def _check_masks(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> None:
    if prediction.shape != reference.shape:
        raise InputError(
            f"prediction has shape {prediction.shape}, reference {reference.shape}: bring both to the original grid"
        )
    for name, mask in (("prediction", prediction), ("reference", reference)):
        if mask.dtype != np.bool_:
            raise InputError(f"{name} is {mask.dtype}: give a boolean mask, such as labels == 1")


def check_spacing(shape: tuple[int, ...], spacing_mm: Sequence[float]) -> None:
    """Refuse a spacing that does not suit a grid.

    Raises:
        InputError: not a positive number of mm for each axis.
    """
    if len(spacing_mm) != len(shape):
        raise InputError(f"spacing_mm has {len(spacing_mm)} values for a grid of {len(shape)} axes: give one an axis")
    if not all(math.isfinite(mm) and mm > 0 for mm in spacing_mm):
        raise InputError(f"spacing_mm is {tuple(spacing_mm)}: every value must be a positive number of mm")


def check_tolerance(tolerance_mm: float) -> None:
    """Refuse what is no tolerance of a surface Dice.

    Raises:
        InputError: negative, infinite or NaN.
    """
    if not (math.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise InputError(f"tolerance {tolerance_mm}: is no distance; give 0 or a positive number of mm")
