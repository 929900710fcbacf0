"""Between a case's own grid and the grid of the study's spacing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.processing import resample_from_to
from numpy.typing import NDArray


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

    def at_spacing(self, spacing_mm: Sequence[float | None]) -> "Grid":
        """The grid that fills the same space with voxels of another size.

        Args:
            spacing_mm: wanted along each axis; None keeps an axis as it is.

        >>> grid = Grid((4, 4, 3), np.diag([2.0, 1.0, 9.0, 1.0])).at_spacing((1.0, 1.0, None))
        >>> grid.shape, grid.spacing_mm
        ((8, 4, 3), (1.0, 1.0, 9.0))
        """
        wanted = [own if asked is None else asked for own, asked in zip(self.spacing_mm, spacing_mm, strict=True)]
        step = np.array(wanted) / self.spacing_mm
        shape = tuple(max(1, round(extent / float(s))) for extent, s in zip(self.shape, step, strict=True))
        affine = self.affine @ np.diag([*step, 1.0])
        # The corners of the two grids coincide, not the centres of their first voxels.
        affine[:3, 3] += self.affine[:3, :3] @ ((step - 1) / 2)
        return Grid(shape, affine)


def resample(voxels: NDArray[Any], source: Grid, target: Grid, order: int) -> NDArray[Any]:
    """Voxels of `source` on `target`: nearest neighbour (`order` 0) or linear (1); the border goes on outside."""
    image = nibabel.Nifti1Image(np.asarray(voxels), source.affine)
    moved = resample_from_to(image, (target.shape, target.affine), order=order, mode="nearest")
    return np.asarray(moved.dataobj).astype(voxels.dtype)


def resample_labels(labels: NDArray[np.uint8], source: Grid, target: Grid) -> NDArray[np.uint8]:
    """Predicted class indices on another grid: each class's mask is interpolated linearly, the highest wins."""
    classes = np.unique(labels)
    masks = [resample((labels == index).astype(np.float32), source, target, order=1) for index in classes]
    winners: NDArray[np.uint8] = classes[np.argmax(masks, axis=0)]
    return winners
