"""Where voxels are, when two grids are the same one, and how images and labels get from one to another."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import nibabel
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.orientations import aff2axcodes, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from nibabel.processing import resample_from_to
from numpy.typing import NDArray
from scipy.ndimage import find_objects, gaussian_filter

SPACING_TOLERANCE_MM = 1e-3
"""How far spacings of one grid may be apart along an axis: a quarter of a millimetre over 240 voxels."""

DIRECTION_TOLERANCE_DEGREES = 0.1
"""How far axes of one grid may be turned: the quaternions of a NIfTI header, float32, are wrong by up to 0.07."""

ORIGIN_TOLERANCE_MM = 1e-2
"""How far the centres of the first voxels of one grid may be apart."""

SIGMA_PER_VOXEL = 1 / np.sqrt(8 * np.log(2))
"""Standard deviation of the bell whose width at half its height is a voxel."""


@dataclass(frozen=True)
class Grid:
    """Where voxels are.

    Args:
        shape: extent (X, Y, Z) in voxels.
        affine: (4, 4), voxel indices to mm.
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Distance of neighbouring voxels along each axis."""
        return tuple(float(step) for step in voxel_sizes(self.affine))

    @property
    def orientation(self) -> str:
        """The side that each axis runs to, as nearly as one letter can say: LPS is to the left, back and up."""
        return "".join(side or "?" for side in aff2axcodes(self.affine))

    def differences(self, other: "Grid") -> list[str]:
        """In which of shape, spacing, direction and origin, and by how much, this grid is not `other`.

        >>> Grid((4, 4, 3), np.diag([2, 1, 9, 1])).differences(Grid((4, 4, 3), np.diag([2, 1, 5, 1])))
        ['spacing by 4 mm']
        """
        found = [] if self.shape == other.shape else [f"shape {self.shape} instead of {other.shape}"]
        own, others = np.array(self.spacing_mm), np.array(other.spacing_mm)
        cosines = ((self.affine[:3, :3] / own) * (other.affine[:3, :3] / others)).sum(0)
        measured = (
            ("spacing", np.abs(own - others).max(), SPACING_TOLERANCE_MM, "mm"),
            ("direction", np.degrees(np.arccos(cosines.clip(-1, 1))).max(), DIRECTION_TOLERANCE_DEGREES, "degrees"),
            ("origin", np.linalg.norm(self.affine[:3, 3] - other.affine[:3, 3]), ORIGIN_TOLERANCE_MM, "mm"),
        )
        return found + [f"{what} by {by:.3g} {unit}" for what, by, allowed, unit in measured if by > allowed]

    def alike(self, other: "Grid") -> bool:
        """Whether `other` is this grid, within the tolerances."""
        return not self.differences(other)

    def oriented(self, orientation: str) -> "Grid":
        """The same places with axes permuted and flipped, so that they run to the sides that `orientation` says.

        >>> grid = Grid((4, 5, 6), np.diag([-2.0, 1.0, 9.0, 1.0])).oriented("SRA")
        >>> grid.shape, grid.spacing_mm, grid.orientation
        ((6, 4, 5), (9.0, 2.0, 1.0), 'SRA')
        """
        turn = ornt_transform(io_orientation(self.affine), axcodes2ornt(orientation))
        shape = np.array(self.shape)[np.argsort(turn[:, 0])]
        return Grid(tuple(shape.tolist()), self.affine @ inv_ornt_aff(turn, self.shape))

    def at_spacing(self, spacing_mm: Sequence[float | None]) -> "Grid":
        """The grid that covers the same space with voxels of another size; the last ones may reach beyond it.

        Args:
            spacing_mm: wanted along each axis; None keeps an axis as it is.

        >>> grid = Grid((4, 4, 3), np.diag([2.0, 1.0, 9.0, 1.0])).at_spacing((1.0, 1.0, None))
        >>> grid.shape, grid.spacing_mm
        ((8, 4, 3), (1.0, 1.0, 9.0))
        """
        wanted = [own if asked is None else asked for own, asked in zip(self.spacing_mm, spacing_mm, strict=True)]
        step = np.array(wanted) / self.spacing_mm
        # A hundredth of a voxel is left out rather than given a voxel of its own: spacings are not exact.
        shape = np.maximum(1, np.ceil(np.array(self.shape) / step - 0.01)).astype(int)
        affine = self.affine @ np.diag([*step, 1.0])
        # The corners of the two grids coincide, not the centres of their first voxels.
        affine[:3, 3] += self.affine[:3, :3] @ ((step - 1) / 2)
        return Grid(tuple(shape.tolist()), affine)

    def part(self, slices: Sequence[slice]) -> "Grid":
        """The grid of an array that was indexed with `slices`, each with a start and a stop."""
        affine = self.affine.copy()
        affine[:3, 3] = apply_affine(self.affine, [one.start for one in slices])
        return Grid(tuple(one.stop - one.start for one in slices), affine)

    def around(self, other: "Grid") -> tuple[slice, ...]:
        """Slices outside of which no voxel of this grid is in the field of view of `other`."""
        corners = list(product(*((-0.5, extent - 0.5) for extent in other.shape)))
        places = apply_affine(np.linalg.inv(self.affine) @ other.affine, corners)
        starts = np.clip(np.floor(places.min(0)), 0, self.shape).astype(int).tolist()
        stops = np.clip(np.ceil(places.max(0)) + 1, 0, self.shape).astype(int).tolist()
        return tuple(slice(start, stop) for start, stop in zip(starts, stops, strict=True))

    def outside(self, other: "Grid") -> NDArray[np.bool_]:
        """Which voxels of this grid, (X, Y, Z), have their centre outside of the field of view of `other`.

        A field of view ends half a voxel beyond the outermost centres.
        """
        to_other = np.linalg.inv(other.affine) @ self.affine
        steps = np.ix_(*(np.arange(extent) for extent in self.shape))
        beyond = np.zeros(self.shape, dtype=bool)
        for row, extent in zip(to_other[:3], other.shape, strict=True):
            along = [factor * step for factor, step in zip(row[:3], steps, strict=True)]
            low = -0.5 - 1e-3 - row[3]
            high = low + extent + 2e-3
            if sum(one.min() for one in along) < low or sum(one.max() for one in along) > high:
                place = along[0] + along[1] + along[2]
                beyond |= (place < low) | (place > high)
        return beyond


def resample(voxels: NDArray[Any], source: Grid, target: Grid, order: int, outside: float = 0.0) -> NDArray[Any]:
    """Voxels of `source` on `target`: nearest neighbour (`order` 0) or linear (1).

    Args:
        voxels: (X, Y, Z) on `source`.
        source: where they are.
        target: where they are wanted.
        order: of the interpolation.
        outside: what is outside of the field of view of `source`.
    """
    image = nibabel.Nifti1Image(np.asarray(voxels), source.affine)
    moved = resample_from_to(image, (target.shape, target.affine), order=order, mode="nearest")
    out = np.asarray(moved.dataobj).astype(voxels.dtype)
    out[target.outside(source)] = outside
    return out


def resample_image(voxels: NDArray[np.float32], source: Grid, target: Grid) -> NDArray[np.float32]:
    """An image on another grid, interpolated linearly among its voxels that are not 0.

    0 is background, no intensity: tissue does not fade into it, and a voxel half of which is background is 0. Where
    voxels of `target` are larger, the image is smoothed first, so that details too fine for them do not turn into
    false coarse ones: along each axis by the Gaussian that makes a voxel as wide as the new one (Cardoso et al.,
    *Scale factor point spread function matching*, MICCAI 2015).
    """
    scale = np.linalg.inv(source.affine[:3, :3]) @ target.affine[:3, :3]
    sigma = SIGMA_PER_VOXEL * np.sqrt(np.maximum(0, (scale**2).sum(1) - 1))

    def moved(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return resample(gaussian_filter(values, sigma, mode="nearest"), source, target, order=1)

    tissue = moved((voxels != 0).astype(np.float32))
    return np.where(tissue >= 0.5, moved(voxels) / np.maximum(tissue, 0.5), np.float32(0))


def resample_labels(labels: NDArray[np.uint8], source: Grid, target: Grid) -> NDArray[np.uint8]:
    """Predicted class indices on another grid: each class's mask is interpolated linearly, the highest wins."""
    out = np.zeros(target.shape, dtype=np.uint8)
    found = find_objects((labels > 0).astype(np.uint8))
    if not found:
        return out
    # Only where something is: it is a small part of a volume.
    here = tuple(
        slice(max(0, one.start - 1), min(one.stop + 1, extent))
        for one, extent in zip(found[0], labels.shape, strict=True)
    )
    part = source.part(here)
    there = target.around(part)
    wanted = target.part(there)
    if 0 in wanted.shape:
        return out
    classes = np.union1d(0, labels[here]).astype(np.uint8)
    masks = [
        resample((labels[here] == index).astype(np.float32), part, wanted, order=1, outside=float(index == 0))
        for index in classes
    ]
    out[there] = classes[np.argmax(masks, axis=0)]
    return out
