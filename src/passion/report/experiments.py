"""The paper's tables from the tidy scores of a grid of runs: means over seeds, with their spread."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from passion.data.study import Study
from passion.experiments.grid import Layout
from passion.report.bootstrap import Bootstrap
from passion.report.effects import Record, records, row_means
from passion.report.paper import AVERAGE
from passion.report.results import subset_names
from passion.report.statistics import with_average_region
from passion.report.tables import AVERAGE_COLUMN, METRICS, format_subset, format_value

PRINTED = ("dice", "hd95_pooled")
NO_INTERVALS = Bootstrap(count=1)
UNFINISHED: Record = {"mean": np.nan, "seed_sd": np.nan, "n_seeds": 0}

WIDTHS = {"regions": 120, "subsets": 160}
"""Characters that the tables may take, also where a terminal has fewer: numbers are never cut."""


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
        means = _means(scores, study, metric)
        shown = _table(f"{layout.table}, {study.name}: {METRICS[metric].label}", ["MR", "method", "seeds"])
        regions = [*study.averaged_regions, AVERAGE_COLUMN]
        for region in regions:
            shown.add_column(Text(region), justify="right", no_wrap=True)
        before = ""
        for setting, network, method in layout.rows:
            if setting != before:
                shown.add_section()
            found = [means.get((setting, network, method, AVERAGE, region), UNFINISHED) for region in regions]
            done = f"{found[-1]['n_seeds']}/{seeds}"
            shown.add_row(Text(setting if setting != before else ""), method, done, *map(_with_spread, found))
            before = setting
        console.print(shown)


def print_subsets(scores: pd.DataFrame, layout: Layout, seeds: int, console: Console) -> None:
    """Print a row a setting, method and network and a column a subset, for each region (Table 3): Dice."""
    study = layout.study
    means = _means(scores, study, "dice", {name: name for name in subset_names(study)})
    subsets = [*subset_names(study), AVERAGE]
    kinds = list(dict.fromkeys((setting, method) for setting, _, method in layout.rows))
    ordered = sorted(layout.rows, key=lambda row: kinds.index((row[0], row[2])))
    for region in study.averaged_regions:
        title = f"{layout.table}, {study.name}: {METRICS['dice'].label} of {region}"
        shown = _table(title, ["training", "network", "seeds"])
        for subset in subsets:
            dots = AVERAGE_COLUMN if subset == AVERAGE else format_subset(subset, study).replace(" ", "\n")
            shown.add_column(Text(dots), justify="right", no_wrap=True)
        for setting, network, method in ordered:
            found = [means.get((setting, network, method, subset, region), UNFINISHED) for subset in subsets]
            done = f"{found[-1]['n_seeds']}/{seeds}"
            shown.add_row(Text(f"{setting} {method}"), network, done, *(format_value(one["mean"]) for one in found))
        console.print(shown)


def _means(
    scores: pd.DataFrame, study: Study, metric: str, rows: Mapping[str, str] | None = None
) -> Mapping[tuple[str, ...], Record]:
    """Those of the finished rows, by `effects.KEYS`."""
    if scores.empty:
        return {}
    averaged = with_average_region(scores, study)
    return records(row_means(averaged, metric, NO_INTERVALS, rows))


def _with_spread(found: Record) -> str:
    return format_value(found["mean"]) + ("" if np.isnan(found["seed_sd"]) else f" ±{found['seed_sd']:.2f}")


def _table(title: str, columns: Sequence[str]) -> Table:
    shown = Table(title=Text(title, style="bold"), title_justify="left", padding=(0, 0, 0, 1))
    for column in columns:
        shown.add_column(Text(column), no_wrap=True)
    return shown
