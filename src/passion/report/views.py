"""Tables as the page shows them: formatted, with the best values marked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from passion.report.comparison import compare_runs, evidence, groups_of
from passion.report.results import Run
from passion.report.tables import (
    METRICS,
    TOTAL_ROWS,
    case_counts,
    comparison_table,
    format_difference,
    format_p,
    format_value,
    side_by_side,
)

SURE = 0.05
"""Differences of a smaller corrected p are bold."""


@dataclass(frozen=True)
class Cell:
    """A value of a table as shown; bold where it is the best of those it competes with, or a sure difference."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Args:
        name: stands to the left.
        cells: values.
        dots: which modalities a subset has; empty elsewhere.
        total: whether it sums up those above.
        keys: what else stands to the left, before the name.
    """

    name: str
    cells: Sequence[Cell]
    dots: Sequence[bool] = ()
    total: bool = False
    keys: Sequence[str] = ()


@dataclass(frozen=True)
class TableView:
    """A table with two levels of columns, as the template shows it; `keys` are headings of the rows' keys."""

    caption: str
    corner: str
    groups: Mapping[str, Sequence[str]]
    rows: Sequence[Row]
    modalities: Sequence[str] = ()
    note: str = ""
    keys: Sequence[str] = ()


def overview(
    runs: Sequence[Run], metrics: Sequence[str], caption: str, frequencies: "pd.Series[float] | None" = None
) -> TableView:
    """The layout of the paper's Table 1; a value competes with those of its column.

    With `frequencies` of the subsets, means are weighted by them.
    """
    table = comparison_table(runs, metrics, frequencies).round(2)
    marks = []
    for metric in metrics:
        block = table[[METRICS[metric].label]]
        marks.append(block.eq(block.max() if METRICS[metric].higher_is_better else block.min()))
    return _view(table, pd.concat(marks, axis=1) & (len(runs) > 1), caption, "Run")


def differences(runs: Sequence[Run], metrics: Sequence[str]) -> list[TableView]:
    """Paired differences of each run to the first, a table a metric; none where there is nothing to compare.

    Differences that are sure are bold.
    """
    views = []
    first = next(iter(groups_of(runs)))
    for metric in metrics:
        found = compare_runs(runs, metric)
        if found.empty:
            continue
        names = list(found["region"].unique())
        rows = [
            Row(
                name=str(name),
                cells=[cell for row in block.to_dict("records") for cell in difference_and_p(row)],
            )
            for name, block in found.groupby("run", sort=False)
        ]
        caption = f"{METRICS[metric].label}: difference to {first}, on the same cases and subsets"
        groups = dict.fromkeys(names, ("difference", "p"))
        views.append(TableView(caption, "Run", groups, rows, note=evidence(found)))
    return views


def difference_and_p(row: Mapping[Any, Any]) -> list[Cell]:
    """Difference, bold where it is sure, and p."""
    difference = format_difference(row["difference"], row["low"], row["high"])
    return [Cell(difference, is_sure(row)), Cell(format_p(row["p_holm"]))]


def is_sure(row: Mapping[Any, Any]) -> bool:
    """Whether the interval is on one side of 0 and the corrected p under SURE."""
    return bool(row["p_holm"] < SURE and row["low"] * row["high"] > 0)


def by_subset(runs: Sequence[Run], metric: str, frequencies: "pd.Series[float]") -> TableView:
    """The paper's Table 3, runs side by side in each region; a value competes within its row and region.

    Below stand the average and that weighted by the `frequencies` of the subsets. Where subsets are answered by
    different numbers of cases, a last column says how many the first run has.
    """
    table = side_by_side(runs, metric, frequencies).round(2)
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
    shown = [*(Cell(str(count)) for count in counts), *(Cell("") for _ in TOTAL_ROWS)]
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
            total=name in TOTAL_ROWS,
        )
        for name, values, marks in zip(table.index, table.to_numpy(float), best.to_numpy(bool), strict=True)
    ]
    return TableView(caption, corner, groups, rows)
