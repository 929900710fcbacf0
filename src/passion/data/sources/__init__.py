"""One file a layout on disk; each yields a study and its cases."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from passion.data.sources import brats
from passion.data.study import Case, Study
from passion.errors import InputError


class Source(Protocol):
    """A layout on disk."""

    LAYOUT: str
    """What the layout looks like, for messages."""

    STUDY: Study
    """The study whose layout it is."""

    @staticmethod
    def read(root: Path) -> tuple[Study, list[Case]] | None:
        """The study and its cases, sorted by name; None where `root` is not of this layout."""


SOURCES: Sequence[Source] = (brats.Brats,)


def study_named(name: str) -> Study:
    """A public study by its name.

    Raises:
        InputError: none has that name.
    """
    known = {source.STUDY.name: source.STUDY for source in SOURCES}
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
    for source in SOURCES:
        found = source.read(root)
        if found is not None:
            return found
    layouts = "; ".join(source.LAYOUT for source in SOURCES)
    raise InputError(f"{root}: holds no case of a known layout ({layouts})")
