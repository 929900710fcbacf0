"""Running one cell, here or as `python -m passion.experiments.work OUT NAME`, which ends with its parent."""

import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from passion.configuration import Configuration
from passion.errors import InputError
from passion.evaluation.run import evaluate_run
from passion.experiment import train
from passion.experiments.states import State
from passion.experiments.workspace import Workspace
from passion.files import write_json, write_text

ELSEWHERE = 75
"""Exit code: another process works on this cell."""


@contextmanager
def alone(workspace: Workspace, name: str) -> Iterator[bool]:
    """Whether this process is the one that works on a cell; the system forgets it when the process ends."""
    import fcntl

    path = workspace.file(name, ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def run_cell(out: Path, name: str) -> bool:
    """Train and score a planned cell, or what is left of it.

    Args:
        out: folder of the grid.
        name: of the cell.

    Returns:
        Whether it is done; False where another process works on it.

    Raises:
        Exception: whatever broke it; the reason is left in its `.failed` file.
    """
    workspace = Workspace(out)
    with alone(workspace, name) as mine:
        if mine and workspace.state(name) is not State.DONE:
            try:
                _train_and_score(workspace, name)
            except Exception as error:
                write_text(workspace.file(name, ".failed"), one_line(error) + "\n")
                raise
        return mine


def one_line(error: BaseException) -> str:
    """What went wrong, for people."""
    text = " ".join(str(error).split())
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"


def _train_and_score(workspace: Workspace, name: str) -> None:
    started = time.monotonic()
    run = workspace.run(name)
    resume = workspace.clear_unless_begun(name)
    configuration = Configuration.from_file(run / "config.yaml" if resume else workspace.file(name, ".yaml"))
    before = seconds_by_epoch(run).sum() if resume else 0.0
    train(configuration, run, resume)
    trained = time.monotonic()
    device = "cpu" if configuration.training.accelerator == "cpu" else "auto"
    evaluate_run(run, "last", "test", None, device)
    ended = time.monotonic()
    around = trained - started - float(seconds_by_epoch(run).sum() - before)
    write_json(workspace.file(name, ".json"), {"evaluation_seconds": ended - trained, "other_seconds": around})


def seconds_by_epoch(run: Path) -> "pd.Series[float]":
    """How long each epoch of a run took; empty where none has ended."""
    path = run / "history.csv"
    if not path.exists():
        return pd.Series(dtype=float)
    history = pd.read_csv(path, keep_default_na=False)
    return history[history["quantity"] == "seconds"].set_index("epoch")["value"]


def _end_with_parent() -> None:
    """The parent holds the other end of standard input: it closes when the parent ends, in whatever way."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(130)

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    """Run the cell that the command line names; the exit code is 0, 1 where it broke, or `ELSEWHERE`."""
    _end_with_parent()
    try:
        return 0 if run_cell(Path(sys.argv[1]), sys.argv[2]) else ELSEWHERE
    except Exception:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    sys.exit(main())
