"""Figures of a table of one study: its first method is what the others are compared with, its last is PASSION."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from passion.report.bootstrap import USUAL, Bootstrap
from passion.report.effects import KEYS, records, table_means
from passion.report.figures import RUN_MARKERS, TEXT_SIZE, cycled, legend, name_rows, panels
from passion.report.folder import TableOfOne
from passion.report.paper import AVERAGE
from passion.report.results import Run
from passion.report.statistics import cell_means, paired_differences
from passion.report.tables import AVERAGE_COLUMN, subset_rows
from passion.report.theme import FAINT, INK, MODALITY_COLOURS, PAPER, RUN_COLOURS

LAST_SHARE = 0.2
"""Of the logged epochs, over which the relative preference of a finished training is averaged."""


def method_colours(table: TableOfOne) -> dict[str, str]:
    """Of the methods; the first and the last have the same in every table."""
    first, *middle = table.methods
    ordered = [first, *middle[-1:], *middle[:-1]]
    return {method: cycled(RUN_COLOURS, place) for place, method in enumerate(ordered)}


def main_setting(table: TableOfOne) -> tuple[str, str]:
    """Setting and network with the most finished methods, the first of those."""
    counts: dict[tuple[str, str], set[str]] = {}
    for place in table.finished:
        counts.setdefault((place.setting, place.network), set()).add(place.method)
    return max(counts, key=lambda key: len(counts[key]))


def mean_runs(table: TableOfOne, setting: str, network: str) -> list[Run]:
    """A run for each finished method, called like it, with the mean history of its seeds."""
    found = []
    for method in table.methods:
        seeds = table.runs_of(setting, network, method)
        if seeds:
            history = pd.concat([run.history for run in seeds])
            means = history.groupby(["epoch", "quantity", "part"], sort=False)["value"].mean().reset_index()
            found.append(replace(seeds[0], name=method, history=means))
    return found


def average_by_setting(table: TableOfOne, bootstrap: Bootstrap = USUAL) -> Figure:
    """Bars of the mean Dice by setting and method, with intervals; marks are the paper's (its Figure 3)."""
    found = table_means(table, "dice", bootstrap)
    found = found[(found["subset"] == AVERAGE) & (found["region"] == AVERAGE_COLUMN)]
    found = found.assign(group=pd.Series(zip(found["setting"], found["network"], strict=True), index=found.index))
    groups = list(found["group"].unique())
    members = found.groupby("group")["method"].agg(list)
    width = 0.8 / len(table.methods)
    figure, [[axes]] = panels(1, 1, (min(11.0, max(6.0, 2.2 + 0.36 * len(groups) * (1 + len(table.methods)))), 3.6))
    for method in table.methods:
        rows = found[found["method"] == method]
        at = [
            groups.index(group) + (members[group].index(method) - (len(members[group]) - 1) / 2) * width
            for group in rows["group"]
        ]
        spans = np.array([rows["mean"] - rows["low"], rows["high"] - rows["mean"]])
        axes.bar(at, rows["mean"], 0.9 * width, color=method_colours(table)[method], label=method)
        axes.errorbar(at, rows["mean"], spans, fmt="none", ecolor=INK, elinewidth=1.0, capsize=2)
        axes.plot(at, rows["paper"], "D", color=INK, markerfacecolor=PAPER, markersize=4.5, linestyle="")
    named = [f"{setting}\n{network}" if len(table.networks) > 1 else setting for setting, network in groups]
    axes.set_xticks(range(len(groups)), named)
    shown = np.concatenate([found["mean"], found["paper"].dropna()])
    lowest, highest = in_sight(shown, found["low"], found["high"])
    axes.set_ylim(max(0.0, 5 * np.floor(lowest / 5) - 5), highest)
    axes.set_ylabel("Dice, all subsets [%]", fontsize=TEXT_SIZE, color=INK)
    axes.grid(visible=False, axis="x")
    handles, _ = axes.get_legend_handles_labels()
    if found["paper"].notna().any():
        handles.append(Line2D([], [], color=INK, marker="D", markerfacecolor=PAPER, linestyle="", label="the paper"))
    legend(figure, handles)
    return figure


