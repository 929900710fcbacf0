"""The paper's tables as the page of an experiment shows them, with the paper's numbers beside ours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from passion.report.bootstrap import USUAL, Bootstrap
from passion.report.comparison import evidence, interval_evidence
from passion.report.effects import (
    WEIGHTED,
    Record,
    paper_numbers,
    records,
    table_differences,
    table_means,
    weighted_means,
)
from passion.report.folder import TableOfOne
from passion.report.paper import AVERAGE
from passion.report.tables import (
    AVERAGE_COLUMN,
    AVERAGE_ROW,
    METRICS,
    NOTHING,
    WEIGHTED_ROW,
    format_interval,
    format_value,
    has_row_per_subset,
    subset_rows,
)
from passion.report.views import Cell, Row, TableView, difference_and_p

TITLES = {"table1": "Table 1", "table2": "Table 2", "table3": "Table 3"}
TOTALS = {AVERAGE: AVERAGE_ROW, WEIGHTED: WEIGHTED_ROW}
WEIGHTED_COLUMN = f"{AVERAGE_COLUMN}, weighted"
HONEST_DISTANCE, PAPER_DISTANCE = "hd95_pooled", "hd95_reference"


def title_of(table: TableOfOne) -> str:
    """As it is called on the page."""
    return f"{TITLES.get(table.name, table.name)}, {table.dataset}"


def difference_cells(row: Record) -> list[Cell]:
    """Difference, bold where it is sure, p, and the paper's difference."""
    paper = NOTHING if np.isnan(row["paper"]) else f"{row['paper']:+.1f}"
    return [*difference_and_p(row), Cell(paper)]


def region_tables(table: TableOfOne, metric: str, bootstrap: Bootstrap = USUAL) -> list[TableView]:
    """Means, and differences to the first method: a row a setting and method, a group of columns a region."""
    assert table.study is not None
    regions = [AVERAGE_COLUMN, *table.study.averaged_regions]
    label = METRICS[metric].label
    unweighted = table_means(table, metric, bootstrap)
    means = records(unweighted) | records(weighted_means(table, metric, bootstrap))
    paper = paper_numbers(table, metric).to_dict()
    rows = []
    for setting, network, method in table.rows:
        seeds = len(table.runs_of(setting, network, method))
        cells = [Cell(f"{seeds}/{table.seeds}")]
        for region in regions:
            place = (setting, network, method, AVERAGE, region)
            # What the paper prints is shown beside cells that are not finished too.
            cells += [_ours(means, place), Cell(format_value(paper.get(place, np.nan)))]
        cells.insert(3, _ours(means, (setting, network, method, WEIGHTED, AVERAGE_COLUMN)))
        rows.append(Row(method, cells, keys=_keys(table, setting, network)))
    average, *others = dict.fromkeys(regions, ("ours", "paper")).items()
    groups = dict([("Seeds", ("done",)), average, (WEIGHTED_COLUMN, ("ours",)), *others])
    note = interval_evidence(unweighted, bootstrap)
    views = [TableView(f"{title_of(table)}: {label}", "Method", groups, rows, note=note, keys=_key_names(table))]
    found = table_differences(table, metric, bootstrap)
    if len(found):
        caption = f"{title_of(table)}: {label}, difference to {table.methods[0]}"
        views.append(_differences(table, found, regions, caption, evidence(found, bootstrap)))
    return views


def _ours(means: Mapping[tuple[str, ...], Record], place: tuple[str, ...]) -> Cell:
    return mean_cells(means[place])[0] if place in means else Cell(NOTHING)


def _differences(table: TableOfOne, found: pd.DataFrame, regions: Sequence[str], caption: str, note: str) -> TableView:
    rows = []
    differences = records(found)
    for row in table.rows:
        if (*row, AVERAGE, AVERAGE_COLUMN) in differences:
            cells = [cell for region in regions for cell in difference_cells(differences[(*row, AVERAGE, region)])]
            seeds = Cell(str(differences[(*row, AVERAGE, AVERAGE_COLUMN)]["n_seeds"]))
            rows.append(Row(row[2], [seeds, *cells], keys=_keys(table, *row[:2])))
    groups = {"Seeds": ("compared",), **dict.fromkeys(regions, ("ours", "p", "paper"))}
    return TableView(caption, "Method", groups, rows, note=note, keys=_key_names(table))


def _keys(table: TableOfOne, setting: str, network: str) -> list[str]:
    return [setting, network] if len(table.networks) > 1 else [setting]


def _key_names(table: TableOfOne) -> list[str]:
    return ["Missing rates", "Network"] if len(table.networks) > 1 else ["Missing rates"]


def subset_tables(table: TableOfOne, bootstrap: Bootstrap = USUAL) -> dict[str, list[TableView]]:
    """Dice by region: means, then differences to the first method; by `subset_rows` (Table 3, transposed)."""
    assert table.study is not None
    means = pd.concat(
        [table_means(table, bootstrap=bootstrap, each_subset=True), weighted_means(table, bootstrap=bootstrap)]
    )
    gains = table_differences(table, bootstrap=bootstrap, each_subset=True)
    views: dict[str, list[TableView]] = {}
    for region in [AVERAGE_COLUMN, *table.study.averaged_regions]:
        named = "the average of the regions" if region == AVERAGE_COLUMN else region
        caption = f"{title_of(table)}: {METRICS['dice'].label} of {named}"
        view = _by_subset(table, means, region, caption, ("ours", "paper"), mean_cells)
        views[region] = [replace(view, note=interval_evidence(means, bootstrap))]
        if len(gains):
            caption += f", difference to {table.methods[0]}"
            view = _by_subset(table, gains, region, caption, ("ours", "p", "paper"), difference_cells)
            views[region].append(replace(view, note=evidence(gains, bootstrap)))
    return views


def mean_cells(row: Record) -> list[Cell]:
    """Mean with its interval, and the paper's."""
    return [Cell(format_interval(row["mean"], row["low"], row["high"])), Cell(format_value(row["paper"]))]


def _by_subset(
    table: TableOfOne,
    found: pd.DataFrame,
    region: str,
    caption: str,
    columns: Sequence[str],
    cells_of: Callable[[Record], list[Cell]],
) -> TableView:
    assert table.study is not None
    numbers = records(found)
    groups = {row: f"{row[0]} {row[2]}, {row[1]}" for row in table.rows if (*row, AVERAGE, region) in numbers}
    names = dict.fromkeys(subset_rows(table.study).values())
    modalities = table.study.modalities if has_row_per_subset(table.study) else ()
    rows = [
        Row(
            TOTALS.get(name, name),
            [cell for row in groups for cell in cells_of(numbers[(*row, name, region)])],
            dots=[] if name in TOTALS else [modality in name.split("+") for modality in modalities],
            total=name in TOTALS,
        )
        for name in [*names, *TOTALS]
        if all((*row, name, region) in numbers for row in groups)
    ]
    shown = dict.fromkeys(groups.values(), tuple(columns))
    return TableView(caption, "Subset" if modalities else "Modalities", shown, rows, modalities=modalities)
