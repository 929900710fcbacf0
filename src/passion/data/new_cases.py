"""Cases that a run is to segment: of any layout, of a table of files, or files numbered as nnU-Net's."""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from passion.data.nifti import open_nifti
from passion.data.sources import read_study
from passion.data.sources.contract import case_of, check_names, nifti_names
from passion.data.sources.declaration import DATASET, numbered_modalities, read_dataset
from passion.data.sources.manifest import check_once, path_of, rows_of
from passion.data.sources.plan import stem_of
from passion.data.study import Case, Channel, Study, file_of
from passion.data.volumes import Volume, check_same_grid, read_image
from passion.errors import InputError

NUMBERED = "nnunet"
"""The layout whose files have the number of their modality in their names."""

LABELS = "label"
"""A column that a table may have; what it says is not needed."""


def read_new_cases(raw: Path, layout: str | None, study: Study) -> list[Case]:
    """The cases of `raw`, sorted by name; no image is opened, and labels need not be there.

    Args:
        raw: folder of a study, CSV file with a row a case, or, of layout nnunet, folder of files such as
            `CASE_0000.nii.gz`.
        layout: name of the layout; None finds it out.
        study: of the run, whose modalities the cases may have.

    Raises:
        InputError: nothing is there, or a modality that the run has not.
    """
    if raw.suffix.lower() == ".csv" and raw.is_file():
        return _listed(raw, study)
    files = [] if (raw / DATASET).exists() or not raw.is_dir() else [raw / name for name in nifti_names(raw)]
    if files and layout == NUMBERED:
        return _numbered(raw, files, study)
    if layout is None and any(re.fullmatch(r".+_0000", stem_of(path)) for path in files):
        numbers = ", ".join(f"_{number:04} is {name}" for number, name in enumerate(_channels(raw, study)))
        raise InputError(f"{raw}: holds files numbered as nnU-Net's; if {numbers}, say so with --layout {NUMBERED}")
    found, cases = read_study(raw, layout)
    check_known(found.modalities, study, raw)
    return cases


def check_known(modalities: Sequence[str], study: Study, where: Path) -> None:
    """Refuse modalities that a run has not been trained on.

    Raises:
        InputError: naming the first.
    """
    unknown = [name for name in modalities if name not in study.modalities]
    if unknown:
        raise InputError(
            f"{where}: has modality {unknown[0]!r}; the run knows {', '.join(study.modalities)}; list the files in a "
            "CSV file under these names, and leave others out"
        )


def _listed(table: Path, study: Study) -> list[Case]:
    cases = []
    rows = rows_of(table, [*study.modalities, LABELS], needed=[])
    check_once(rows, study.modalities, table)
    for row in rows:
        files = {name: path_of(row[name], table) for name in study.modalities if row.get(name)}
        cases.append(Case(row["case"], files))
    return sorted(cases, key=lambda case: case.name)


def _channels(folder: Path, study: Study) -> Sequence[str]:
    """What the numbers mean: as dataset.json beside the folder says, or else the run's modalities in their order."""
    declared = read_dataset(folder.resolve().parent, "channel_names")
    if declared is None:
        return study.modalities
    return numbered_modalities(declared["channel_names"], folder.resolve().parent / DATASET, "channel_names")


def _numbered(folder: Path, files: Sequence[Path], study: Study) -> list[Case]:
    names = _channels(folder, study)
    check_known(names, study, folder)
    found: dict[str, dict[str, list[Path]]] = {}
    for path in files:
        match = re.fullmatch(r"(.+)_(\d{4})", stem_of(path))
        if match is None or int(match[2]) >= len(names):
            numbers = ", ".join(f"_{number:04} for {name}" for number, name in enumerate(names))
            raise InputError(f"{path}: expected a name that ends in {numbers}; rename or move it")
        found.setdefault(match[1], {}).setdefault(names[int(match[2])], []).append(path)
    check_names(found, folder)
    return [case_of(name, found[name], []) for name in sorted(found)]


def check_headers(case: Case, study: Study) -> None:
    """Refuse a case that cannot be segmented, as far as headers tell: the voxels are read of suspicious files only.

    Args:
        case: to look at.
        study: of the run, which says whether files may be on different grids.

    Raises:
        InputError: no modality, two files for one, a file that is missing, no NIfTI file or cut off, or files that do
            not fit.
    """
    if not case.images:
        raise InputError(f"case {case.name} has no modality that is recognised; check the names of its files")
    if case.problems:
        raise InputError("\n".join(case.problems))
    places = {name: _place(image) for name, image in case.images.items()}
    if not study.resample:
        check_same_grid(places)


def _place(image: Path | Channel) -> Volume:
    """Where a file's voxels are; they themselves are read only if it seems to be cut off or to have an odd shape."""
    path = file_of(image)
    with open_nifti(path) as file:
        shape, affine = file.shape, file.affine
        size = file.offset + math.prod(shape) * file.dtype.itemsize
    # A file that is not compressed was compared with what its header promises when it was opened.
    seems_whole = path.suffix.lower() != ".gz" or _holds(path) == size % 2**32
    axes = 4 if isinstance(image, Channel) else 3
    if not seems_whole or len(shape) != axes:
        return read_image(image).without_voxels()
    return Volume(path, np.broadcast_to(np.float32(0), shape[:3]), affine)


def _holds(path: Path) -> int:
    """How many bytes a gzip file says at its end that it holds, modulo 2^32; one in several parts tells the last's."""
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(), "little")
