"""One file a layout on disk; each yields a study and its cases."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from passion.data.sources import manifest
from passion.data.sources.contract import Source, check_names, may_enter, subfolders
from passion.data.sources.declaration import DATASET
from passion.data.study import Case, Study
from passion.errors import InputError, note
from passion.plugins import discover

SOURCES = discover(sys.modules[__name__], Source)  # type: ignore[type-abstract]
"""Layouts by name; they are tried in this order."""

PHANTOM_RECORD = "phantom.json"
"""What `passion phantom` leaves beside the cases that it writes."""


def study_named(name: str) -> Study:
    """A public study by its name.

    Raises:
        InputError: none has that name.
    """
    known = {source.STUDY.name: source.STUDY for source in SOURCES.values() if source.STUDY is not None}
    if name not in known:
        raise InputError(f"study {name!r} is unknown; there are: {', '.join(known)}")
    return known[name]


def read_study(root: Path, layout: str | None = None) -> tuple[Study, list[Case]]:
    """List the cases of a study; no image is opened.

    Args:
        root: folder of the study, or a file that lists its cases.
        layout: name of the layout; None finds it out.

    Raises:
        InputError: nothing is there, an unknown layout, or something that the layout does not allow.
    """
    sources = SOURCES if layout is None else {layout: source_named(layout, "--layout")}
    if not root.exists():
        raise InputError(f"{root}: no such folder or file; give the folder that holds the cases, or a manifest")
    for source in sources.values():
        found = source.read(root)
        if found is not None:
            study, cases = found
            check_names((case.name for case in cases), root)
            _note_closed(root)
            folder = root if root.is_dir() else root.parent
            return replace(study, phantom=(folder / PHANTOM_RECORD).is_file()), cases
    elsewhere = next((folder for folder in _nearby(root) if _may_hold(folder, sources.values())), None)
    if elsewhere is not None:
        raise InputError(f"{root}: holds no case itself, but {elsewhere} does; give that folder")
    if layout is not None:
        raise InputError(f"{root}: holds no case of layout {layout}, which is {SOURCES[layout].LAYOUT}")
    raise InputError(
        f"{root}: holds no case of a known layout ({', '.join(SOURCES)}); name the one it is meant to be with "
        "--layout, or list its files in a manifest"
    )


def study_files(root: Path) -> dict[str, Path]:
    """What is read to list the cases of a study, by what people call it; not all of it has to be there."""
    names = (manifest.DEFAULT, str(Path(manifest.DEFAULT).with_suffix(".yaml")), DATASET)
    return {"RAW": root, **{f"RAW's {name}": root / name for name in names}}


def source_named(name: str, option: str) -> type[Source]:
    """A layout by its name.

    Raises:
        InputError: none has that name; `option` is where it was given.
    """
    if name not in SOURCES:
        raise InputError(f"{option} {name!r} is unknown; there are: {', '.join(SOURCES)}")
    return SOURCES[name]


def _nearby(root: Path) -> Iterator[Path]:
    """Where the cases may be that are not in `root`: beside it if it is a file, else up to two folders down."""
    if root.is_file():
        yield root.parent
        return
    folders = subfolders(root)
    yield from folders
    for folder in folders:
        yield from subfolders(folder)


def _note_closed(root: Path) -> None:
    """Say which folders were passed over because they may not be looked into: there may be cases in them."""
    for folder in _nearby(root) if root.is_dir() else ():
        if not may_enter(folder):
            note(f"{folder}: may not be looked into; if it holds a case, change its permissions, since it is left out")


def _may_hold(folder: Path, sources: Iterable[type[Source]]) -> bool:
    try:
        return any(source.read(folder) is not None for source in sources)
    except InputError:
        return True
