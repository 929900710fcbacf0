"""Reading NIfTI files, with every reason for which one can be refused."""

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from passion.data.resampling import Grid
from passion.data.study import Case, Study
from passion.errors import InputError

AFFINE_TOLERANCE_MM = 1e-2
"""How far the affines of a case's files may be apart."""


@dataclass(frozen=True)
class Volume:
    """One file's voxels and where they are.

    Args:
        path: of the file.
        voxels: (X, Y, Z) float32.
        affine: (4, 4), voxel indices to mm.
    """

    path: Path
    voxels: NDArray[np.float32]
    affine: NDArray[np.float64]

    @property
    def grid(self) -> Grid:
        """Where the voxels are."""
        return Grid(self.voxels.shape, self.affine)


def read_volume(path: Path) -> Volume:
    """Read a 3D NIfTI file (a trailing axis of 1 is dropped).

    Raises:
        InputError: missing, unreadable or corrupt, not 3D, or with voxels that are not finite.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        image = nibabel.load(path)
        voxels = np.asarray(image.dataobj, dtype=np.float32)
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, gzip.BadGzipFile, zlib.error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read as NIfTI ({reason}); get the file again") from error
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    if voxels.ndim != 3:
        raise InputError(f"{path}: has shape {voxels.shape}, expected a 3D volume; split it into one file a modality")
    if not np.isfinite(voxels).all():
        count = int((~np.isfinite(voxels)).sum())
        raise InputError(f"{path}: {count} voxels are NaN or infinite; repair the file or remove it")
    return Volume(path, voxels, np.asarray(image.affine, dtype=np.float64))


def read_image(path: Path) -> Volume:
    """Read a modality.

    Raises:
        InputError: as `read_volume`, or a constant volume.
    """
    volume = read_volume(path)
    if volume.voxels.min(initial=np.inf) == volume.voxels.max(initial=-np.inf):
        value = volume.voxels.flat[0]
        raise InputError(f"{path}: every voxel is {value:g}; remove the file, so that the modality counts as absent")
    return volume


def read_labels(path: Path, study: Study) -> tuple[Volume, NDArray[np.uint8]]:
    """Read a label file, and its codes as class indices (X, Y, Z).

    Raises:
        InputError: as `read_volume`, or a code that the study has not.
    """
    volume = read_volume(path)
    labels = np.zeros(volume.voxels.shape, dtype=np.uint8)
    known = np.zeros(volume.voxels.shape, dtype=bool)
    for index, code in enumerate(study.codes):
        here = volume.voxels == code
        labels[here] = index
        known |= here
    if not known.all():
        wrong = np.unique(volume.voxels[~known])[0]
        codes = ", ".join(str(code) for code in study.codes)
        raise InputError(f"{path}: label {wrong:g} is not one of {study.name}'s ({codes}); recode the file")
    return volume, labels


def check_same_grid(volumes: Mapping[str, Volume]) -> None:
    """Refuse files of a case that are not on one grid.

    Raises:
        InputError: naming the first file that differs from the first one.
    """
    first, *others = volumes.values()
    for volume in others:
        remedy = f"resample it to {first.path.name}"
        if volume.voxels.shape != first.voxels.shape:
            raise InputError(
                f"{volume.path}: shape {volume.voxels.shape} differs from {first.voxels.shape} of "
                f"{first.path.name}; {remedy}"
            )
        distance_mm = np.abs(volume.affine - first.affine).max()
        if distance_mm > AFFINE_TOLERANCE_MM:
            raise InputError(
                f"{volume.path}: its affine differs from that of {first.path.name} by {distance_mm:.3g}; {remedy}"
            )


@dataclass(frozen=True)
class CaseVolumes:
    """A case in memory: what its files hold.

    Args:
        images: by modality; only those that are there.
        labels: class indices (X, Y, Z), None where the case has no label file.
    """

    images: Mapping[str, Volume]
    labels: NDArray[np.uint8] | None

    @property
    def grid(self) -> Grid:
        """Of all of the images."""
        return next(iter(self.images.values())).grid


def read_case(case: Case, study: Study) -> CaseVolumes:
    """Read all files of a case.

    Raises:
        InputError: a file that cannot be used, files that do not fit, or a case without a modality.
    """
    if not case.images:
        where = case.target.parent if case.target else case.name
        raise InputError(f"{where}: case {case.name} has no modality at all; add a file or remove the case")
    images = {modality: read_image(path) for modality, path in case.images.items()}
    if case.target is None:
        check_same_grid(images)
        return CaseVolumes(images, None)
    target, labels = read_labels(case.target, study)
    check_same_grid({**images, "target": target})
    return CaseVolumes(images, labels)