def subset_matrix(table: TableOfOne, setting: str, network: str, bootstrap: Bootstrap = USUAL) -> Figure:
    """By `subset_rows`. Panels: mean Dice of each method, and its difference to the first."""
    assert table.study is not None
    rows = subset_rows(table.study)
    names = list(dict.fromkeys(rows.values()))
    scores = _averages(table)
    scores = scores[(scores["setting"] == setting) & (scores["network"] == network)]
    scores = scores.assign(row=scores["subset"].map(rows))
    means = cell_means(scores, ["method", "row"], bootstrap=bootstrap)
    shown = [method for method in table.methods if method in set(means["method"])]
    compared = scores[["method", "seed"]].drop_duplicates().groupby("seed")["method"].agg(set)
    several = any(table.methods[0] in there and len(there) > 1 for there in compared)
    figure, [[left, *columns]] = panels(
        1,
        3 if several else 2,
        (3.0 + 4.2 * (2 if several else 1), 0.34 * len(names) + 1.4),
        sharey=True,
        width_ratios=[0.36 * len(table.study.modalities), *[4.0] * (2 if several else 1)],
    )
    name_rows(left, table.study)
    _intervals(columns[0], means, "mean", shown, names, table)
    columns[0].set_xlabel("Dice [%]", fontsize=TEXT_SIZE, color=INK)
    if several:
        gains = paired_differences(scores, "method", table.methods[0], ["row"], bootstrap=bootstrap)
        _intervals(
            columns[1], gains, "difference", [name for name in shown if name in set(gains["method"])], names, table
        )
        columns[1].axvline(0, color=INK, linewidth=1.0)
        columns[1].set_xlabel(f"Difference to {table.methods[0]} [points of Dice]", fontsize=TEXT_SIZE, color=INK)
    left.set_yticks(range(len(names)))
    left.set_ylim(len(names) - 0.4, -0.7)
    legend(figure, [_mark(method_colours(table)[method], _marker(table, method), method) for method in shown])
    return figure


def _marker(table: TableOfOne, method: str) -> str:
    return str(cycled(RUN_MARKERS, list(method_colours(table)).index(method)))


def _mark(colour: str, marker: str, label: str) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, linestyle="", label=label)


def _intervals(
    axes: Axes, found: pd.DataFrame, value: str, methods: Sequence[str], names: Sequence[str], table: TableOfOne
) -> None:
    """Marks with intervals at the rows, one method a little under the other."""
    step = 0.62 / max(len(methods), 2)
    for number, method in enumerate(methods):
        rows = found[found["method"] == method]
        at = np.array([names.index(name) for name in rows["row"]]) + (number - (len(methods) - 1) / 2) * step
        spans = np.array([rows[value] - rows["low"], rows["high"] - rows[value]])
        colour = method_colours(table)[method]
        axes.errorbar(
            rows[value], at, xerr=spans, fmt=_marker(table, method), color=colour, markersize=4.5, elinewidth=1.2
        )
    axes.set_xlim(in_sight(found[value], found["low"], found["high"]))
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def in_sight(values: ArrayLike, low: ArrayLike, high: ArrayLike) -> tuple[float, float]:
    """Limits of an axis that show all values, and of their intervals no more than leaves the values apart.

    Intervals for other seeds are wide where there are two: they are cut at as far from the values as these are wide.

    >>> in_sight([0, 10], [-1, 9], [1, 11]), in_sight([0, 10], [-90, -80], [90, 100])
    ((-1.6, 11.6), (-10.0, 20.0))
    """
    least, most = float(np.min(values)), float(np.max(values))
    room = max(most - least, 1.0)
    start, stop = np.nanmin(low, initial=least), np.nanmax(high, initial=most)
    margin = 0.05 * (stop - start)
    return max(float(start - margin), least - room), min(float(stop + margin), most + room)


