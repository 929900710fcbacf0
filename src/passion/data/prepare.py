"""From raw files to the prepared study: crop and normalise each modality by itself, store."""

import os
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passion.data.resampling import Grid, resample
from passion.data.store import TARGET, Box, PreparedStudy, case_folder, write_case, write_study
from passion.data.study import Case, Study
from passion.data.volumes import read_case
from passion.errors import InputError
from passion.parallel import map_each


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """Smallest box that holds every true voxel; an empty one at the origin where there is none.

    >>> bounding_box(np.array([[False, True], [False, True]]))
    Box(start=(0, 1), stop=(2, 2))
    """
    starts, stops = [], []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        occupied = np.flatnonzero(mask.any(axis=others))
        starts.append(int(occupied[0]) if len(occupied) else 0)
        stops.append(int(occupied[-1]) + 1 if len(occupied) else 0)
    return Box(tuple(starts), tuple(stops))


def normalise(voxels: NDArray[np.float32]) -> tuple[NDArray[np.float32], Box]:
    """Crop a modality to its own foreground and give that mean 0 and variance 1; zero outside.

    The foreground is what is not zero. No other modality is looked at.

    Args:
        voxels: (X, Y, Z), not constant.

    Returns:
        The cropped array and its box on the grid.
    """
    box = bounding_box(voxels != 0)
    cropped = voxels[box.slices]
    foreground = cropped != 0
    values = cropped[foreground].astype(np.float64)
    spread = values.std() or 1.0
    out = np.where(foreground, (cropped - values.mean()) / spread, 0.0)
    return out.astype(np.float32), box


def fingerprint(case: Case) -> dict[str, list[int]]:
    """Size in bytes and time of change in ns of each file, by modality."""
    stats = {name: path.stat() for name, path in case.files.items()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def prepare_case(case: Case, study: Study, out: Path) -> None:
    """Read, check, crop, normalise and store one case.

    Raises:
        InputError: the case cannot be used (see `read_case`).
    """
    volumes = read_case(case, study)
    own = volumes.grid
    grid = study_grid(own, study)
    arrays: dict[str, tuple[NDArray[Any], Box]] = {
        modality: normalise(at_grid(volume.voxels, own, grid, order=1)) for modality, volume in volumes.images.items()
    }
    if volumes.labels is not None:
        labels = at_grid(volumes.labels, own, grid, order=0)
        box = bounding_box(labels > 0)
        arrays[TARGET] = (labels[box.slices], box)
    write_case(out, case.name, arrays, own, grid, volumes.labels, fingerprint(case))


def study_grid(own: Grid, study: Study) -> Grid:
    """The grid that a case is brought to; its own where the study keeps a case's spacing."""
    return own.at_spacing(study.spacing_mm) if any(study.spacing_mm) else own


def at_grid(voxels: NDArray[Any], own: Grid, grid: Grid, order: int) -> NDArray[Any]:
    """Voxels on `grid`; themselves where that is their own."""
    return voxels if grid is own else resample(voxels, own, grid, order)


def prepare(study: Study, cases: Sequence[Case], out: Path, workers: int) -> int:
    """Prepare all cases of a study; those that are there already and whose files have not changed are kept.

    The work is done in a folder beside `out`, which takes its place when all is done: a run that is stopped
    continues there, and a study that cannot be used leaves nothing behind.

    Args:
        study: what the cases share.
        cases: to prepare.
        out: folder of the prepared study.
        workers: processes.

    Returns:
        How many cases were prepared, not counting those kept.

    Raises:
        InputError: any case cannot be used, or `out` holds something else.
    """
    done = _fingerprints(out, study)
    beside = out.with_name(f".{out.name}.partial")
    started_here = not beside.exists()
    done |= _fingerprints(beside, study)
    todo = [case for case in cases if done.get(case.name) != fingerprint(case)]
    try:
        write_study(beside, study)
        map_each(partial(prepare_case, study=study, out=beside), todo, workers, "Preparing")
    except InputError:
        if started_here:
            shutil.rmtree(beside, ignore_errors=True)
        raise
    _move(beside, out)
    return len(todo)


def _fingerprints(folder: Path, study: Study) -> dict[str, Mapping[str, list[int]]]:
    if not folder.exists():
        return {}
    if folder.is_dir() and not any(folder.iterdir()):
        return {}
    prepared = PreparedStudy.open(folder)
    if prepared.study != study:
        raise InputError(f"{folder}: holds another study, {prepared.study.name}; choose another folder")
    return {name: prepared.case(name).source for name in prepared.cases}


def _move(beside: Path, out: Path) -> None:
    if not out.exists() or not any(out.iterdir()):
        os.replace(beside, out)
        return
    for folder in sorted((beside / "cases").glob("[!.]*")):
        place = case_folder(out, folder.name)
        shutil.rmtree(place, ignore_errors=True)
        os.replace(folder, place)
    shutil.rmtree(beside)
