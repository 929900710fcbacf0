"""From raw files to the prepared study: crop and normalise each modality by itself, store."""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passion.data.boxes import Box, bounding_box
from passion.data.resampling import Grid, resample, resample_image
from passion.data.store import TARGET, PreparedStudy, case_folder, write_case, write_study
from passion.data.study import Case, Study
from passion.data.volumes import Volume, read_case
from passion.errors import InputError
from passion.files import LOCK, alone_in, put_folder, real_place, remove
from passion.parallel import attempt_each

MOST_VOXELS = 2**30
"""Of a case's grid, 4 GB a modality: more is taken for a slip in the spacing."""

BLOCKS, BLOCK = 5, 4096
"""How many blocks of a file are looked at to notice that it is another one, and their bytes."""

NOTHING_THERE = (
    "nothing of it is in the field of view of the grid that its case is brought to; compare their places in a viewer, "
    "and repair or remove the file"
)


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
    count = np.count_nonzero(cropped)
    mean = cropped.sum(dtype=np.float64) / count
    # Slice by slice, since double precision of a whole volume would take several times its memory.
    squares = sum(np.square(plane[plane != 0] - mean).sum() for plane in cropped)
    spread = np.sqrt(squares / count) or 1.0
    out = np.zeros_like(cropped)
    for plane, normalised in zip(cropped, out, strict=True):
        np.copyto(normalised, (plane - mean) / spread, where=plane != 0, casting="same_kind")
    return out, box


def fingerprint(case: Case) -> dict[str, list[int]]:
    """Size in bytes, time of change in ns, and CRC-32 of a few blocks of each file, by modality.

    Files that were unpacked together may have the same times, and uncompressed ones the same size: only what is in
    them then tells which was exchanged for which. A gzip file ends with the checksum of all that it holds.

    Raises:
        OSError: a file cannot be looked at.
    """
    return {name: _fingerprint_of(path) for name, path in case.files.items()}


def is_unchanged(case: Case, before: Mapping[str, Sequence[int]]) -> bool:
    """Whether files are as they were when `fingerprint` gave `before`, which an earlier version made shorter."""
    now = fingerprint(case)
    return now.keys() == before.keys() and all(now[name][: len(own)] == list(own) for name, own in before.items())


def _fingerprint_of(path: Path) -> list[int]:
    stat, checksum = path.stat(), 0
    with path.open("rb") as file:
        for start in np.linspace(0, max(0, stat.st_size - BLOCK), BLOCKS, dtype=int):
            file.seek(start)
            checksum = zlib.crc32(file.read(BLOCK), checksum)
    return [stat.st_size, stat.st_mtime_ns, checksum]


def prepare_case(case: Case, study: Study, out: Path) -> None:
    """Read, check, crop, normalise and store one case.

    Raises:
        InputError: the case cannot be used (see `read_case`, `study_grid`, `image_on` and `share_lost`).
    """
    volumes = read_case(case, study)
    grid = study_grid(volumes.reference, study)
    arrays: dict[str, tuple[NDArray[Any], Box]] = {
        modality: normalise(image_on(grid, volume)) for modality, volume in volumes.images.items()
    }
    own = (volumes.target or volumes.reference).grid
    own = grid if own.alike(grid) else own
    labels = volumes.labels
    if labels is not None and volumes.target is not None:
        if own is not grid:
            share_lost(grid, volumes.target)
            labels = resample(labels, own, grid, order=0)
        box = bounding_box(labels > 0)
        arrays[TARGET] = (labels[box.slices], box)
    write_case(out, case.name, arrays, own, grid, volumes.labels, fingerprint(case))


def study_grid(reference: Volume, study: Study) -> Grid:
    """The grid that a case is brought to: that of `reference`, in the study's orientation and at its spacing.

    Raises:
        InputError: a spacing that makes far too many voxels, or less than one along an axis.
    """
    own = reference.grid
    own = own.oriented(study.orientation) if study.orientation else own
    spacing_mm = [asked or old for asked, old in zip(study.spacing_mm, own.spacing_mm, strict=True)]
    axes = list(zip("XYZ", own.shape, own.spacing_mm, spacing_mm, strict=True))
    asked = f"{reference.path}: brought to a spacing of {' x '.join(f'{step:.3g}' for step in spacing_mm)} mm"
    # Before there are whole numbers of voxels: what headers and options say has no limit.
    extents = [max(1, extent * old / new) for _, extent, old, new in axes]
    if math.prod(extents) > MOST_VOXELS:
        voxels = " x ".join(f"{extent:.6g}" for extent in extents)
        raise InputError(f"{asked}, it would have {voxels} voxels; give a coarser --spacing")
    for axis, extent, old, new in axes:
        if new > max(old, extent * old):
            raise InputError(
                f"{asked}, its {extent * old:.3g} mm along {axis} would not fill a voxel; give a finer --spacing"
            )
    grid = own.at_spacing(study.spacing_mm)
    return own if grid.alike(own) else grid


