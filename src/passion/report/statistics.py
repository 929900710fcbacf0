"""Averages and paired differences with intervals, from tidy scores to tidy tables.

Scores are rows of case, subset, region and metrics, as `scores.csv` has them, with a column `seed` where something was
trained several times, and any other columns that say what was scored. Results are in the units of the tables: Dice
in %, distances in mm.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from passion.data.study import Study
from passion.errors import InputError
from passion.report.bootstrap import USUAL, Bootstrap, Crossed, Floats, holm
from passion.report.results import subset_names
from passion.report.tables import AVERAGE_COLUMN, METRICS

ONE = ["seed", "case", "subset", "region"]
"""What one scored mask is told apart by, within a cell."""
Numbers = NDArray[np.intp]


def subset_frequencies(presence: pd.DataFrame, study: Study) -> "pd.Series[float]":
    """Share of cases that have exactly the modalities of each subset, in the order of `subset_names`; the sum is 1.

    Cases without any modality do not count.

    Args:
        presence: cases x modalities, True where a case has a modality (`Run.presence`).
        study: gives the names and the order.
    """
    matrix = presence[list(study.modalities)].to_numpy(dtype=bool)
    names = ["+".join(np.array(study.modalities)[row]) for row in matrix if row.any()]
    shares = pd.Series(names).value_counts(normalize=True)
    return shares.reindex(subset_names(study), fill_value=0.0).rename("frequency")


def with_average_region(scores: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The scores and, as region "Avg.", the mean of each mask's metrics over the regions that the study averages."""
    metrics = [name for name in METRICS if name in scores]
    keys = [name for name in scores if name not in (*metrics, "region", "prediction_empty", "reference_empty")]
    averaged = scores[scores["region"].isin(study.averaged_regions)]
    means = averaged.groupby(keys, sort=False, as_index=False)[metrics].mean()
    return pd.concat([scores, means.assign(region=AVERAGE_COLUMN)], ignore_index=True)


def cell_means(
    scores: pd.DataFrame,
    by: Sequence[str],
    metric: str = "dice",
    frequencies: "pd.Series[float] | None" = None,
    bootstrap: Bootstrap = USUAL,
) -> pd.DataFrame:
    """The mean of each cell, its interval, and its spread over seeds.

    A mean is over cases and seeds first, for every subset and region of the cell, then over those.

    Args:
        scores: tidy scores, with `seed` or without.
        by: columns that tell the cells apart, such as method and region.
        metric: a column of `scores`.
        frequencies: weights of the subsets, by name; None: all alike. Subsets that nobody answers have no weight.
        bootstrap: how intervals are made, see `Crossed.interval`; they end where the metric does.

    Returns:
        A row a cell, in order of appearance: `by`, mean, low, high, seed_sd (standard deviation of the seeds' means,
        NaN for one seed), n_cases, n_seeds.

    Raises:
        InputError: a mask was scored twice.
    """
    masks = _Masks.of(scores, metric, frequencies)
    rows = []
    for key, cell in _cells(scores, by):
        masks.check_once(cell)
        known = masks.known(cell)
        [crossed] = masks.crossed(known, masks.shown[known])
        low, high = np.clip(crossed.interval(bootstrap), 0.0, METRICS[metric].most).tolist()
        row = {"mean": crossed.mean, "low": low, "high": high, "seed_sd": crossed.seed_sd, **_sizes(crossed)}
        rows.append({**key, **row})
    return pd.DataFrame(rows)


def paired_differences(
    scores: pd.DataFrame,
    between: str,
    reference: str,
    by: Sequence[str] = (),
    metric: str = "dice",
    bootstrap: Bootstrap = USUAL,
) -> pd.DataFrame:
    """How much every method (or run, or network) differs from one of them, in each cell, on the same masks.

    Only masks that both scored count: same cell, seed, case, subset and region. Their differences are averaged as in
    `cell_means`. The interval is for other cases and seeds (`Crossed.interval`), p is of Wilcoxon's signed-rank test
    of the cases' mean differences (`Crossed.signed_rank_p`), and p_holm is corrected for all rows of the result. Cases
    are taken to be independent, which slices of one subject are not.

    Args:
        scores: tidy scores, with `seed` or without.
        between: column whose values are compared, such as method.
        reference: the value that the others are compared with.
        by: columns that tell the cells apart, such as region.
        metric: a column of `scores`.
        bootstrap: see `cell_means`.

    Returns:
        A row a cell and value of `between` other than `reference`, in order of appearance: `by`, `between`,
        mean_reference, mean, difference, low, high, seed_sd (standard deviation of the seeds' differences), p,
        p_holm, n_cases, n_seeds. No row where the two share no mask.

    Raises:
        InputError: `reference` is not there, or a mask was scored twice.
    """
    there = list(scores[between].unique())
    if reference not in there:
        raise InputError(f"{reference!r} is no {between} of the scores; there are: {', '.join(map(str, there))}")
    masks = _Masks.of(scores, metric)
    names = _numbered(scores, [between])
    rows = []
    for key, cell in _cells(scores, by):
        of = {there[number]: cell[names[cell] == number] for number in pd.unique(names[cell])}
        for name, own in of.items():
            masks.check_once(own)
            first, second = masks.paired(of.get(reference, own[:0]), own)
            if name != reference and len(first):
                rows.append({**key, between: name, **_difference(masks, first, second, bootstrap)})
    numbers = ["mean_reference", "mean", "difference", "low", "high", "seed_sd", "p", "n_cases", "n_seeds"]
    columns = [*by, between, *numbers]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(columns.index("p") + 1, "p_holm", holm(table["p"].to_numpy(dtype=float)))
    return table


