"""Lesion-wise Dice: every lesion of a tumour counts alike, and so does every lesion that is not there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from passion.data.boxes import bounding_box

DILATION_VOXELS = 3
"""Steps by which reference components are widened: what then touches is one lesion."""
SMALLEST_MM3 = 50.0
"""Reference lesions of this volume or less are not scored, unless another one is given."""


@dataclass(frozen=True)
class Lesions:
    """The lesions of a reference mask, found once for all predictions of it.

    Args:
        neighbourhood: on the grid, number of the lesion (from 1) whose widened voxels are here, 0 elsewhere.
        mask: the reference mask.
        volumes: voxels of each lesion (L,), unwidened.
        scored: (L,), those that are large enough to be scored.
    """

    neighbourhood: NDArray[np.int32]
    mask: NDArray[np.bool_]
    volumes: NDArray[np.int64]
    scored: NDArray[np.bool_]


def find_lesions(
    reference: NDArray[np.bool_], spacing_mm: Sequence[float], smallest_mm3: float = SMALLEST_MM3
) -> Lesions:
    """Components of the reference widened by DILATION_VOXELS; they are cut back to the reference's own voxels.

    Args:
        reference: boolean mask on the original grid, two- or three-dimensional.
        spacing_mm: distance of neighbouring voxels along each axis.
        smallest_mm3: lesions of this volume or less are not scored (mm2 on a 2D grid).

    >>> reference = np.zeros((20, 30), dtype=bool)
    >>> reference[2:10, 2:10] = reference[2:10, 12:20] = reference[2:4, 28:30] = True  # two are close
    >>> found = find_lesions(reference, spacing_mm=(1.0, 1.0))
    >>> found.volumes.tolist(), found.scored.tolist()
    ([128, 4], [True, False])
    """
    neighbourhood = np.zeros(reference.shape, dtype=np.int32)
    if reference.any():
        tight = bounding_box(reference)
        box = tuple(
            slice(max(start - DILATION_VOXELS, 0), stop + DILATION_VOXELS)
            for start, stop in zip(tight.start, tight.stop, strict=True)
        )
        step = ndimage.generate_binary_structure(reference.ndim, 2)
        widened = ndimage.binary_dilation(reference[box], step, iterations=DILATION_VOXELS)
        neighbourhood[box] = _components(widened)
    # Widening joins a voxel only to what it grew from, so the components of the widened mask are the widened lesions.
    volumes = np.bincount(neighbourhood[reference], minlength=int(neighbourhood.max()) + 1)[1:]
    return Lesions(neighbourhood, reference, volumes, volumes * math.prod(spacing_mm) > smallest_mm3)


def lesion_dice(prediction: NDArray[np.bool_], lesions: Lesions) -> float:
    """Mean over lesions of the Dice with all predicted components that touch the lesion's neighbourhood.

    With g_1, ..., g_L the reference lesions that are scored and P_l the union of the components of the
    prediction that meet g_l widened by DILATION_VOXELS, it is

        sum_l 2 |P_l and g_l| / (|P_l| + |g_l|)  /  (L + F),

    F components of the prediction meeting no widened lesion, small ones included. A missed lesion adds 0. It is 1 where
    L + F = 0. Widening is by steps to the 18 neighbours that share a face or an edge, components are connected
    over 26 (8 in two dimensions); both count voxels, whatever their size in mm.

    Args:
        prediction: boolean mask of the shape of the reference.
        lesions: of the reference.

    Source: BraTS 2023, with the constants of its glioma task.

    >>> reference = np.zeros((20, 30), dtype=bool)
    >>> reference[2:10, 2:10] = reference[2:10, 20:28] = True
    >>> found_one = reference & (np.arange(30) < 15)
    >>> lesion_dice(found_one, find_lesions(reference, (1.0, 1.0)))
    0.5
    """
    parts, near, here = _overlaps(prediction, lesions)
    inside = np.bincount(near[here], minlength=len(lesions.volumes) + 1)[1:]
    touching = np.zeros((int(parts.max(initial=0)) + 1, len(lesions.volumes) + 1), dtype=bool)
    touching[parts, near] = True
    sizes = np.bincount(parts, minlength=len(touching))[1:]
    meets = touching[1:, 1:]
    scores = 2 * inside / (sizes @ meets + lesions.volumes)
    count = int(lesions.scored.sum()) + int((~meets.any(axis=1)).sum())
    return float(scores[lesions.scored].sum()) / count if count else 1.0


def _overlaps(
    prediction: NDArray[np.bool_], lesions: Lesions
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
    """Of each predicted voxel: its component, whose neighbourhood it is in (0: none), and if it is in a lesion."""
    if not prediction.any():
        nothing = np.zeros(0, dtype=np.int32)
        return nothing, nothing, np.zeros(0, dtype=bool)
    box = bounding_box(prediction).slices
    voxels = np.ascontiguousarray(prediction[box])
    return _components(voxels)[voxels], lesions.neighbourhood[box][voxels], lesions.mask[box][voxels]


def _components(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number of the connected component of each voxel, from 1; 0 outside the mask."""
    numbers = np.empty(mask.shape, dtype=np.int32)
    ndimage.label(mask, ndimage.generate_binary_structure(mask.ndim, mask.ndim), output=numbers)
    return numbers
