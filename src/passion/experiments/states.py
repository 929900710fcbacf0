"""How far the cells of a grid of runs are, told from the files in its folder; see `passion.experiments.workspace`."""

from enum import Enum
from pathlib import Path

from passion import run_files

EVALUATION = "test-last"
"""Which evaluation of a cell's run counts."""

BROKEN = "broken.txt"
"""Says why a cell broke, in one line."""


class State(Enum):
    """How far a cell is."""

    DONE = "done"
    BEGUN = "begun"
    BROKEN = "broken"
    NEW = "new"


def run_folder(out: Path, cell: str) -> Path:
    """Of a cell of the grid in `out`."""
    return out / "runs" / cell


def about_folder(out: Path, cell: str) -> Path:
    """Of what is not part of its run."""
    return out / "cells" / cell


def is_evaluated(run: Path) -> bool:
    """Whether the evaluation of a run that counts is whole."""
    return (run / "evaluation" / EVALUATION / run_files.SETTINGS).exists()


def state_of(out: Path, cell: str) -> State:
    """How far a cell of the grid in `out` is."""
    run = run_folder(out, cell)
    if is_evaluated(run):
        return State.DONE
    if (about_folder(out, cell) / BROKEN).exists():
        return State.BROKEN
    return State.BEGUN if (run / run_files.CONFIGURATION).exists() else State.NEW


def why_broken(out: Path, cell: str) -> str:
    """The reason in one line; empty where it is tried again meanwhile."""
    try:
        return (about_folder(out, cell) / BROKEN).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
