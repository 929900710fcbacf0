"""Tables from prepared studies: what is to be done, what is done, and doing it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from passion.data.store import PreparedStudy
from passion.errors import InputError
from passion.experiments.cells import Cell, Place, by_seed, expand
from passion.experiments.grid import Grid, Layout, Scale, read_grid, read_scale
from passion.experiments.scores import PLACE, SCORES, collect
from passion.experiments.states import State
from passion.experiments.workspace import Workspace
from passion.files import replacing, write_json
from passion.reading import read_json, read_table


@dataclass(frozen=True)
class Table:
    """One table to be filled.

    Args:
        name: that its file is called by.
        grid: its definition.
        places: of its cells, for all studies.
    """

    name: str
    grid: Grid
    places: Sequence[Place]


@dataclass(frozen=True)
class Plan:
    """Everything that was asked for.

    Args:
        workspace: where it is done.
        tables: to be filled.
        studies: prepared, by name.
    """

    workspace: Workspace
    tables: Sequence[Table]
    studies: Mapping[str, PreparedStudy]

    @property
    def cells(self) -> list[Cell]:
        """Each cell once, seed by seed, so that a study that is not finished is balanced."""
        return by_seed([place for table in self.tables for place in table.places])

    def in_state(self, state: State) -> list[Cell]:
        """The cells that are so far."""
        return [cell for cell in self.cells if self.workspace.state(cell) is state]

    @property
    def layout(self) -> list[Layout]:
        """Each table of each study as it is printed."""
        layouts = []
        for table in self.tables:
            for name, prepared in self.studies.items():
                places = [place for place in table.places if place.dataset == name]
                rows = dict.fromkeys((place.setting, place.network, place.method) for place in places)
                if rows:
                    layouts.append(Layout(table.name, table.grid.shape, prepared.study, list(rows)))
        return layouts

    def write(self, cells: Sequence[Cell]) -> None:
        """Write what running them needs, and as `OUT/TABLE.json` which cell has which place in which table.

        Studies that were asked for at another time keep their places.

        Raises:
            InputError: a TABLE.json that is there cannot be read.
        """
        for cell in cells:
            self.workspace.plan(cell, self.studies[cell.study])
        for table in self.tables:
            path = self.workspace.out / f"{table.name}.json"
            others = [place for place in _places_in(path) if place["dataset"] not in self.studies]
            places = [*others, *map(_described, table.places)]
            write_json(path, {"shape": table.grid.shape, "places": places})

    def collect(self) -> dict[str, pd.DataFrame]:
        """Scores of the finished cells by table, written as `OUT/TABLE.csv` too, beside those of other studies."""
        scores = {table.name: collect(self.workspace, table.places) for table in self.tables}
        for name, rows in scores.items():
            path = self.workspace.out / f"{name}.csv"
            before = read_table(path, [*PLACE, *SCORES]) if path.exists() else rows.iloc[:0]
            others = before[~before["dataset"].isin(list(self.studies))]
            with replacing(path) as beside:
                pd.concat([others, rows]).to_csv(beside, index=False)
        return scores


def _places_in(path: Path) -> list[Mapping[str, Any]]:
    """Of a table that was written before; none where it was not."""
    if not path.exists():
        return []
    remedy = "take it away"
    content = read_json(path, remedy)
    try:
        return [{**place, "dataset": place["dataset"]} for place in content["places"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: does not describe a table ({error!r}); {remedy}") from error


def _described(place: Place) -> dict[str, Any]:
    """A place for `passion.report.folder`, with its cell's name."""
    words = {name: getattr(place, name) for name in ("dataset", "setting", "network", "method")}
    return {**words, "seed": place.cell.seed, "rates": place.cell.rates, "cell": place.cell.name}


def _check_names(names: Sequence[str], studies: Sequence[Path]) -> None:
    for folder, name in zip(studies, names, strict=True):
        if names.count(name) > 1:
            raise InputError(f"--study {folder}: there are two studies of the name {name}; give one of them")
        if Path(name).name != name:
            raise InputError(f"--study {folder}: no file can be called as its study, {name!r}; give that another name")


def make_plan(
    tables: Sequence[str], studies: Sequence[Path], out: Path, scale: str, seeds: int, splits: Sequence[Path] = ()
) -> Plan:
    """Read grids, scale and studies, and take the studies into the workspace `out`.

    Args:
        tables: names, or YAML files.
        studies: prepared, in any order.
        out: folder of the grid.
        scale: name, or YAML file.
        seeds: how many: 0, 1, ...
        splits: CSV file for each study, in the same order; none: they are drawn.

    Raises:
        InputError: something in them does not fit.
    """
    if seeds < 1:
        raise InputError(f"--seeds {seeds}: must be at least 1")
    if splits and len(splits) != len(studies):
        raise InputError(f"--split: {len(splits)} files for {len(studies)} studies; give one a study, in their order")
    grids = {Path(name).stem: read_grid(name) for name in tables}
    scales = read_scale(scale)
    workspace = Workspace(out)
    opened = [PreparedStudy.open(folder) for folder in studies]
    names = [one.study.name for one in opened]
    _check_names(names, studies)
    places: dict[str, list[Place]] = {name: [] for name in grids}
    for number, prepared in enumerate(opened):
        sizes: Scale | None = None
        for name, grid in grids.items():
            kind = grid.kind(prepared.study.modalities)
            if kind is None:
                continue
            sizes = _of_kind(scales, kind, scale)
            places[name] += expand(grid, kind, prepared.study.name, sizes, range(seeds))
        if sizes is None:
            raise InputError(
                f"{studies[number]}: none of the tables has rates for modalities {', '.join(prepared.study.modalities)}"
            )
        workspace.add_study(prepared, sizes, splits[number] if splits else None)
    filled = [Table(name, grid, places[name]) for name, grid in grids.items()]
    empty = [table.name for table in filled if not table.places]
    if empty:
        raise InputError(f"{empty[0]}: has no rates for any of the studies given; leave it out or add its study")
    return Plan(workspace, filled, dict(zip(names, opened, strict=True)))


def _of_kind(scales: Mapping[str, Scale], kind: str, scale: str) -> Scale:
    if kind not in scales:
        raise InputError(f"--scale {scale}: does not say how {kind} is trained; it has {', '.join(scales)}")
    return scales[kind]
