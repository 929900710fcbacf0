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
    known = {source.STUDY.name: source.STUDY for source in SOURCES.values()}
    if name not in known:
        raise InputError(f"study {name!r} is unknown; there are: {', '.join(known)}")
    return known[name]


def read_study(root: Path) -> tuple[Study, list[Case]]:
    """Find out the layout of `root` and list its cases; no image is opened.

    Raises:
        InputError: no such folder, or no known layout.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the folder that holds the cases")
    for source in SOURCES.values():
        found = source.read(root)
        if found is not None:
            return found
    layouts = "; ".join(source.LAYOUT for source in SOURCES.values())
    raise InputError(f"{root}: holds no case of a known layout ({layouts})")
