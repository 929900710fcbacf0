"""The cells of a table of one study as numbers: means and differences to the first method, the paper's beside them.

Tidy tables with the keys setting, network, method, subset and region. The subset is `AVERAGE` where the number is over
all of them, `WEIGHTED` where each counts as often as it occurs in training, the setting `EVERY` where it is over all
settings, the region `AVERAGE_COLUMN` where it is over those that the study averages.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import pandas as pd

from passion.report.bootstrap import USUAL, Bootstrap, holm
from passion.report.folder import TableOfOne
from passion.report.paper import AVERAGE, COLUMN_OF, paper_table
from passion.report.statistics import cell_means, paired_differences, subset_frequencies
from passion.report.tables import AVERAGE_COLUMN, subset_rows

Computation = Callable[[pd.DataFrame, Sequence[str]], pd.DataFrame]
"""From scores and the columns that tell cells apart."""

Record = Mapping[str, Any]
"""A row of a tidy table."""

KEYS = ["setting", "network", "method", "subset", "region"]
WEIGHTED = "weighted"
EVERY = "all settings"
PLACE = ["setting", "network", "seed"]
NUMBERS: Mapping[str, Literal[1, 2, 3]] = {"table1": 1, "table2": 2, "table3": 3}
"""Of the paper's tables, by the names of ours."""


def records(found: pd.DataFrame) -> dict[tuple[str, ...], Record]:
    """The rows of a tidy table by their KEYS."""
    return {tuple(row[key] for key in KEYS): row for row in found.to_dict("records")}  # type: ignore[misc]


def table_means(
    table: TableOfOne, metric: str = "dice", bootstrap: Bootstrap = USUAL, *, each_subset: bool = False
) -> pd.DataFrame:
    """The mean of each finished row of the table, with its interval.

    Args:
        table: with a finished cell.
        metric: a column of the scores.
        bootstrap: of the intervals.
        each_subset: a mean for each of `tables.subset_rows` too, in the column subset.

    Returns:
        KEYS, the columns of `statistics.cell_means`, and `paper`, NaN where the paper has no such number.
    """
    found = row_means(table.averaged_scores, metric, bootstrap, _rows(table) if each_subset else None)
    return _with_paper(found, paper_numbers(table, metric))


