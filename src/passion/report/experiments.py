"""The paper's tables from the tidy scores of a grid of runs: means over seeds, with their spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from passion.data.study import Study
from passion.experiments.grid import Layout
from passion.report.results import subset_names
from passion.report.tables import (
    AVERAGE_COLUMN,
    AVERAGE_ROW,
    METRICS,
    NOTHING,
    format_subset,
    format_value,
    subset_table,
)

KEYS = ["setting", "network", "method"]
PRINTED = ("dice", "hd95_pooled")
Row = tuple[str, str, str]
"""Setting, network and method."""

WIDTHS = {"regions": 100, "subsets": 160}
"""Characters that the tables may take, also where a terminal has fewer: numbers are never cut."""


@dataclass(frozen=True)
class Spread:
    """Of the values of several seeds.

    Args:
        mean: over seeds.
        deviation: standard deviation over seeds; NaN of one.
    """

    mean: float
    deviation: float

    def __str__(self) -> str:
        return format_value(self.mean) if np.isnan(self.deviation) else f"{self.mean:.2f} ±{self.deviation:.2f}"


def by_seed(scores: pd.DataFrame, study: Study, metric: str) -> dict[Row, list[pd.DataFrame]]:
    """The subset table (see `subset_table`) of every seed of each row of a table.

    Args:
        scores: of one data set: setting, network, method, seed, case, subset, region and the metrics.
        study: gives the order of subsets and regions.
        metric: a column of `scores`.
    """
    tables: dict[Row, list[pd.DataFrame]] = {}
    for key, rows in scores.groupby([*KEYS, "seed"], sort=True):
        setting, network, method, _ = (str(part) for part in key)
        tables.setdefault((setting, network, method), []).append(subset_table(rows, study, metric))
    return tables


def spread(tables: Sequence[pd.DataFrame], subset: str, region: str) -> Spread:
    """Over seeds, of one entry of their subset tables."""
    values = pd.Series([table.loc[subset, region] for table in tables], dtype=float)
    return Spread(float(values.mean()), float(values.std()))


def print_tables(scores: Mapping[str, pd.DataFrame], layouts: Sequence[Layout], seeds: int) -> None:
    """Print tables in the shape that the paper gives them.

    Args:
        scores: tidy scores by table; see `passion.experiments.scores.collect`.
        layouts: what is printed, finished or not.
        seeds: how many there are to be.
    """
    for layout in layouts:
        rows = scores[layout.table]
        console = Console(width=max(Console().width, WIDTHS[layout.shape]))
        printer = print_regions if layout.shape == "regions" else print_subsets
        printer(rows[rows["dataset"] == layout.study.name], layout, seeds, console)


def print_regions(scores: pd.DataFrame, layout: Layout, seeds: int, console: Console) -> None:
    """Print a row a setting and method and a column a region, averaged over all subsets (Tables 1 and 2)."""
    study = layout.study
    for metric in PRINTED:
        tables = by_seed(scores, study, metric)
        shown = _table(f"{layout.table}, {study.name}: {METRICS[metric].label}", ["MR", "method", "seeds"])
        regions = [*study.averaged_regions, AVERAGE_COLUMN]
        for region in regions:
            shown.add_column(Text(region), justify="right", no_wrap=True)
        before = ""
        for setting, network, method in layout.rows:
            if setting != before:
                shown.add_section()
            found = tables.get((setting, network, method), [])
            entries = [str(spread(found, AVERAGE_ROW, region)) if found else NOTHING for region in regions]
            shown.add_row(Text(setting if setting != before else ""), method, f"{len(found)}/{seeds}", *entries)
            before = setting
        console.print(shown)


def print_subsets(scores: pd.DataFrame, layout: Layout, seeds: int, console: Console) -> None:
    """Print a row a setting, method and network and a column a subset, for each region (Table 3): Dice."""
    study = layout.study
    tables = by_seed(scores, study, "dice")
    subsets = [*subset_names(study), AVERAGE_ROW]
    kinds = list(dict.fromkeys((setting, method) for setting, _, method in layout.rows))
    ordered = sorted(layout.rows, key=lambda row: kinds.index((row[0], row[2])))
    for region in study.averaged_regions:
        title = f"{layout.table}, {study.name}: {METRICS['dice'].label} of {region}"
        shown = _table(title, ["training", "network", "seeds"])
        for subset in subsets:
            dots = "Avg." if subset == AVERAGE_ROW else format_subset(subset, study).replace(" ", "\n")
            shown.add_column(Text(dots), justify="right", no_wrap=True)
        for setting, network, method in ordered:
            found = tables.get((setting, network, method), [])
            means = [format_value(spread(found, subset, region).mean) if found else NOTHING for subset in subsets]
            shown.add_row(Text(f"{setting} {method}"), network, f"{len(found)}/{seeds}", *means)
        console.print(shown)


def _table(title: str, columns: Sequence[str]) -> Table:
    shown = Table(title=Text(title, style="bold"), title_justify="left", padding=(0, 0, 0, 1))
    for column in columns:
        shown.add_column(Text(column), no_wrap=True)
    return shown
