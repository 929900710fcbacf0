"""Tables as the page shows them: formatted, with the best values marked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from passion.report.results import Run
from passion.report.tables import (
    AVERAGE_ROW,
    METRICS,
    case_counts,
    comparison_table,
    format_value,
    side_by_side,
)


@dataclass(frozen=True)
class Cell:
    """A value of a table as shown, and whether it is the best of those it competes with."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A line of a table; `dots` says which modalities a subset has and is empty elsewhere."""

    name: str
    cells: Sequence[Cell]
    dots: Sequence[bool] = ()
    total: bool = False


@dataclass(frozen=True)
class TableView:
    """A table with two levels of columns, as the template shows it."""

    caption: str
    corner: str
    groups: Mapping[str, Sequence[str]]
    rows: Sequence[Row]
    modalities: Sequence[str] = ()


def overview(runs: Sequence[Run], metrics: Sequence[str], caption: str) -> TableView:
    """The layout of the paper's Table 1; a value competes with those of its column."""
    table = comparison_table(runs, metrics).round(2)
    marks = []
    for metric in metrics:
        block = table[[METRICS[metric].label]]
        marks.append(block.eq(block.max() if METRICS[metric].higher_is_better else block.min()))
    return _view(table, pd.concat(marks, axis=1) & (len(runs) > 1), caption, "Run")


def by_subset(runs: Sequence[Run], metric: str) -> TableView:
    """The paper's Table 3, runs side by side in each region; a value competes within its row and region.

    Where subsets are answered by different numbers of cases, a last column says how many the first run has.
    """
    table = side_by_side(runs, metric).round(2)
    marks = []
    for region in table.columns.unique(0):
        block = table[[region]]
        extreme = block.max(axis=1) if METRICS[metric].higher_is_better else block.min(axis=1)
        marks.append(block.eq(extreme, axis=0))
    caption = f"{METRICS[metric].label} by subset of modalities"
    view = _view(table, pd.concat(marks, axis=1) & (len(runs) > 1), caption, "Subset")
    study = runs[0].study
    rows = [
        row if row.total else replace(row, dots=[name in row.name.split("+") for name in study.modalities])
        for row in view.rows
    ]
    counts = case_counts(runs[0].scores, study)
    if counts.min() == counts.max():
        return replace(view, rows=rows, modalities=study.modalities)
    shown = [*(Cell(str(count)) for count in counts), Cell("")]
    rows = [replace(row, cells=[*row.cells, cell]) for row, cell in zip(rows, shown, strict=True)]
    return replace(view, rows=rows, modalities=study.modalities, groups={**view.groups, "Cases": [""]})


def _view(table: pd.DataFrame, best: pd.DataFrame, caption: str, corner: str) -> TableView:
    groups = {
        str(group): [str(column) for column in table[[group]].columns.get_level_values(1)]
        for group in table.columns.unique(0)
    }
    rows = [
        Row(
            name=str(name),
            cells=[Cell(format_value(value), bool(mark)) for value, mark in zip(values, marks, strict=True)],
            total=name == AVERAGE_ROW,
        )
        for name, values, marks in zip(table.index, table.to_numpy(float), best.to_numpy(bool), strict=True)
    ]
    return TableView(caption, corner, groups, rows)