def row_means(
    averaged_scores: pd.DataFrame, metric: str, bootstrap: Bootstrap, rows: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """As `table_means` without the paper's numbers, of scores that need no run folders behind them.

    Args:
        averaged_scores: as those of a table.
        metric: a column of them.
        bootstrap: of the intervals.
        rows: of the subsets, where there is a mean for each row too.
    """
    return _by_rows(averaged_scores, partial(cell_means, metric=metric, bootstrap=bootstrap), rows)


def _rows(table: TableOfOne) -> dict[str, str]:
    assert table.study is not None
    return subset_rows(table.study)


def weighted_means(table: TableOfOne, metric: str = "dice", bootstrap: Bootstrap = USUAL) -> pd.DataFrame:
    """As `table_means`, over the subsets weighted by `training_frequencies`; the paper has no such number."""
    keys = [key for key in KEYS if key != "subset"]
    found = [
        cell_means(scores, keys, metric, training_frequencies(table, str(setting)), bootstrap)
        for setting, scores in table.averaged_scores.groupby("setting", sort=False)
    ]
    return _with_paper(pd.concat(found, ignore_index=True).assign(subset=WEIGHTED), paper_numbers(table, metric))


def training_frequencies(table: TableOfOne, setting: str) -> "pd.Series[float]":
    """Share of a setting's training cases that have exactly the modalities of each subset (`subset_frequencies`).

    The cases of a seed are those of its first finished run, since its methods train on the same ones.
    """
    assert table.study is not None
    presence: dict[int, pd.DataFrame] = {}
    for place in table.finished:
        if place.setting == setting:
            presence.setdefault(place.seed, table.runs[place.cell].presence)
    return subset_frequencies(pd.concat(presence.values()), table.study)


def overall_means(table: TableOfOne, metric: str = "dice", bootstrap: Bootstrap = USUAL) -> pd.DataFrame:
    """As `table_means`, one number for each network and method: over the settings that all its compared methods have
    finished with the same seeds, over all subsets and regions.
    """
    scores = _over_settings(table)
    if scores.empty:
        return pd.DataFrame(columns=[*KEYS, "mean", "low", "high", "paper"])
    found = cell_means(scores, ["network", "method", "region"], metric, bootstrap=bootstrap)
    printed = paper_over_settings(table, paper_numbers(table, metric))
    return _with_paper(found.assign(setting=EVERY, subset=AVERAGE), printed)


def table_differences(
    table: TableOfOne, metric: str = "dice", bootstrap: Bootstrap = USUAL, *, each_subset: bool = False
) -> pd.DataFrame:
    """How much each method differs from the table's first, in each setting, with each network, on the same masks.

    Args:
        table: with a finished cell.
        metric: a column of the scores.
        bootstrap: of the intervals.
        each_subset: a difference for each of `tables.subset_rows` too, in the column subset.

    Returns:
        KEYS, the columns of `statistics.paired_differences`, and `paper`, the same difference of printed numbers.
        Empty where nothing can be compared. The correction is for all rows.
    """
    scores = table.averaged_scores.merge(_comparable(table)[PLACE].drop_duplicates())
    if scores.empty:
        return _no_differences()

    def differences(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
        cells = [key for key in keys if key != "method"]
        return paired_differences(rows, "method", table.methods[0], cells, metric, bootstrap=bootstrap)

    found = _by_rows(scores, differences, _rows(table) if each_subset else None)
    found["p_holm"] = holm(found["p"].to_numpy(dtype=float))
    return _with_paper(found, _to_first(paper_numbers(table, metric), table))


def overall_differences(table: TableOfOne, metric: str = "dice", bootstrap: Bootstrap = USUAL) -> pd.DataFrame:
    """As `table_differences`, over what `overall_means` is over; the correction is for all networks."""
    scores = _over_settings(table)
    if scores.empty:
        return _no_differences()
    found = paired_differences(
        scores, "method", table.methods[0], ["network", "region"], metric, bootstrap=bootstrap
    ).assign(setting=EVERY, subset=AVERAGE)
    printed = paper_over_settings(table, paper_numbers(table, metric))
    return _with_paper(found, _to_first(printed, table))


def _no_differences() -> pd.DataFrame:
    return pd.DataFrame(columns=[*KEYS, "difference", "low", "high", "p_holm", "n_cases", "n_seeds", "paper"])


def paper_numbers(table: TableOfOne, metric: str) -> "pd.Series[float]":
    """The paper's numbers of a table by KEYS; empty where it has none, or none that was computed as `metric`."""
    names = [name for name, column in COLUMN_OF.items() if column == metric]
    if table.name not in NUMBERS or not names:
        return pd.Series(dtype=float, index=pd.MultiIndex.from_tuples([], names=KEYS))
    printed = paper_table(NUMBERS[table.name])
    printed = printed[(printed["dataset"] == table.dataset) & printed["metric"].isin(names)]
    printed = printed.assign(region=printed["region"].replace(AVERAGE, AVERAGE_COLUMN))
    if AVERAGE_COLUMN not in set(printed["region"]):
        # Table 3 has no average over regions, and Table 1's is that of the three.
        means = printed.groupby([key for key in KEYS if key != "region"], sort=False, as_index=False)["value"].mean()
        printed = pd.concat([printed, pd.DataFrame(means).assign(region=AVERAGE_COLUMN)])
    return pd.Series(printed["value"].to_numpy(), index=pd.MultiIndex.from_frame(printed[KEYS]))


def paper_over_settings(table: TableOfOne, printed: "pd.Series[float]") -> "pd.Series[float]":
    """Means of the `printed` numbers of each network over the settings that ours are averaged over."""
    numbers = printed.rename("value").reset_index().merge(_complete(table)[["setting", "network"]].drop_duplicates())
    numbers = numbers[numbers["subset"] == AVERAGE]
    means = pd.DataFrame(numbers.groupby(KEYS[1:], sort=False, as_index=False)["value"].mean())
    places = pd.MultiIndex.from_frame(means.assign(setting=EVERY)[KEYS])
    return pd.Series(means["value"].to_numpy(dtype=float), index=places)


def settings_compared(table: TableOfOne, network: str) -> list[str]:
    """Settings that overall numbers of a network are over."""
    complete = _complete(table)
    return list(complete.loc[complete["network"] == network, "setting"].unique())


def _by_rows(scores: pd.DataFrame, compute: Computation, rows: Mapping[str, str] | None) -> pd.DataFrame:
    """What `compute` finds over all subsets, and before it for each of the `rows` of the subsets, if they are given."""
    keys = ["setting", "network", "method", "region"]
    found = []
    if rows is not None:
        of_rows = compute(scores.assign(row=scores["subset"].map(rows)), [*keys, "row"])
        found.append(of_rows.rename(columns={"row": "subset"}))
    return pd.concat([*found, compute(scores, keys).assign(subset=AVERAGE)], ignore_index=True)


def _comparable(table: TableOfOne) -> pd.DataFrame:
    """Finished places: those of settings, networks and seeds in which the first method is, and another one."""
    columns = [*PLACE, "method"]
    finished = pd.DataFrame(
        [[getattr(place, name) for name in columns] for place in table.finished], columns=columns
    ).drop_duplicates()
    kept = finished.merge(finished.loc[finished["method"] == table.methods[0], PLACE])
    return kept[kept.groupby(PLACE)["method"].transform("nunique") > 1]


def _complete(table: TableOfOne) -> pd.DataFrame:
    """Those of settings, networks and seeds in which every method is finished that is anywhere compared, crossed."""
    kept = _comparable(table)
    most = kept.groupby("network")["method"].transform("nunique")
    complete = kept[kept.groupby(PLACE)["method"].transform("nunique") == most]
    return pd.concat([complete.iloc[:0], *(_crossed(own) for _, own in complete.groupby("network", sort=False))])


def _crossed(finished: pd.DataFrame) -> pd.DataFrame:
    """The settings of the seed that has most of them, and most seeds beside it, with the seeds that have all of these.

    A seed that had other settings than the rest would differ from them in what is averaged.
    """
    settings = finished.groupby("seed")["setting"].agg(set)
    most = max(settings, key=lambda own: (len(own), sum(own <= other for other in settings)))
    seeds = settings.index[[most <= own for own in settings]]
    return finished[finished["setting"].isin(most) & finished["seed"].isin(seeds)]


def compared_scores(table: TableOfOne) -> pd.DataFrame:
    """Averages over regions of each mask, of what overall numbers are over, and the columns of `TableOfOne.scores`."""
    scores = table.averaged_scores
    return scores[scores["region"] == AVERAGE_COLUMN].merge(_complete(table)[PLACE].drop_duplicates())


def by_setting_and_subset(scores: pd.DataFrame) -> pd.DataFrame:
    """`scores` without their settings, since a subset in another setting is another item to average over."""
    return scores.assign(subset=scores["setting"] + " " + scores["subset"]).drop(columns="setting")


def _over_settings(table: TableOfOne) -> pd.DataFrame:
    return by_setting_and_subset(compared_scores(table))


def _to_first(numbers: "pd.Series[float]", table: TableOfOne) -> "pd.Series[float]":
    if numbers.empty:
        return numbers
    first = numbers.xs(table.methods[0], level="method")
    rest = numbers.reset_index("method", drop=True)
    # Printed numbers have two decimals: what is left of their difference beyond those is rounding.
    return pd.Series(numbers.to_numpy() - first.reindex(rest.index).to_numpy(), index=numbers.index).round(6)


def _with_paper(found: pd.DataFrame, numbers: "pd.Series[float]") -> pd.DataFrame:
    places = pd.MultiIndex.from_frame(found[KEYS])
    found = found.assign(paper=numbers.reindex(places).to_numpy(dtype=float))
    return found[[*KEYS, *(column for column in found if column not in KEYS)]]
