"""What cells will cost, from a few timed steps of a kind that none is finished of."""

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from passion.configuration import Configuration, DataSettings
from passion.data.loading import training_items
from passion.data.split import Split, read_split, write_split
from passion.data.store import PreparedStudy
from passion.experiment import training_presence
from passion.experiments.cells import Cell
from passion.experiments.local import start, threads_of_each
from passion.experiments.plan import Plan
from passion.experiments.states import State
from passion.experiments.timing import Cost, Kind, read_cost
from passion.experiments.work import seconds_by_epoch
from passion.experiments.workspace import Workspace
from passion.parallel import track
from passion.run_files import CONFIGURATION

STEPS = 4
"""Of each of two epochs; the first one warms up."""

LIMIT_SECONDS = 180
"""After which a kind is given up."""


def one_of_each_kind(cells: Sequence[Cell]) -> list[Cell]:
    """The first cell of each kind."""
    first: dict[Kind, Cell] = {}
    for cell in cells:
        first.setdefault(cell.kind, cell)
    return list(first.values())


def measure(plan: Plan, cells: Sequence[Cell], jobs: int) -> dict[Kind, Cost]:
    """Time a few steps and the scoring of one case of each of `cells`; those that take too long are left out.

    Each runs by itself, with the threads that it has beside `jobs` - 1 others.
    """
    costs: dict[Kind, Cost] = {}
    threads = threads_of_each(jobs)
    with TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        for cell in track(cells, len(cells), "Timing a few steps"):
            cost = _measure(plan, workspace, cell, threads)
            if cost:
                costs[cell.kind] = cost
    return costs


def _measure(plan: Plan, workspace: Workspace, cell: Cell, threads: int) -> Cost | None:
    prepared = plan.studies[cell.study]
    split = read_split(plan.workspace.split(cell.study), prepared.cases)
    write_split(workspace.split(cell.study), {**split, "test": split["test"][:1]})
    batch = int(cell.data.get("batch_size", DataSettings.batch_size))
    short = replace(
        cell, data={**cell.data, "samples_per_epoch": STEPS * batch}, training={**cell.training, "epochs": 2}
    )
    workspace.plan(short, prepared)
    process, log = start(workspace, short, threads)
    try:
        process.wait(LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    finally:
        process.kill()
        process.wait()
        log.close()
    if workspace.state(short) is not State.DONE:
        return None
    around = read_cost(workspace, short)
    configuration = Configuration.from_file(workspace.about(short) / CONFIGURATION)
    step_seconds = float(seconds_by_epoch(workspace.run(short)).iloc[-1]) / STEPS
    return Cost(
        epoch_seconds=step_seconds * _samples(cell, configuration, prepared, split) / batch,
        evaluation_seconds=around.evaluation_seconds * len(split["test"]),
        other_seconds=around.other_seconds,
    )


def _samples(cell: Cell, configuration: Configuration, prepared: PreparedStudy, split: Split) -> int:
    """Of an epoch of the cell, whose shortened run is configured so."""
    data = configuration.data
    given = cell.data.get("samples_per_epoch")
    dims = data.spatial_dims or prepared.study.spatial_dims
    return int(given) if given else len(training_items(prepared, training_presence(data, prepared, split), dims))
