"""Cells in local processes, some at a time, with an overview."""

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from passion.experiments.cells import Cell
from passion.experiments.states import BROKEN, State
from passion.experiments.timing import Timing, duration, epochs_done
from passion.experiments.work import ELSEWHERE
from passion.experiments.workspace import LOG, Workspace
from passion.files import write_text

LOOK_SECONDS = 0.5
"""Between looks at the processes."""


@dataclass(frozen=True)
class Job:
    """A cell in a process of its own."""

    cell: Cell
    process: "subprocess.Popen[bytes]"
    log: BinaryIO
    task: TaskID


def threads_of_each(jobs: int) -> int:
    """Of `jobs` cells side by side: they share the threads that this process has, all cores or OMP_NUM_THREADS."""
    return max(1, torch.get_num_threads() // jobs)


def start(workspace: Workspace, cell: Cell, threads: int) -> "tuple[subprocess.Popen[bytes], BinaryIO]":
    """Begin to run a planned cell; it ends when this process does."""
    log = (workspace.about(cell) / LOG).open("ab")
    command = [sys.executable, "-m", "passion.experiments.work", str(workspace.out), cell.name]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
    )
    return process, log


def run_local(workspace: Workspace, cells: Sequence[Cell], jobs: int, timing: Timing) -> None:
    """Run planned cells, `jobs` at a time; one that breaks does not stop the others.

    Args:
        workspace: where they are planned.
        cells: in the order in which they are begun.
        jobs: how many at a time.
        timing: says how much time is left.

    Raises:
        KeyboardInterrupt: after all processes have been stopped.
    """
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    waiting, active = deque(cells), list[Job]()
    threads = threads_of_each(jobs)
    seen: dict[str, int] = {}
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as progress:
        whole = progress.add_task("Cells", total=len(cells), note="")
        try:
            while waiting or active:
                while waiting and len(active) < jobs:
                    active.append(_begin(workspace, waiting.popleft(), threads, progress))
                time.sleep(LOOK_SECONDS)
                for job in [job for job in active if job.process.poll() is not None]:
                    active.remove(job)
                    timing.learn([job.cell])
                    progress.remove_task(job.task)
                    progress.advance(whole)
                    progress.console.print(_end(workspace, job), soft_wrap=True, highlight=False, markup=False)
                epochs = {job.cell.name: epochs_done(workspace.run(job.cell)) for job in active}
                if epochs == seen:
                    continue
                seen = epochs
                for job in active:
                    progress.update(job.task, completed=epochs[job.cell.name])
                left = timing.left([*waiting, *(job.cell for job in active)])
                progress.update(whole, note=f"about {duration(left / jobs)} left" if left else "")
        finally:
            _stop(active)


def _stop(active: Sequence[Job]) -> None:
    """At any moment: what is on disk is whole."""
    for job in active:
        job.process.kill()
    for job in active:
        job.process.wait()
        job.log.close()


def _begin(workspace: Workspace, cell: Cell, threads: int, progress: Progress) -> Job:
    process, log = start(workspace, cell, threads)
    task = progress.add_task(f"  {cell.name}", total=cell.epochs, completed=0, note="epochs")
    return Job(cell, process, log, task)


def _end(workspace: Workspace, job: Job) -> str:
    """Make sure that a cell that broke says why, and say how it ended."""
    job.log.close()
    code, cell = job.process.returncode, job.cell
    if code == ELSEWHERE:
        return f"{cell.name}: another process works on it"
    if workspace.state(cell) is State.DONE:
        return f"{cell.name}: done"
    if workspace.state(cell) is not State.BROKEN:
        cause = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        write_text(workspace.about(cell) / BROKEN, f"{cause}; out of memory?\n")
    return f"{cell.name}: broken: {workspace.why_broken(cell)}"
