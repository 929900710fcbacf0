"""Who wins in a table of one study, by how much, and how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from passion.report.bootstrap import USUAL, Bootstrap
from passion.report.comparison import counted, evidence
from passion.report.effects import Record, overall_differences, overall_means, records, settings_compared
from passion.report.experiment_views import HONEST_DISTANCE, difference_cells, mean_cells, title_of
from passion.report.folder import TableOfOne
from passion.report.tables import METRICS, format_difference, format_p
from passion.report.views import Cell, Row, TableView, is_sure

ByMethod = Mapping[str, Record]


@dataclass(frozen=True)
class Verdict:
    """Who wins in one table of one study, with one network.

    Args:
        title: which.
        scope: what it is over.
        head: the finding in a few words.
        number: the difference that decides it, with its interval; empty where nothing is compared.
        rest: what it is against, p, and what the paper has.
        sure: whether it is.
        tag: the same in words.
        ranking: all methods, best first.
    """

    title: str
    scope: str
    head: str
    number: str
    rest: str
    sure: bool
    tag: str
    ranking: TableView | None


def verdicts(table: TableOfOne, bootstrap: Bootstrap = USUAL) -> list[Verdict]:
    """One for each network of which two methods can be compared; one that says so where none can."""
    means = {metric: overall_means(table, metric, bootstrap) for metric in ("dice", HONEST_DISTANCE)}
    gains = {metric: overall_differences(table, metric, bootstrap) for metric in ("dice", HONEST_DISTANCE)}
    networks = [name for name in table.networks if name in set(gains["dice"]["network"])]
    if not networks:
        first = table.methods[0]
        head = (
            f"Nothing to compare yet: it takes a setting that {first} and all methods compared with it have finished."
        )
        return [Verdict(title_of(table), "", head, "", "", False, "", None)]
    return [
        _verdict(
            table,
            network,
            {metric: rows[rows["network"] == network] for metric, rows in means.items()},
            {metric: rows[rows["network"] == network] for metric, rows in gains.items()},
            len(gains["dice"]),
            bootstrap,
        )
        for network in networks
    ]


def _verdict(
    table: TableOfOne,
    network: str,
    found_means: Mapping[str, pd.DataFrame],
    found_gains: Mapping[str, pd.DataFrame],
    comparisons: int,
    bootstrap: Bootstrap,
) -> Verdict:
    """From the rows of one network; p is corrected for the `comparisons` of all."""
    first = table.methods[0]
    means, gains = (
        {metric: _by_method(rows) for metric, rows in found.items()} for found in (found_means, found_gains)
    )
    ranked = sorted(means["dice"], key=lambda method: -means["dice"][method]["mean"])
    best = ranked[0]
    # Where the first method wins, what is said is how far the next one is behind.
    other = best if best != first else ranked[1]
    gain = gains["dice"][other]
    paper = "" if np.isnan(gain["paper"]) else f"; in the paper {gain['paper']:+.1f}"
    compared = counted([comparisons], "comparison")
    title = title_of(table) + (f", {network}" if len(table.networks) > 1 else "")
    return Verdict(
        title=title,
        scope=_scope(table, network, gain),
        head=f"{best} has the highest mean Dice"
        if best != first
        else f"No method is above {first}; the next is {other}",
        number=format_difference(gain["difference"], gain["low"], gain["high"]),
        rest=f"points against {first}, p {_relation(gain['p_holm'])}, corrected for {compared}{paper}",
        sure=is_sure(gain),
        tag=tag(gain, first),
        ranking=_ranking(
            f"All methods: {title}", first, ranked, means, gains, evidence(found_gains["dice"], bootstrap, comparisons)
        ),
    )


def _by_method(found: pd.DataFrame) -> ByMethod:
    return {place[2]: row for place, row in records(found).items()}


def tag(gain: Record, first: str) -> str:
    """How sure a difference to the method `first` is, in words."""
    if not is_sure(gain):
        return "not sure"
    words = f"surely {'above' if gain['difference'] > 0 else 'below'} {first}"
    return words if gain["n_seeds"] > 1 else f"{words}, with this seed"


def _scope(table: TableOfOne, network: str, gain: Record) -> str:
    """What an overall difference is over."""
    assert table.study is not None
    settings = settings_compared(table, network)
    where = f"missing rates {settings[0]}" if len(settings) == 1 else f"{len(settings)} settings of missing rates"
    counts = f"{counted([gain['n_cases']], 'case')}, {counted([gain['n_seeds']], 'seed')}"
    mean = f"mean of all subsets and of {', '.join(table.study.averaged_regions)}"
    phantoms = f". The cases of {table.dataset} are phantoms" if table.study.phantom else ""
    return f"{network}, {where}, {counts}; {mean}{phantoms}"


def _relation(p: float) -> str:
    text = format_p(p)
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"


def _ranking(
    caption: str,
    first: str,
    ranked: Sequence[str],
    means: Mapping[str, ByMethod],
    gains: Mapping[str, ByMethod],
    rests_on: str,
) -> TableView:
    nothing = [Cell("")] * 3
    rows = [
        Row(
            method,
            [
                *mean_cells(means["dice"][method]),
                *(difference_cells(gains["dice"][method]) if method != first else nothing),
                mean_cells(means[HONEST_DISTANCE][method])[0],
                *(difference_cells(gains[HONEST_DISTANCE][method]) if method != first else nothing)[:2],
            ],
        )
        for method in ranked
    ]
    groups = {
        METRICS["dice"].label: ("ours", "paper"),
        f"Difference to {first}": ("ours", "p", "paper"),
        METRICS[HONEST_DISTANCE].label: ("ours",),
        f"Its difference to {first}": ("ours", "p"),
    }
    return TableView(caption, "Method", groups, rows, note=rests_on)
