"""Files that are never half-written: everything is written beside its place, synced and renamed.


What a killed process leaves beside is locked by nobody, and so it is told from what a living one is writing: whoever
writes to the same place next removes it.
"""

import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from passion.errors import InputError

LONGEST_ENDING = 200
"""Bytes: a file system allows 255 for a name, and a temporary one begins with some of its own."""

NEARLY_FULL = 2**16
"""Bytes that are left."""

PARTIAL = ".partial-"
"""What is being written."""
ASIDE = ".replaced-"
"""A folder that another one is taking the place of."""
LOCK = ".lock"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _permissions(base: int) -> int:
    """What `open` (base 0o666) or `mkdir` (base 0o777) would have given: temporary files start out private."""
    mask = os.umask(0)
    os.umask(mask)
    return base & ~mask


def remove(path: Path) -> None:
    """Remove a file or a whole folder; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _lock(descriptor: int, wait: bool) -> bool:
    """Whether the file is now locked by us; False too where a file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def sweep(folder: Path, name: str = "") -> None:
    """Remove what killed processes were writing in `folder`, and leave what living ones are writing.

    Args:
        folder: not its subfolders.
        name: only what was to become a file or folder whose name ends so.
    """
    for path in folder.glob(f"{PARTIAL}*"):
        if not path.name.endswith(name):
            continue
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
            try:
                if _lock(descriptor, wait=False):
                    remove(path)
            finally:
                os.close(descriptor)


def _claim(path: Path, folder: bool) -> tuple[Path, int]:
    """A new temporary file or folder beside `path`, and the descriptor that holds its lock."""
    while True:
        if folder:
            beside = Path(tempfile.mkdtemp(prefix=PARTIAL, suffix=_ending(path), dir=path.parent))
        else:
            made, name = tempfile.mkstemp(prefix=PARTIAL, suffix=_ending(path), dir=path.parent)
            os.close(made)
            beside = Path(name)
        # In the moment before it is locked another process may sweep it: then it is made anew.
        with suppress(FileNotFoundError):
            descriptor = os.open(beside, os.O_RDONLY if folder else os.O_RDWR)
            _lock(descriptor, wait=True)
            if beside.exists():
                return beside, descriptor
            os.close(descriptor)


@contextmanager
def _beside(path: Path, folder: bool) -> Iterator[Path]:
    """A temporary file or folder beside `path`, locked as long as we live; it is gone afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, _ending(path))
    beside, descriptor = _claim(path, folder)
    try:
        yield beside
    finally:
        remove(beside)
        os.close(descriptor)


def real_place(path: Path) -> Path:
    """Where a file or folder really goes: a link stays a link, and what it leads to is replaced.

    Raises:
        InputError: it is the root, the folder that this process runs in, which would be pulled away under it, or a
            device or pipe, which a file would take the place of.
    """
    place = Path(os.path.realpath(path))
    if not place.name:
        raise InputError(f"{path}: is the root of all folders; name a new one")
    if os.path.isdir(place) and place.samefile(os.curdir):
        raise InputError(f"{path}: is the folder that this command runs in; name a new one")
    if os.path.exists(place) and not (os.path.isfile(place) or os.path.isdir(place)):
        raise InputError(f"{path}: is a device or a pipe, which a file cannot take the place of; name a file")
    return place if path.is_symlink() else path


def check_apart(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Refuse to write over what is read, or over what else is written.

    Args:
        outputs: files or folders to write, by what people call them; None where one is not asked for.
        inputs: files or folders to read, likewise.

    Raises:
        InputError: two of them are the same.
    """
    outputs, inputs = ({name: path for name, path in given.items() if path} for given in (outputs, inputs))
    for name, path in outputs.items():
        for other, taken in {**inputs, **outputs}.items():
            if name != other and os.path.realpath(path) == os.path.realpath(taken):
                raise InputError(f"{name} {path}: is {other} too; choose another name")


def _ending(path: Path) -> str:
    """What a temporary name ends in: as much of the name as leaves it as short as names may be."""
    name = path.name
    while len(os.fsencode(name)) > LONGEST_ENDING:
        name = name[1:]
    return name


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the place that could not be written, and say that the disk is full where a library keeps that to itself."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        code = error.errno if isinstance(error, OSError) else None
        if not code and path.parent.exists() and shutil.disk_usage(path.parent).free < NEARLY_FULL:
            code = errno.ENOSPC
        named = getattr(error, "filename", None)
        if code and (named is None or Path(str(named)).name.startswith(PARTIAL)):
            raise OSError(code, os.strerror(code), str(path)) from error
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, sync it and move it to `path` in one step.

    The temporary name ends like `path`, so that libraries that look at the suffix write the same format. When
    the block raises, `path` is as it was before. Where `path` is a link, what it leads to is replaced.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "a.txt") as beside:
    ...         _ = beside.write_text("whole")
    ...     (Path(folder) / "a.txt").read_text()
    'whole'
    """
    path = real_place(Path(path))
    with naming(path), _beside(path, folder=False) as beside, naming(path):
        yield beside
        beside.chmod(_permissions(0o666))
        _sync(beside)
        beside.replace(path)
        _sync(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As `replacing`, for a folder: it appears whole at `path`, in place of what was there, or not at all."""
    path = real_place(Path(path))
    restore_folder(path)
    with naming(path), _beside(path, folder=True) as beside, naming(path):
        yield beside
        beside.chmod(_permissions(0o777))
        for file in beside.rglob("*"):
            _sync(file)
        _sync(beside)
        put_folder(beside, path)


def put_folder(source: Path, path: Path) -> None:
    """Move a folder to `path`, in place of the one that is there.

    There is a moment between two renames when nothing is at `path`: the old folder is then beside it, and
    `restore_folder` brings it back.
    """
    restore_folder(path)
    aside = path.with_name(ASIDE + _ending(path))
    if path.exists():
        path.rename(aside)
    source.rename(path)
    _sync(path.parent)
    remove(aside)


def restore_folder(path: Path) -> None:
    """Bring back the folder at `path` where a process was killed while it put another in its place."""
    aside = path.with_name(ASIDE + _ending(path))
    if not aside.exists():
        return
    if path.exists():
        remove(aside)
    else:
        aside.rename(path)


def withdraw_folder(path: Path) -> None:
    """Remove the folder at `path`, the one that a link there leads to, and what killed processes left of replacing it.

    Raises:
        OSError: some of it cannot be removed.
    """
    place = real_place(Path(path))
    sweep(place.parent, _ending(place))
    for folder in (place.with_name(ASIDE + _ending(place)), place):
        if folder.exists():
            shutil.rmtree(folder)
    path.unlink(missing_ok=True)


@contextmanager
def alone_in(folder: Path, refusal: str) -> Iterator[None]:
    """Keep every other process that asks for the same out of `folder`, which is made if it is not there.

    The lock goes with the process, whichever way it ends; its children do not inherit it. On a file system without
    locks nobody is kept out.

    Raises:
        InputError: another process is there; with the text `refusal`.
    """
    with _locked(folder, refusal):
        yield


def _locked(folder: Path, refusal: str) -> IO[str]:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            file.close()
            raise InputError(refusal) from error
        except OSError:
            pass
        # The process before may have moved the folder away: then what we have locked is another one's.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), (folder / LOCK).stat()):
                return file
        file.close()


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` whole or not at all."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