@dataclass(frozen=True)
class _Masks:
    """Scored masks as arrays: texts are compared once for all cells, since there can be hundreds of those.

    Args:
        scores: what they were made of.
        shown: values of the metric, in the unit that is shown; NaN where a mask has none.
        seeds, cases, items: numbers, an item being a subset and a region.
        masks: number of seed, case and item together.
        weights: of the items.
    """

    scores: pd.DataFrame
    shown: Floats
    seeds: Numbers
    cases: Numbers
    items: Numbers
    masks: Numbers
    weights: Floats

    @classmethod
    def of(cls, scores: pd.DataFrame, metric: str, frequencies: "pd.Series[float] | None" = None) -> "_Masks":
        seeded = scores if "seed" in scores else scores.assign(seed=0)
        items = _numbered(seeded, ["subset", "region"])
        subsets = seeded["subset"].to_numpy()[np.unique(items, return_index=True)[1]]
        weights = np.ones(len(subsets)) if frequencies is None else frequencies.reindex(subsets, fill_value=0.0)
        return cls(
            scores=seeded,
            shown=METRICS[metric].scale * seeded[metric].to_numpy(dtype=float),
            seeds=_numbered(seeded, ["seed"]),
            cases=_numbered(seeded, ["case"]),
            items=items,
            masks=_numbered(seeded, ONE),
            weights=np.asarray(weights, dtype=float),
        )

    def check_once(self, rows: Numbers) -> None:
        """Refuse rows of which two are the same mask."""
        twice = pd.Series(self.masks[rows]).duplicated().to_numpy()
        if twice.any():
            which = ", ".join(f"{name} {value}" for name, value in self.scores[ONE].iloc[rows[twice][0]].items())
            raise InputError(f"{which} is scored twice; give each run once, or tell them apart by another column")

    def known(self, rows: Numbers) -> Numbers:
        """Those that have a value."""
        return rows[~np.isnan(self.shown[rows])]

    def paired(self, first: Numbers, second: Numbers) -> tuple[Numbers, Numbers]:
        """Rows of masks that both have a value for, in the order of the first."""
        first, second = self.known(first), self.known(second)
        places = pd.Index(self.masks[second]).get_indexer(pd.Index(self.masks[first]))
        return first[places >= 0], second[places[places >= 0]]

    def crossed(self, rows: Numbers, *values: Floats) -> list[Crossed]:
        """Each of `values` of `rows` by seed, case and item, those in order of appearance."""
        seeds, seed_numbers = pd.factorize(self.seeds[rows])
        cases, case_numbers = pd.factorize(self.cases[rows])
        items, item_numbers = pd.factorize(self.items[rows])
        found = []
        for of_one in values:
            stacked = np.full((len(seed_numbers), len(case_numbers), len(item_numbers)), np.nan)
            stacked[seeds, cases, items] = of_one
            found.append(Crossed(stacked, self.weights[item_numbers]))
        return found


def _numbered(scores: pd.DataFrame, names: Sequence[str]) -> Numbers:
    """For each row the number of its combination of values, from 0 in order of appearance."""
    numbers = np.zeros(len(scores), dtype=np.intp)
    for name in names:
        own, values = pd.factorize(scores[name], use_na_sentinel=False)
        numbers = pd.factorize(numbers * max(len(values), 1) + own)[0]
    return numbers


def _cells(scores: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[dict[str, object], Numbers]]:
    """What tells a cell apart, and its rows."""
    if not by:
        yield {}, np.arange(len(scores))
        return
    numbers = _numbered(scores, by)
    keys = scores[list(by)].drop_duplicates().to_dict("records")
    ends = np.cumsum(np.bincount(numbers, minlength=len(keys)))
    rows = np.split(np.argsort(numbers, kind="stable"), ends[:-1])
    for key, cell in zip(keys, rows if keys else (), strict=True):
        yield {str(name): value for name, value in key.items()}, cell


def _difference(masks: _Masks, first: Numbers, second: Numbers, bootstrap: Bootstrap) -> dict[str, float]:
    before, after = masks.shown[first], masks.shown[second]
    crossed, mean_before, mean_after = masks.crossed(first, after - before, before, after)
    low, high = crossed.interval(bootstrap)
    return {
        "mean_reference": mean_before.mean, "mean": mean_after.mean, "difference": crossed.mean,
        "low": low, "high": high, "seed_sd": crossed.seed_sd, "p": crossed.signed_rank_p, **_sizes(crossed),
    }  # fmt: skip


def _sizes(crossed: Crossed) -> dict[str, int]:
    seeds, cases, _ = crossed.scores.shape
    return {"n_cases": cases, "n_seeds": seeds}