def image_on(grid: Grid, volume: Volume) -> NDArray[np.float32]:
    """The voxels of a modality on `grid`; themselves where that is their own.

    Raises:
        InputError: nothing of it is there.
    """
    if volume.grid.alike(grid):
        return volume.voxels
    moved = resample_image(volume.voxels, volume.grid, grid)
    if not moved.any():
        raise InputError(f"{volume.path}: {NOTHING_THERE}")
    return moved


def share_lost(grid: Grid, target: Volume) -> float:
    """Of the labelled voxels of a case, the share outside of the field of view of `grid`; 0 where there are none.

    Raises:
        InputError: all are outside.
    """
    labelled = target.voxels != 0
    lost = int((labelled & target.grid.outside(grid)).sum())
    if lost and lost == labelled.sum():
        raise InputError(f"{target.path}: {NOTHING_THERE}")
    return lost / max(1, int(labelled.sum()))


@dataclass(frozen=True)
class Preparation:
    """What `prepare` did.

    Args:
        cases: that were given and are in the prepared study.
        done: how many of them were prepared, not counting those kept.
        left_out: why, by the names of the cases that were left out.
        others: that the prepared study has from before.
    """

    cases: int
    done: int
    left_out: Mapping[str, str]
    others: Sequence[str]


def prepare(study: Study, cases: Sequence[Case], out: Path, workers: int = 0, skip_broken: bool = False) -> Preparation:
    """Prepare all cases of a study; those that are there already, whole, and whose files have not changed are kept.

    The work is done in a folder beside `out`, which takes its place when all is done: a run that is stopped
    continues there, and a study that cannot be used leaves nothing behind.

    Args:
        study: what the cases share.
        cases: to prepare.
        out: folder of the prepared study; where it is a link, what that leads to.
        workers: processes; none: in this one.
        skip_broken: leave out the cases that cannot be used, instead of refusing them.

    Raises:
        InputError: any case cannot be used (with `skip_broken`: all of them), or `out` holds another study or this one
            on other grids.
    """
    out = real_place(out)
    beside = out.with_name(f".{out.name}.partial")
    begun = (beside / "study.json").exists()
    with alone_in(beside, f"{out}: another process is preparing it; wait for that"):
        if not begun:
            remove(beside / "cases")
        try:
            done = _fingerprints(out, study, workers) | (_fingerprints(beside, study, workers) if begun else {})
            todo = [case for case in cases if not _is_kept(case, done)]
            write_study(beside, study, {})
            outcomes = attempt_each(partial(prepare_case, study=study, out=beside), todo, workers, "Preparing")
            left_out = {case.name: str(one) for case, one in zip(todo, outcomes, strict=True) if one is not None}
            if left_out and (not skip_broken or len(left_out) == len(cases)):
                raise InputError("\n".join(left_out.values()))
            write_study(beside, study, left_out)
        except InputError:
            if not begun:
                remove(beside)
            raise
        _move(beside, out, study, left_out)
    given = {case.name for case in cases}
    others = [name for name in PreparedStudy.open(out).cases if name not in given]
    return Preparation(len(cases) - len(left_out), len(todo) - len(left_out), left_out, others)


def _is_kept(case: Case, done: Mapping[str, Mapping[str, list[int]]]) -> bool:
    try:
        return case.name in done and is_unchanged(case, done[case.name])
    except OSError:
        return False


def _fingerprints(folder: Path, study: Study, workers: int) -> dict[str, Mapping[str, list[int]]]:
    """What the files were that each whole case of a prepared study was made from."""
    if not folder.exists():
        return {}
    if folder.is_dir() and not any(folder.iterdir()):
        return {}
    if not (folder / "study.json").exists():
        raise InputError(f"{folder}: holds something else than a prepared study; name a new folder")
    prepared = PreparedStudy.open(folder)
    _check_same_study(prepared, study)
    sources = attempt_each(partial(_source_if_whole, prepared), prepared.cases, workers, "Looking at what is there")
    return {name: one for name, one in zip(prepared.cases, sources, strict=True) if not isinstance(one, InputError)}


def _check_same_study(prepared: PreparedStudy, study: Study) -> None:
    if prepared.study == study:
        return
    asked = {name: getattr(study, name) for name in ("resample", "spacing_mm", "orientation")}
    if replace(prepared.study, **asked) == study:
        raise InputError(
            f"{prepared.folder}: was prepared with {prepared.study.geometry}, not with {study.geometry}; prepare it as "
            "it was, choose another folder, or remove this one"
        )
    raise InputError(f"{prepared.folder}: holds another study, {prepared.study.name}; choose another folder")


def _source_if_whole(prepared: PreparedStudy, name: str) -> Mapping[str, list[int]]:
    case = prepared.case(name)
    case.check()
    return case.source


def _move(beside: Path, out: Path, study: Study, left_out: Mapping[str, str]) -> None:
    if not out.exists() or not any(out.iterdir()):
        put_folder(beside, out)
        remove(out / LOCK)
        return
    for name in left_out:
        remove(case_folder(out, name))
    for folder in sorted((beside / "cases").glob("[!.]*")):
        put_folder(folder, case_folder(out, folder.name))
    write_study(out, study, left_out)
    remove(beside)
