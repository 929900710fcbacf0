"""What is made of a case: labels in its own place, regions, volumes, probabilities; and the files that hold it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.openers import ImageOpener
from numpy.typing import NDArray

from passion.data.boxes import Box, copy_overlap
from passion.data.resampling import Grid, resample
from passion.data.study import Study
from passion.errors import InputError
from passion.files import replacing


@dataclass(frozen=True)
class Segmentation:
    """What one or several runs make of a case.

    Args:
        labels: the study's label codes, (X, Y, Z) int16, on the grid of the input.
        modalities: that were given, joined by `+`.
        reference: the one of them whose grid the labels are on.
        study: names and codes of the classes, and the regions that they make.
        own_grid: of the input.
        grid: that was computed on; the same where the study keeps a case's spacing.
        box: the part of `grid` that holds something.
        in_box: probabilities of the classes there, (K, *box) float32; None where they were not asked for.
        header: of the input's file, which a result's is made of; None for arrays.
        remarks: what may make it wrong: doubtful places, a background that is not 0, grids unlike those of the training
            cases; a line each.
    """

    labels: NDArray[np.int16]
    modalities: str
    reference: str
    study: Study
    own_grid: Grid
    grid: Grid
    box: Box
    in_box: NDArray[np.float32] | None
    header: Any | None
    remarks: Sequence[str] = ()

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel indices to mm, (4, 4), as of the input."""
        return self.own_grid.affine

    def region(self, name: str) -> NDArray[np.bool_]:
        """Mask (X, Y, Z) of a region of the study, such as WT, the whole tumour.

        Raises:
            InputError: the study has no such region.
        """
        if name not in self.study.regions:
            raise InputError(f"region {name!r}: {self.study.name} has {', '.join(self.study.regions)}")
        codes = self.study.codes[self.study.region_classes(name)]
        mask = np.zeros(self.labels.shape, dtype=bool)
        for code in codes:
            mask |= self.labels == code
        return mask

    def volume_ml(self, region: str) -> float:
        """Volume of a region in ml: its voxels times theirs.

        Raises:
            InputError: the study has no such region.
        """
        voxel_mm3 = abs(float(np.linalg.det(self.affine[:3, :3])))
        return np.count_nonzero(self.region(region)) * voxel_mm3 / 1000

    def probability(self, index: int) -> NDArray[np.float32]:
        """Of the class of that index, on the grid of the input, (X, Y, Z); outside the box background is certain.

        Raises:
            InputError: probabilities were not asked for.
        """
        if self.in_box is None:
            raise InputError("probabilities: were not kept; ask for them, passion.predict(..., probabilities=True)")
        whole = np.full(self.grid.shape, float(index == 0), dtype=np.float32)
        copy_overlap(self.in_box[index], self.box, whole, Box.whole(self.grid.shape))
        if self.grid is self.own_grid:
            return whole
        return resample(whole, self.grid, self.own_grid, order=1, outside=float(index == 0))

    def probabilities(self) -> NDArray[np.float32]:
        """Of the classes, on the grid of the input, (K, X, Y, Z).

        Raises:
            InputError: they were not asked for.
        """
        return np.stack([self.probability(index) for index in range(len(self.study.classes))])

    def save(self, path: Path | str) -> None:
        """Write the labels as NIfTI, in the place of the input and with its header.

        Raises:
            InputError: a name that is no NIfTI file's.
        """
        check_nifti_name("path", Path(path))
        with replacing(Path(path)) as beside:
            nibabel.save(nibabel.Nifti1Image(self._as_in_file, self.affine, self._header(self.labels.dtype)), beside)

    def save_probabilities(self, path: Path | str) -> None:
        """Write the probabilities as NIfTI, (X, Y, Z, K) float32, one class after the other.

        Raises:
            InputError: a name that is no NIfTI file's, or probabilities were not asked for.
        """
        check_nifti_name("path", Path(path))
        classes = len(self.study.classes)
        shape = (*self.labels.shape, classes)
        header = self._header(np.dtype(np.float32))
        empty = nibabel.Nifti1Image(np.broadcast_to(np.float32(0), shape), self.affine, header)
        empty.header.extensions.clear()
        empty.header.set_data_offset(empty.header.single_vox_offset)
        with replacing(Path(path)) as beside, ImageOpener(str(beside), "wb") as file:
            empty.header.write_to(file)
            for index in range(classes):
                file.write(self.probability(index).tobytes(order="F"))

    @property
    def _as_in_file(self) -> NDArray[np.int16]:
        """The labels with the trailing axes of 1 that the input's file has."""
        shape = self.labels.shape if self.header is None else self.header.get_data_shape()
        return self.labels.reshape(shape) if math.prod(shape) == self.labels.size else self.labels

    def _header(self, dtype: np.dtype[Any]) -> Any:
        header = nibabel.Nifti1Header() if self.header is None else self.header.copy()
        header.set_data_dtype(dtype)
        header.set_data_offset(0)
        header.set_slope_inter(1, 0)
        return header


def check_nifti_name(option: str, path: Path) -> None:
    """Refuse a name that does not end as a NIfTI file's.

    Raises:
        InputError: naming `option`.
    """
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"{option} {path}: must end in .nii or .nii.gz")
