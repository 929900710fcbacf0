"""The paper's tables from tidy scores: means over cases first, then over subsets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from passion.data.study import Study
from passion.report.results import Run, subset_names

AVERAGE_ROW = "Average"
WEIGHTED_ROW = "Weighted"
"""Average of the subsets weighted by how often training cases have exactly their modalities."""
TOTAL_ROWS = (AVERAGE_ROW, WEIGHTED_ROW)
AVERAGE_COLUMN = "Avg."
NOTHING = "—"
MOST_ROWS = 64
"""Of a table or figure with a row for each subset: nobody looks through more, and they double with every modality."""


@dataclass(frozen=True)
class Metric:
    """How a column of the scores is shown.

    Args:
        label: heading, with the unit.
        scale: shown value = scale * stored value.
        higher_is_better: which end is the best.
        meaning: one sentence.
    """

    label: str
    scale: float
    higher_is_better: bool
    meaning: str

    @property
    def most(self) -> float:
        """Largest value that can be shown: of a share all of it, of a distance none; the least is 0."""
        return self.scale if self.higher_is_better else float("inf")


METRICS = {
    "dice": Metric("Dice [%]", 100.0, True, "Dice of whole cases; 100 where both masks are empty."),
    "hd95_pooled": Metric(
        "HD95 pooled [mm]",
        1.0,
        False,
        "The 95th percentile of the surface distances of both directions together; the diagonal of the image where "
        "exactly one mask is empty, 0 where both are.",
    ),
    "hd95": Metric(
        "HD95 [mm]",
        1.0,
        False,
        "The larger of the two directions' 95th percentiles; empty masks as in HD95 pooled.",
    ),
    "hd95_reference": Metric(
        "HD95 as published [mm]",
        1.0,
        False,
        "HD95 pooled, but 1 mm where exactly one mask is empty, as the authors' code has it (HD in the paper), which "
        "flatters empty predictions. Only for a comparison with published numbers.",
    ),
    "surface_dice": Metric(
        "Surface Dice [%]",
        100.0,
        True,
        "Share of the border voxels of prediction and reference that lie within the tolerance of the other's border; "
        "100 where both masks are empty, 0 where one is.",
    ),
    "lesion_dice": Metric(
        "Lesion Dice [%]",
        100.0,
        True,
        "Mean Dice of the reference's lesions, in which each predicted one that is not there counts as 0 (BraTS 2023); "
        "100 where there is neither.",
    ),
}


def subset_table(
    scores: pd.DataFrame, study: Study, metric: str = "dice", frequencies: "pd.Series[float] | None" = None
) -> pd.DataFrame:
    """Mean over cases of `metric` for each subset and region (the paper's Table 3, transposed).

    Args:
        scores: rows of case, subset, region and the metrics.
        study: gives the order of subsets and regions.
        metric: a column of `scores`; Dice is shown in %, distances in mm.
        frequencies: of the subsets, by name (`statistics.subset_frequencies`), for a row "Weighted".

    Returns:
        One row a subset, by size, then in the study's order, a row "Average", the mean of the rows above, and with
        `frequencies` a last row "Weighted", their weighted mean; one column a region and "Avg.", the mean of those
        that the study averages. NaN where no case could answer a subset; such a row is left out of the averages.
    """
    means = scores.pivot_table(index="subset", columns="region", values=metric)
    table = means.reindex(index=subset_names(study), columns=list(study.regions)) * METRICS[metric].scale
    table[AVERAGE_COLUMN] = table[study.averaged_regions].mean(axis=1, skipna=False)
    averages = {AVERAGE_ROW: table.mean()}
    if frequencies is not None:
        weights = table.notna().mul(frequencies, axis=0)
        averages[WEIGHTED_ROW] = (table * weights).sum(min_count=1) / weights.sum()
    return pd.concat([table, pd.DataFrame(averages).T]).rename_axis(index="subset", columns="region")


def has_row_per_subset(study: Study) -> bool:
    """Whether tables and figures show each subset of its modalities; else how many are at hand."""
    return len(subset_names(study)) <= MOST_ROWS


def subset_rows(study: Study) -> dict[str, str]:
    """The row that shows each subset: its own, or, where there are more than MOST_ROWS, that of its size.

    >>> from passion.data.sources.brats import BRATS2020
    >>> subset_rows(BRATS2020)["t1c+t2"]
    't1c+t2'
    """
    names = subset_names(study)
    if has_row_per_subset(study):
        return {name: name for name in names}
    return {name: f"{name.count('+') + 1} of {len(study.modalities)}" for name in names}


def about_rows(study: Study) -> str:
    """What the rows of `subset_rows` are, for captions of figures."""
    if has_row_per_subset(study):
        return "Rows: subsets of modalities (filled dots: at hand)"
    return "Rows: how many modalities are at hand, the mean of all subsets of so many"


def common_metrics(runs: Sequence[Run]) -> list[str]:
    """Names of the METRICS that all of `runs` were scored by."""
    return [name for name in METRICS if all(name in run.scores for run in runs)]


def comparison_table(
    runs: Sequence[Run],
    metrics: Sequence[str] | None = None,
    frequencies: "pd.Series[float] | None" = None,
) -> pd.DataFrame:
    """Means over all subsets, one row a run (the layout of the paper's Table 1).

    Args:
        runs: of one study.
        metrics: names in METRICS; None: the common ones.
        frequencies: of the subsets, for weighted means; None: every subset counts alike.

    Returns:
        Columns (metric, region or "Avg."), labelled with units; Dice in %, distances in mm.
    """
    row = AVERAGE_ROW if frequencies is None else WEIGHTED_ROW
    rows = {
        run.name: pd.concat(
            {
                METRICS[metric].label: subset_table(run.scores, run.study, metric, frequencies).loc[row]
                for metric in (common_metrics(runs) if metrics is None else metrics)
            }
        )
        for run in runs
    }
    return pd.DataFrame(rows).T.rename_axis(index="run")


def side_by_side(
    runs: Sequence[Run], metric: str = "dice", frequencies: "pd.Series[float] | None" = None
) -> pd.DataFrame:
    """The subset tables of several runs of one study, columns (region or "Avg.", run)."""
    tables = {run.name: subset_table(run.scores, run.study, metric, frequencies) for run in runs}
    regions = [*runs[0].study.regions, AVERAGE_COLUMN]
    columns = {(region, name): table[region] for region in regions for name, table in tables.items()}
    return pd.DataFrame(columns)


def case_counts(scores: pd.DataFrame, study: Study) -> "pd.Series[int]":
    """How many cases answer each subset."""
    return scores.groupby("subset")["case"].nunique().reindex(subset_names(study), fill_value=0)


def format_subset(subset: str, study: Study) -> str:
    """A dot for each modality, filled where the subset has it, as in the paper's Table 3.

    >>> from passion.data.sources.brats import BRATS2020
    >>> format_subset("t1c+t2", BRATS2020)
    '○ ● ○ ●'
    """
    inside = subset.split("+")
    return " ".join("●" if name in inside else "○" for name in study.modalities)


def format_value(value: float) -> str:
    """Two decimals; a dash where there is no value.

    >>> format_value(70.708), format_value(float("nan"))
    ('70.71', '—')
    """
    return NOTHING if np.isnan(value) else f"{value:.2f}"


def format_interval(value: float, low: float, high: float) -> str:
    """A number with its interval; where it has none, that is seen.

    >>> format_interval(51.234, 48.0, 54.06), format_interval(51.234, float("nan"), float("nan"))
    ('51.2 [48.0, 54.1]', '51.2 [—]')
    """
    return _with_interval(value, low, high, "")


def format_difference(value: float, low: float, high: float) -> str:
    """As `format_interval`, with signs.

    >>> format_difference(1.26, -0.5, 3.0)
    '+1.3 [-0.5, +3.0]'
    """
    return _with_interval(value, low, high, "+")


def _with_interval(value: float, low: float, high: float, sign: str) -> str:
    if np.isnan(value):
        return NOTHING
    inside = NOTHING if np.isnan(low) else f"{low:{sign}.1f}, {high:{sign}.1f}"
    return f"{value:{sign}.1f} [{inside}]"


def format_p(p: float) -> str:
    """Three decimals, or that it is smaller.

    >>> format_p(0.0312), format_p(0.00001), format_p(float("nan"))
    ('0.031', '<0.001', '—')
    """
    if np.isnan(p):
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def print_table(table: pd.DataFrame, title: str, study: Study | None = None, console: Console | None = None) -> None:
    """Print a table of this module to the terminal.

    Args:
        table: two levels of columns are printed as one table for each first level, so that each fits.
        title: stands above.
        study: given for a subset table, its subsets are shown with dots too.
        console: where to; standard output by default.
    """
    console = console or Console()
    if table.columns.nlevels == 2:
        for group in table.columns.unique(0):
            print_table(table.loc[:, [group]].droplevel(0, axis=1), f"{title}: {group}", study, console)
        return
    # Text, because rich would take the unit in "HD95 [mm]" for a style of its own and drop it.
    shown = Table(title=Text(title, style="bold"), title_justify="left")
    if study is not None:
        shown.add_column(Text(" ".join(study.modalities)), no_wrap=True)
    shown.add_column(Text(str(table.index.name)), overflow="fold")
    for column in table.columns:
        shown.add_column(Text(str(column)), justify="right", no_wrap=True)
    for name, values in zip(table.index.astype(str), table.to_numpy(dtype=float), strict=True):
        total = name in TOTAL_ROWS
        if name == AVERAGE_ROW:
            shown.add_section()
        dots = [] if study is None else ["" if total else _dots_under_names(name, study)]
        shown.add_row(*dots, Text(name), *map(format_value, values), style="bold" if total else None)
    console.print(shown)


def _dots_under_names(subset: str, study: Study) -> str:
    dots = format_subset(subset, study).split()
    return " ".join(dot.center(len(name)) for dot, name in zip(dots, study.modalities, strict=True))
