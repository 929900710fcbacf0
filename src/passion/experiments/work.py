"""Running one cell, here or as `python -m passion.experiments.work OUT NAME`, which ends with its parent."""

import os
import sys
import threading
import time
import traceback
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from passion import run_files
from passion.allocator import keep_freed_memory
from passion.configuration import Configuration
from passion.errors import InputError
from passion.evaluation.run import evaluate_run
from passion.experiment import train
from passion.experiments.states import BROKEN, State
from passion.experiments.workspace import TIMES, Workspace
from passion.files import alone_in, write_json, write_text
from passion.run_folder import is_begun

ELSEWHERE = 75
"""Exit code: another process works on this cell."""


def run_cell(out: Path, name: str) -> bool:
    """Train and score a planned cell, or what is left of it.

    Args:
        out: folder of the grid.
        name: of the cell.

    Returns:
        Whether it is done; False where another process works on it.

    Raises:
        Exception: whatever broke it; the reason is left in its `broken.txt`.
    """
    keep_freed_memory()
    workspace = Workspace(out)
    about = workspace.about(name)
    with ExitStack() as stack:
        try:
            stack.enter_context(alone_in(about, f"{name}: another process works on it"))
        except InputError:
            return False
        if workspace.state(name) is not State.DONE:
            try:
                _train_and_score(workspace, name)
            except Exception as error:
                write_text(about / BROKEN, one_line(error) + "\n")
                raise
    return True


def one_line(error: BaseException) -> str:
    """What went wrong, for people."""
    text = " ".join(str(error).split())
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"


def _train_and_score(workspace: Workspace, name: str) -> None:
    started = time.monotonic()
    run, about = workspace.run(name), workspace.about(name)
    before = seconds_by_epoch(run).sum()
    configuration = Configuration.from_file((run if is_begun(run) else about) / run_files.CONFIGURATION)
    train(configuration, run, resume=True)
    trained = time.monotonic()
    device = "cpu" if configuration.training.accelerator == "cpu" else "auto"
    evaluate_run(run, device=device)
    around = trained - started - float(seconds_by_epoch(run).sum() - before)
    times = {"evaluation_seconds": time.monotonic() - trained, "other_seconds": around}
    write_json(about / TIMES, times)


def seconds_by_epoch(run: Path) -> "pd.Series[float]":
    """How long each epoch of a run took; empty where none has ended."""
    path = run / run_files.HISTORY
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
