"""How much time cells will take, from what was measured."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from statistics import fmean

from passion.experiments.cells import Cell
from passion.experiments.states import State
from passion.experiments.work import seconds_by_epoch
from passion.experiments.workspace import TIMES, Workspace

Kind = tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """Of a cell.

    Args:
        epoch_seconds: of one epoch.
        evaluation_seconds: of scoring.
        other_seconds: of starting and ending.
    """

    epoch_seconds: float
    evaluation_seconds: float
    other_seconds: float


def epochs_done(run: Path) -> int:
    """Epochs that a run has finished."""
    return len(seconds_by_epoch(run))


def duration(seconds: float) -> str:
    """For people.

    >>> duration(40), duration(400), duration(40_000)
    ('40 s', '7 min', '11.1 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@dataclass
class Timing:
    """Estimates for cells of a workspace: from those of their kind, else of the same study and network, else from any.

    Args:
        workspace: with cells that may have been measured.
        timed: costs by kind that were measured in some other way.
    """

    workspace: Workspace
    timed: Mapping[Kind, Cost] = field(default_factory=dict)
    _costs: dict[Kind, list[Cost]] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def learn(self, cells: Iterable[Cell]) -> None:
        """Take in what finished cells took."""
        for cell in cells:
            if cell.name not in self._seen and self.workspace.state(cell) is State.DONE:
                self._seen.add(cell.name)
                cost = read_cost(self.workspace, cell)
                for depth in range(len(cell.kind) + 1):
                    self._costs.setdefault(cell.kind[:depth], []).append(cost)

    def knows(self, cell: Cell) -> bool:
        """Whether a cell of its kind is finished."""
        return cell.kind in self._costs

    def cost(self, cell: Cell) -> Cost | None:
        """Of a cell; None where nothing like it was measured."""
        for depth in range(len(cell.kind), -1, -1):
            measured = self._costs.get(cell.kind[:depth])
            if measured:
                return Cost(*(fmean(values) for values in zip(*map(astuple, measured), strict=True)))
            if cell.kind[:depth] in self.timed:
                return self.timed[cell.kind[:depth]]
        return None

    def left(self, cells: Sequence[Cell]) -> float | None:
        """Seconds of work in cells that are not done, on one process; None where some cannot be estimated."""
        self.learn(cells)
        total = 0.0
        for cell in cells:
            if self.workspace.state(cell) is State.DONE:
                continue
            cost = self.cost(cell)
            if cost is None:
                return None
            epochs = cell.epochs - epochs_done(self.workspace.run(cell))
            total += epochs * cost.epoch_seconds + cost.evaluation_seconds + cost.other_seconds
        return total


def read_cost(workspace: Workspace, cell: Cell) -> Cost:
    """What a finished cell took."""
    around = json.loads((workspace.about(cell) / TIMES).read_text(encoding="utf-8"))
    return Cost(float(seconds_by_epoch(workspace.run(cell)).mean()), **around)
