"""One file a layout on disk; each yields a study and its cases."""

import sys
from pathlib import Path

from passion.data.sources.contract import Source
from passion.data.study import Case, Study
from passion.errors import InputError
from passion.plugins import discover

SOURCES = discover(sys.modules[__name__], Source)  # type: ignore[type-abstract]
"""Layouts by name; they are tried in this order."""


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
    if layout is not None and layout not in SOURCES:
        raise InputError(f"--layout {layout!r} is unknown; there are: {', '.join(SOURCES)}")
    if not root.exists():
        raise InputError(f"{root}: no such folder or file; give the folder that holds the cases, or a manifest")
    sources = SOURCES if layout is None else {layout: SOURCES[layout]}
    for source in sources.values():
        found = source.read(root)
        if found is not None:
            return found
    if layout is not None:
        raise InputError(f"{root}: holds no case of layout {layout}, which is {SOURCES[layout].LAYOUT}")
    raise InputError(
        f"{root}: holds no case of a known layout ({', '.join(SOURCES)}); name the one it is meant to be with --layout"
    )
