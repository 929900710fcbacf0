"""Reading NIfTI files, with every reason for which one can be refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passion.data.headers import doubts
from passion.data.nifti import open_nifti
from passion.data.resampling import Grid
from passion.data.study import Case, Channel, Study
from passion.errors import InputError, attempt_all


@dataclass(frozen=True)
class Volume:
    """One file's voxels and where they are.

    Args:
        path: of the file.
        voxels: (X, Y, Z) float32.
        affine: (4, 4), voxel indices to mm.
        doubts: what is doubtful about its place, see `passion.data.headers`.
    """

    path: Path
    voxels: NDArray[np.float32]
    affine: NDArray[np.float64]
    doubts: tuple[str, ...] = ()

    @property
    def grid(self) -> Grid:
        """Where the voxels are."""
        return Grid(self.voxels.shape, self.affine)

    def without_voxels(self) -> "Volume":
        """The same file and place, with zeros that take no memory."""
        return replace(self, voxels=np.broadcast_to(np.float32(0), self.voxels.shape))


def read_volume(path: Path) -> Volume:
    """Read a 3D NIfTI file (a trailing axis of 1 is dropped).

    Raises:
        InputError: missing, unreadable or corrupt, not 3D, or with voxels that are not finite or nowhere.
    """
    with open_nifti(path) as file:
        if len(file.shape) < 3 or any(extent != 1 for extent in file.shape[3:]):
            raise InputError(f"{path}: has shape {file.shape}, expected a 3D volume; split it into one file a modality")
        voxels = file.read().reshape(file.shape[:3], order="F")
        return _finite(Volume(path, voxels, file.affine, doubts(file.header)))


def read_channel(channel: Channel) -> Volume:
    """Read one volume of a 4D NIfTI file, and no other.

    Raises:
        InputError: missing, unreadable or corrupt, not of `channel.count` volumes, or with voxels that are not finite
            or nowhere.
    """
    with open_nifti(channel.path) as file:
        if len(file.shape) != 4 or file.shape[3] != channel.count:
            raise InputError(
                f"{channel.path}: has shape {file.shape}, expected {channel.count} volumes along a fourth axis, one a "
                "modality; repair the file or the list of modalities"
            )
        return _finite(Volume(channel.path, file.read_last(channel.index), file.affine, doubts(file.header)))


def _finite(volume: Volume) -> Volume:
    count = int((~np.isfinite(volume.voxels)).sum())
    if count:
        raise InputError(f"{volume.path}: {count} voxels are NaN or infinite; repair the file or remove it")
    return volume


def read_image(image: Path | Channel) -> Volume:
    """Read a modality.

    Raises:
        InputError: as `read_volume` or `read_channel`, or a volume that is constant where it is not 0.
    """
    if isinstance(image, Channel):
        volume, which = read_channel(image), f" of volume {image.index} (from 0)"
        remedy = "write each modality to a file of its own and leave this one out, so that it counts as absent"
    else:
        volume, which = read_volume(image), ""
        remedy = "remove the file, so that the modality counts as absent"
    least, most = volume.voxels.min(), volume.voxels.max()
    two_values = 0 in (least, most) and ((volume.voxels == least) | (volume.voxels == most)).all()
    if least == most or two_values:
        values = " or ".join(f"{value:g}" for value in sorted({float(least), float(most)}))
        raise InputError(f"{volume.path}: every voxel{which} is {values}; {remedy}")
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
        unknown = np.unique(volume.voxels[~known])
        fractions = unknown[unknown % 1 != 0]
        if len(fractions):
            raise InputError(f"{path}: label {fractions[0]:g} is no whole number; get labels that are not interpolated")
        wrong = unknown[0]
        codes = ", ".join(str(code) for code in study.codes)
        raise InputError(
            f"{path}: label {wrong:.9g} is not one of {study.name}'s ({codes}); recode the file, or add the label to "
            "the classes of the study's manifest (convert makes one of other layouts)"
        )
    return volume, labels


def check_same_grid(volumes: Mapping[str, Volume]) -> None:
    """Refuse files of a case that are not on one grid, within the tolerances of `passion.data.resampling`.

    Args:
        volumes: by modality; the labels as "target".

    Raises:
        InputError: naming the first file that differs from the first one, in what, and by how much.
    """
    (modality, first), *others = volumes.items()
    for _, volume in others:
        differences = volume.grid.differences(first.grid)
        if differences:
            raise InputError(
                f"{volume.path}: is on another grid than {modality}, {first.path.name}: differs in "
                f"{', '.join(differences)}; bring all to one grid with --resample {modality}"
            )


@dataclass(frozen=True)
class CaseVolumes:
    """A case in memory: what its files hold.

    Args:
        images: by modality; only those that are there.
        reference: the one of them whose grid the case is brought to; without `Study.resample` all are on it.
        target: the label file, None where the case has none.
        labels: its class indices (X, Y, Z).
    """

    images: Mapping[str, Volume]
    reference: Volume
    target: Volume | None
    labels: NDArray[np.uint8] | None


def read_case(case: Case, study: Study) -> CaseVolumes:
    """Read all files of a case.

    Raises:
        InputError: files that cannot be used, a line each, files that do not fit, or a case without a modality.
    """
    if not case.images:
        where = case.target.parent if case.target else case.name
        raise InputError(f"{where}: case {case.name} has no modality at all; add a file or remove the case")
    if case.problems:
        raise InputError("\n".join(case.problems))
    reads: list[Callable[[], Any]] = [partial(read_image, image) for image in case.images.values()]
    if case.target is not None:
        reads.append(partial(read_labels, case.target, study))
    found = attempt_all(reads)
    images = dict(zip(case.images, found, strict=False))
    reference = images[study.reference(images)]
    target, labels = found[-1] if case.target else (None, None)
    if not study.resample:
        check_same_grid(images if target is None else {**images, "target": target})
    return CaseVolumes(images, reference, target, labels)