def gain_by_rate(table: TableOfOne, bootstrap: Bootstrap = USUAL) -> Figure | None:
    """How much the last method gains on the first with one modality alone, against its missing rate in training.

    None where the two are not finished in one setting.
    """
    assert table.study is not None
    first, last = table.methods[0], table.methods[-1]
    scores = _averages(table)
    scores = scores[scores["method"].isin([first, last]) & scores["subset"].isin(table.study.modalities)]
    both = scores.groupby(["setting", "network", "seed"])["method"].transform("nunique") > 1
    if not both.any():
        return None
    found = paired_differences(scores[both], "method", first, ["setting", "network", "subset"], bootstrap=bootstrap)
    figure, [[axes]] = panels(1, 1, (7.6, 3.8))
    axes.axhline(0, color=INK, linewidth=1.0)
    for number, modality in enumerate(table.study.modalities):
        rows = found[found["subset"] == modality]
        rates = [
            100 * float(table.runs_of(setting, network, last)[0].missing_rates[modality])
            for setting, network in zip(rows["setting"], rows["network"], strict=True)
        ]
        # A little aside, so that the intervals of modalities of one rate are seen.
        at = np.array(rates) + (number - (len(table.study.modalities) - 1) / 2)
        spans = np.array([rows["difference"] - rows["low"], rows["high"] - rows["difference"]])
        axes.errorbar(
            at, rows["difference"], spans, fmt=cycled(RUN_MARKERS, number), elinewidth=1.2, markersize=6,
            color=cycled(MODALITY_COLOURS, number), label=modality,
        )  # fmt: skip
    values, low, high = (np.append(found[name], 0.0) for name in ("difference", "low", "high"))
    axes.set_ylim(in_sight(values, low, high))
    axes.set_xlabel("Missing in training [%]", fontsize=TEXT_SIZE, color=INK)
    axes.set_ylabel(f"{last} over {first}\n[points of Dice]", fontsize=TEXT_SIZE, color=INK)
    legend(figure, _modality_marks(table))
    return figure


def preference_and_dice(table: TableOfOne, bootstrap: Bootstrap = USUAL) -> Figure | None:
    """Dice with one modality alone against its relative preference at the end of training.

    Empty marks: the first method; full ones: the last; a line joins the two of one setting. None where the
    relative preference was not logged.
    """
    assert table.study is not None
    scores = _averages(table)
    alone = scores[scores["subset"].isin(table.study.modalities)]
    means = records(cell_means(alone, KEYS, bootstrap=bootstrap))
    figure, [[axes]] = panels(1, 1, (7.6, 3.8))
    axes.axvline(0, color=INK, linewidth=1.0)
    for setting, network in dict.fromkeys((place.setting, place.network) for place in table.finished):
        curves = {
            method: [run.curve("preference") for run in table.runs_of(setting, network, method)]
            for method in (table.methods[0], table.methods[-1])
        }
        for number, modality in enumerate(table.study.modalities):
            colour, marker = cycled(MODALITY_COLOURS, number), cycled(RUN_MARKERS, number)
            points = []
            for method, of_seeds in curves.items():
                preference = _final_preference(of_seeds, modality)
                row = means.get((setting, network, method, modality, AVERAGE_COLUMN))
                if preference is None or row is None:
                    continue
                spans = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
                fill = PAPER if method == table.methods[0] else colour
                axes.errorbar(
                    preference, row["mean"], spans, fmt=marker, color=colour, markerfacecolor=fill, elinewidth=1.0
                )
                points.append((preference, float(row["mean"])))
            if points:
                axes.plot(*zip(*points, strict=True), color=FAINT, linewidth=0.8, zorder=1)
    if len(axes.lines) < 2:
        return None
    of_all = list(means.values())
    axes.set_ylim(in_sight(*([row[name] for row in of_all] for name in ("mean", "low", "high"))))
    axes.set_xlabel("Relative preference at the end of training", fontsize=TEXT_SIZE, color=INK)
    axes.set_ylabel("Dice with it alone [%]", fontsize=TEXT_SIZE, color=INK)
    kinds = [
        Line2D([], [], color=INK, marker="o", markerfacecolor=fill, linestyle="", label=method)
        for fill, method in ((PAPER, table.methods[0]), (INK, table.methods[-1]))
    ]
    legend(figure, [*_modality_marks(table), *kinds])
    return figure


def _modality_marks(table: TableOfOne) -> list[Line2D]:
    assert table.study is not None
    return [
        _mark(cycled(MODALITY_COLOURS, number), cycled(RUN_MARKERS, number), modality)
        for number, modality in enumerate(table.study.modalities)
    ]


def _final_preference(curves: Sequence[pd.DataFrame], modality: str) -> float | None:
    """Mean over seeds and the last epochs that logged it."""
    logged = [curve[modality].dropna() for curve in curves if modality in curve]
    ends = [values.iloc[-max(1, round(LAST_SHARE * len(values))) :].mean() for values in logged if len(values)]
    return float(np.mean(ends)) if ends else None


def _averages(table: TableOfOne) -> pd.DataFrame:
    """Scores averaged over the regions."""
    scores = table.averaged_scores
    return scores[scores["region"] == AVERAGE_COLUMN]
