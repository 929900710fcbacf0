"""A study in another layout: its files are copied as they are, and made anew only where voxels have to change."""

import gzip
import hashlib
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from passion.data.nifti import open_nifti
from passion.data.prepare import fingerprint
from passion.data.sources.contract import Source
from passion.data.sources.plan import Codes, Piece, Plan, ending_of
from passion.data.study import Case, Channel, Study, file_of
from passion.data.volumes import read_channel, read_labels, read_volume
from passion.errors import InputError
from passion.files import LOCK, alone_in, put_folder, real_place, remove, replacing, write_text
from passion.parallel import map_each

RECORD = ".conversion"
"""Tells, in an unfinished folder, what it is being made of."""

PAPERS = ("LICEN[CS]E*", "NOTICE*", "phantom.json")

COMPRESSION_LEVEL = 3


def papers_in(root: Path) -> list[Path]:
    """What says in a folder whose the study is, and goes along with it."""
    return sorted(path for pattern in PAPERS for path in root.glob(pattern) if path.is_file())


def convert(
    study: Study,
    cases: Sequence[Case],
    source: type[Source],
    out: Path,
    papers: Sequence[Path] = (),
    link: bool = False,
    workers: int = 0,
) -> Plan:
    """Write a study in a layout.

    The work is done in a folder beside `out`, which takes its place when all is done: a run that is stopped continues
    there, and a study that cannot be written leaves nothing behind.

    Args:
        study: what the cases share.
        cases: to write.
        source: the layout.
        out: folder to write; where it is a link, what that leads to.
        papers: files that are copied into it besides.
        link: make symbolic links to files that need no change, instead of copies.
        workers: processes.

    Returns:
        What was written.

    Raises:
        InputError: the layout cannot hold the study, a file cannot be used, `out` holds something, or another process
            is writing it.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise InputError(f"{out}: exists; name a new folder")
    for case in cases:
        if not case.images:
            raise InputError(f"case {case.name} has no modality at all; remove it, or leave such cases out: --complete")
    problems = [problem for case in cases for problem in case.problems]
    if problems:
        raise InputError("\n".join(problems))
    plan = source.plan(study, cases)
    what = repr((plan, link, [fingerprint(case) for case in cases]))
    out = real_place(out)
    beside = out.with_name(f".{out.name}.partial")
    with alone_in(beside, f"{out}: another process is writing it; wait for that"):
        _begin(beside, what)
        try:
            map_each(partial(_write, study=study, root=beside, link=link), plan.pieces, workers, "Converting")
        except InputError:
            remove(beside)
            raise
        for name, text in plan.texts.items():
            write_text(beside / name, text)
        for path in papers:
            _copy(path, beside / path.name)
        (beside / RECORD).unlink()
        put_folder(beside, out)
        remove(out / LOCK)
    return plan


def _begin(beside: Path, what: str) -> None:
    """Leave what an earlier run made, if it was to make the same of the same files; nothing else."""
    record, digest = beside / RECORD, hashlib.sha256(what.encode()).hexdigest()
    if not record.is_file() or record.read_text(encoding="utf-8") != digest:
        for path in beside.iterdir():
            if path.name != LOCK:
                remove(path)
        write_text(record, digest)


def _write(piece: Piece, study: Study, root: Path, link: bool) -> None:
    path = root / piece.path
    if path.is_symlink() or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    match piece.parts:
        case (Path() as file,) if piece.codes is None and link and ending_of(file) == ending_of(path):
            path.symlink_to(file.resolve())
        case (Path() as file,) if piece.codes is None:
            _copy(file, path)
        case (Path() as file,) if piece.codes is not None:
            _save(_recoded(file, study, piece.codes), file, path)
        case parts:
            _save(_gathered(parts), file_of(parts[0]), path)


def _copy(file: Path, path: Path) -> None:
    """The same bytes, compressed where the file is not and `path` is meant to be."""
    with replacing(path) as beside, file.open("rb") as source, beside.open("wb") as sink:
        if ending_of(file) == ending_of(path):
            shutil.copyfileobj(source, sink)
        else:
            with gzip.GzipFile("", "wb", COMPRESSION_LEVEL, sink, mtime=0) as compressed:
                shutil.copyfileobj(source, compressed)


def _recoded(file: Path, study: Study, codes: Codes) -> NDArray[np.generic]:
    _, classes = read_labels(file, study)
    table = np.array([codes[code] for code in study.codes.tolist()])
    return table.astype(np.min_scalar_type(table.max()))[classes]


def _gathered(parts: Sequence[Path | Channel]) -> NDArray[np.generic]:
    """One volume, or several along a fourth axis; in the type that is stored, if float32 holds that exactly."""
    first, *others = (read_channel(part) if isinstance(part, Channel) else read_volume(part) for part in parts)
    for other in others:
        if not other.grid.alike(first.grid):
            raise InputError(
                f"{other.path}: is on another grid than {first.path.name}, and cannot go into one file with it; choose "
                "another layout"
            )
    whole = np.stack([first.voxels, *(other.voxels for other in others)], axis=-1) if others else first.voxels
    stored = np.result_type(*(_stored_type(file_of(part)) for part in parts))
    return whole.astype(stored if np.can_cast(stored, np.float32) else np.float32)


def _stored_type(file: Path) -> np.dtype[Any]:
    """Of the voxels, after the scaling that the file asks for."""
    with open_nifti(file) as image:
        scaled = (image.slope, image.intercept) != (1, 0)
        return np.dtype(np.float32) if scaled else image.dtype.newbyteorder("=")


def _save(voxels: NDArray[np.generic], like: Path, path: Path) -> None:
    """At the place of the file `like`."""
    with open_nifti(like) as source:
        source.header.set_data_offset(0)
        image = nibabel.Nifti1Image(voxels, source.affine, source.header, dtype=voxels.dtype)
    with replacing(path) as beside:
        nibabel.save(image, beside)
