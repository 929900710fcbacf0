"""How far a run folder has come, and who may go on in it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from passion.data.study import CONFIGURATION
from passion.errors import InputError, note
from passion.files import LOCK, PARTIAL, alone_in, sweep
from passion.runs import checkpoint_path, versions
from passion.weights import read_weights

PARTS = ("study.json", "split.csv", "presence.csv", "data.json", "grids.json", "versions.json")
"""What is written before the `CONFIGURATION`."""


def is_begun(out: Path) -> bool:
    """Whether a run folder is whole, so that a run can go on in it."""
    return (out / CONFIGURATION).exists()


def check_run_folder(out: Path, resume: bool) -> None:
    """Refuse a folder in which a run can neither go on nor begin.

    A run can begin where nothing is, and in what is left of one that was killed before it was begun.

    Raises:
        InputError: see above.
    """
    if is_begun(out):
        if not resume:
            raise InputError(f"--out {out}: exists; choose another folder, or --resume to continue that run")
    elif out.exists() and not _may_begin(out):
        raise InputError(f"--out {out}: exists and holds something else; choose another folder")


def _may_begin(out: Path) -> bool:
    names = [path.name for path in out.iterdir()] if out.is_dir() else [out.name]
    ours = LOCK in names and all(name in (LOCK, *PARTS) or name.startswith(PARTIAL) for name in names)
    return not names or ours


@contextmanager
def claim_run_folder(out: Path, resume: bool) -> Iterator[None]:
    """Train alone in `out`; what killed processes were writing there is removed.

    Raises:
        InputError: another process trains there, or has begun a run there and `resume` is not said.
    """
    with alone_in(out, f"--out {out}: another process is training there; wait for it, or choose another folder"):
        check_run_folder(out, resume)
        for folder in (out, checkpoint_path(out, "last").parent):
            sweep(folder)
        yield


def epochs_done(out: Path) -> int:
    """Whole epochs that the last checkpoint has seen; 0 where there is none.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    path = checkpoint_path(out, "last")
    if not path.exists():
        return 0
    remedy = "remove it to begin that run again"
    try:
        return int(read_weights(path, remedy)["epoch"]) + 1
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: is no checkpoint of a run; {remedy}") from error


def surroundings() -> dict[str, str]:
    """All that the last digits depend on, beside configuration and data."""
    threads, capability = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    return {**versions(), "threads": str(threads), "cpu": capability}


def say_what_changed(out: Path) -> None:
    """A line for whoever continues a run elsewhere than it was begun: then its last digits may differ."""
    try:
        begun = json.loads((out / "versions.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    now = surroundings()
    changed = [f"{name} {begun[name]} -> {value}" for name, value in now.items() if begun.get(name, value) != value]
    if changed:
        note(f"{out} was begun elsewhere ({', '.join(changed)}); it goes on, but not bit for bit")
