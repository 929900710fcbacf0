"""Averages and paired differences with intervals, from tidy scores to tidy tables.

Scores are rows of case, subset, region and metrics, as `scores.csv` has them, with a column `seed` where something was
trained several times, and any other columns that say what was scored. Results are in the units of the tables: Dice
in %, distances in mm.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from passion.data.study import Study
from passion.errors import InputError
from passion.report.bootstrap import USUAL, Bootstrap, Crossed, holm
from passion.report.results import subset_names
from passion.report.tables import AVERAGE_COLUMN, METRICS

ONE = ["seed", "case", "subset", "region"]
"""What one scored mask is told apart by, within a cell."""


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
        bootstrap: how intervals are made, see `Crossed.interval`.

    Returns:
        A row a cell, in order of appearance: `by`, mean, low, high, seed_sd (standard deviation of the seeds' means,
        NaN for one seed), n_cases, n_seeds.

    Raises:
        InputError: a mask was scored twice.
    """
    rows = []
    for key, cell in _cells(scores, by):
        known = _once(cell, metric)
        crossed = _crossed(known, METRICS[metric].scale * known[metric], frequencies)
        low, high = crossed.interval(bootstrap)
        row = {"mean": crossed.mean, "low": low, "high": high, "seed_sd": crossed.seed_sd, **_sizes(crossed)}
        rows.append({**key, **row})
    return pd.DataFrame(rows)


def paired_differences(
    scores: pd.DataFrame,
    between: str,
    reference: str,
    by: Sequence[str] = (),
    metric: str = "dice",
    frequencies: "pd.Series[float] | None" = None,
    bootstrap: Bootstrap = USUAL,
) -> pd.DataFrame:
    """How much every method (or run, or network) differs from one of them, in each cell, on the same masks.

    Only masks that both scored count: same cell, seed, case, subset and region. Their differences are averaged as in
    `cell_means`. The interval draws cases and seeds (`Crossed.interval`), p is of Wilcoxon's signed-rank test of the
    cases' mean differences (`Crossed.signed_rank_p`), and p_holm is corrected for all rows of the result.

    Args:
        scores: tidy scores, with `seed` or without.
        between: column whose values are compared, such as method.
        reference: the value that the others are compared with.
        by: columns that tell the cells apart, such as region.
        metric: a column of `scores`.
        frequencies: weights of the subsets, see `cell_means`.
        bootstrap: see `cell_means`.

    Returns:
        A row a cell and value of `between` other than `reference`, in order of appearance: `by`, `between`,
        mean_reference, mean, difference, low, high, p, p_holm, n_cases, n_seeds. No row where the two share no mask.

    Raises:
        InputError: `reference` is not there, or a mask was scored twice.
    """
    there = list(scores[between].unique())
    if reference not in there:
        raise InputError(f"{reference!r} is no {between} of the scores; there are: {', '.join(map(str, there))}")
    rows = []
    for key, cell in _cells(scores, by):
        first = _once(cell[cell[between] == reference], metric)
        for name, other in cell[cell[between] != reference].groupby(between, sort=False):
            pairs = first.merge(_once(other, metric), on=ONE, suffixes=("_reference", ""))
            if not pairs.empty:
                rows.append({**key, between: name, **_difference(pairs, metric, frequencies, bootstrap)})
    columns = [*by, between, "mean_reference", "mean", "difference", "low", "high", "p", "n_cases", "n_seeds"]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(columns.index("p") + 1, "p_holm", holm(table["p"].to_numpy(dtype=float)))
    return table


def _cells(scores: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[dict[str, object], pd.DataFrame]]:
    seeded = scores if "seed" in scores else scores.assign(seed=0)
    if not by:
        yield {}, seeded
        return
    for names, cell in seeded.groupby(list(by), sort=False):
        yield dict(zip(by, names, strict=True)), cell


def _once(cell: pd.DataFrame, metric: str) -> pd.DataFrame:
    """What tells the masks of a cell apart, and what they score where they have a score."""
    if cell.duplicated(ONE).any():
        twice = cell.loc[cell.duplicated(ONE), ONE].iloc[0]
        which = ", ".join(f"{name} {value}" for name, value in twice.items())
        raise InputError(f"{which} is scored twice; give each run once, or tell them apart by another column")
    return cell[[*ONE, metric]].dropna()


def _difference(
    pairs: pd.DataFrame, metric: str, frequencies: "pd.Series[float] | None", bootstrap: Bootstrap
) -> dict[str, float]:
    scale = METRICS[metric].scale
    before, after = scale * pairs[f"{metric}_reference"], scale * pairs[metric]
    crossed = _crossed(pairs, after - before, frequencies)
    low, high = crossed.interval(bootstrap)
    return {
        "mean_reference": _crossed(pairs, before, frequencies).mean,
        "mean": _crossed(pairs, after, frequencies).mean,
        "difference": crossed.mean, "low": low, "high": high, "p": crossed.signed_rank_p, **_sizes(crossed),
    }  # fmt: skip


def _crossed(masks: pd.DataFrame, scores: "pd.Series[float]", frequencies: "pd.Series[float] | None") -> Crossed:
    """The scores of `masks`, a subset and region being an item."""
    seeds, seed_names = pd.factorize(masks["seed"])
    cases, case_names = pd.factorize(masks["case"])
    items = masks.groupby(["subset", "region"], sort=False).ngroup().to_numpy()
    subsets = masks["subset"].to_numpy()[np.unique(items, return_index=True)[1]]
    stacked = np.full((len(seed_names), len(case_names), len(subsets)), np.nan)
    stacked[seeds, cases, items] = scores
    weights = np.ones(len(subsets)) if frequencies is None else frequencies.reindex(subsets, fill_value=0.0).to_numpy()
    return Crossed(stacked, weights.astype(float))


def _sizes(crossed: Crossed) -> dict[str, int]:
    seeds, cases, _ = crossed.scores.shape
    return {"n_cases": cases, "n_seeds": seeds}
