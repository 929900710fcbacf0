"""The folder of a grid of runs, read back: which cell has which place in which table, how far it is, what it scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from passion.data.study import Study
from passion.errors import InputError
from passion.experiments.grid import Shape
from passion.experiments.states import EVALUATION, State, run_folder, state_of, why_broken
from passion.parallel import track
from passion.report.results import Run, read_json, read_run
from passion.report.statistics import with_average_region
from passion.report.tables import AVERAGE_COLUMN
from passion.run_files import CONFIGURATION


@dataclass(frozen=True)
class Place:
    """A cell's place in a table.

    Args:
        dataset: name of the study.
        setting: as the table calls it.
        network: name.
        method: as the table calls it.
        seed: of the cell.
        rates: missing rate of each modality that was asked for; None: perfect data.
        cell: its name.
        state: how far it is.
        reason: why it broke; empty where it did not.
    """

    dataset: str
    setting: str
    network: str
    method: str
    seed: int
    rates: Mapping[str, float] | None
    cell: str
    state: State
    reason: str

    @property
    def row(self) -> tuple[str, str, str]:
        """Setting, network and method."""
        return self.setting, self.network, self.method


@dataclass(frozen=True)
class TableOfOne:
    """A table of one study.

    Args:
        name: of the table.
        shape: see `passion.experiments.grid.Grid`.
        dataset: name of the study.
        study: None where no cell is finished.
        places: in the order of the table.
        runs: of the finished cells, by the cells' names.
    """

    name: str
    shape: Shape
    dataset: str
    study: Study | None
    places: Sequence[Place]
    runs: Mapping[str, Run]

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """Setting, network and method, finished or not."""
        return list(dict.fromkeys(place.row for place in self.places))

    @property
    def methods(self) -> list[str]:
        """In the order of the table; the first is what the others are compared with."""
        return list(dict.fromkeys(place.method for place in self.places))

    @property
    def networks(self) -> list[str]:
        """In the order of the table."""
        return list(dict.fromkeys(place.network for place in self.places))

    @property
    def seeds(self) -> int:
        """How many there are to be."""
        return len({place.seed for place in self.places})

    @property
    def finished(self) -> list[Place]:
        """Places whose cells are done."""
        return [place for place in self.places if place.cell in self.runs]

    def runs_of(self, setting: str, network: str, method: str) -> list[Run]:
        """The finished seeds of a row."""
        return [self.runs[place.cell] for place in self.finished if place.row == (setting, network, method)]

    def of_one_seed(self, setting: str, network: str) -> tuple[int, dict[str, Run]]:
        """The seed that most methods have finished, the first of those, and its runs by method.

        They can be laid beside each other, because they trained on the same draw of what is missing.
        """
        by_seed: dict[int, dict[str, Run]] = {}
        for place in self.finished:
            if (place.setting, place.network) == (setting, network):
                by_seed.setdefault(place.seed, {})[place.method] = self.runs[place.cell]
        seed = max(sorted(by_seed), key=lambda one: len(by_seed[one]))
        return seed, by_seed[seed]

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Tidy scores of the finished cells: setting, network, method, seed, and the columns of `Run.scores`."""
        tables = [
            self.runs[place.cell].scores.assign(
                setting=place.setting, network=place.network, method=place.method, seed=place.seed
            )
            for place in self.finished
        ]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    @cached_property
    def averaged_scores(self) -> pd.DataFrame:
        """`scores` of the regions that the study averages, and of their average; not to be changed.

        Worked out once, because every number of the table begins with it.
        """
        assert self.study is not None
        scores = with_average_region(self.scores, self.study)
        return scores[scores["region"].isin([*self.study.averaged_regions, AVERAGE_COLUMN])]


@dataclass(frozen=True)
class Experiment:
    """A grid of runs.

    Args:
        folder: where it is.
        tables: each for each study.
    """

    folder: Path
    tables: Sequence[TableOfOne]

    @property
    def unfinished(self) -> list[Place]:
        """A place of each cell that is not done, in order."""
        places = [place for table in self.tables for place in table.places if place.state is not State.DONE]
        return list({place.cell: place for place in places}.values())

    @property
    def cells(self) -> int:
        """How many there are to be."""
        return len({place.cell for table in self.tables for place in table.places})


def is_experiment(folder: Path) -> bool:
    """Whether `passion experiment` wrote this folder, and not `passion train`."""
    return any((folder / name).is_dir() for name in ("studies", "cells")) and not (folder / CONFIGURATION).exists()


def read_experiment(folder: Path) -> Experiment:
    """Read what `passion experiment -o FOLDER` wrote, finished or not.

    Raises:
        InputError: no table, no finished cell, or a file that does not fit.
    """
    again = "repeat its `passion experiment` command, which does nothing twice"
    described = {path.stem: _content(path, again) for path in sorted(folder.glob("*.json"))}
    if not described:
        raise InputError(f"{folder}: has no TABLE.json, so none of its cells is begun; {again}, without --dry-run")
    places = {name: _places(folder, name, content, again) for name, content in described.items()}
    done = {place.cell for of in places.values() for place in of if place.state is State.DONE}
    if not done:
        raise InputError(f"{folder}: none of its cells is finished; wait for one, or {again}")
    runs = {
        cell: replace(read_run(run_folder(folder, cell), EVALUATION), name=cell)
        for cell in track(sorted(done), len(done), "Reading cells")
    }
    tables = [
        _of_one(name, described[name]["shape"], dataset, of, runs)
        for name, of in places.items()
        for dataset in dict.fromkeys(place.dataset for place in of)
    ]
    return Experiment(folder, tables)


def _content(path: Path, again: str) -> dict[str, Any]:
    content = read_json(path, again)
    if not {"shape", "places"} <= content.keys():
        raise InputError(f"{path}: does not describe a table; {again}, or take the file away")
    return content


def _places(folder: Path, name: str, content: Mapping[str, Any], again: str) -> list[Place]:
    try:
        return [_place(folder, **place) for place in content["places"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / name}.json: does not describe a table ({error!r}); {again}") from error


def _place(folder: Path, *, cell: str, **words: Any) -> Place:
    """With its state as it is now: an experiment that runs meanwhile changes it."""
    state = state_of(folder, cell)
    return Place(**words, cell=cell, state=state, reason=why_broken(folder, cell) if state is State.BROKEN else "")


def _of_one(name: str, shape: Shape, dataset: str, places: Sequence[Place], runs: Mapping[str, Run]) -> TableOfOne:
    own = [place for place in places if place.dataset == dataset]
    finished = {place.cell: runs[place.cell] for place in own if place.cell in runs}
    study = next(iter(finished.values())).study if finished else None
    return TableOfOne(name, shape, dataset, study, own, finished)
