"""Means of scores that are crossed by case and seed: their intervals, their spread, and a test on cases."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made.

    Args:
        count: samples.
        level: share of them that an interval holds, in the middle.
        seed: of the draws; the same seed gives the same interval.
    """

    count: int = 10_000
    level: float = 0.95
    seed: int = 0


USUAL = Bootstrap()


@dataclass(frozen=True)
class Crossed:
    """Values of the same items of every case with every seed.

    Args:
        scores: (S seeds, C cases, U items), NaN where there is none; items are what one case has several of, such as
            subsets of modalities.
        weights: of the items (U,).
    """

    scores: Floats
    weights: Floats

    def means(self, seeds: Floats, cases: Floats) -> Floats:
        """Mean over seeds and cases of each item, then over the items that have one, B times.

        Args:
            seeds: how often each seed counts (B, S).
            cases: how often each case counts (B, C).

        Returns:
            (B,), NaN where no item with a weight is left.
        """
        merged, kinds = self._merged
        _, _, width = merged.shape
        # One matrix product for all, because reading `cases` is what takes the time.
        products = cases @ merged.transpose(1, 0, 2).reshape(cases.shape[1], -1)
        drawn = np.einsum("bs,bsk->bk", seeds, products.reshape(len(cases), -1, width))
        sums, counts = drawn[:, : len(kinds)], drawn[:, len(kinds) :]
        weights = kinds * (counts > 0)
        with np.errstate(invalid="ignore"):
            return np.asarray((sums / np.maximum(counts, 1)).sum(axis=1) / weights.sum(axis=1))

    @cached_property
    def _merged(self) -> tuple[Floats, Floats]:
        """Items that are known of the same cases and seeds are a kind, mostly all: a sample counts them alike.

        Returns:
            The weighted sum of each kind and, beside these, 1 where it is known (S, C, 2 K); the weight of each (K,).
        """
        seeds, cases, items = self.scores.shape
        known = ~np.isnan(self.scores)
        if known.all():
            kinds, kind = np.ones((seeds * cases, 1)), np.zeros(items, dtype=np.intp)
        else:
            found, kind = np.unique(known.reshape(seeds * cases, items), axis=1, return_inverse=True)
            kinds = found.astype(float)
        shares = np.zeros((items, kinds.shape[1]))
        shares[np.arange(items), kind.reshape(-1)] = self.weights
        sums = np.where(known, self.scores, 0.0) @ shares
        return np.concatenate([sums, kinds.reshape(sums.shape)], axis=2), shares.sum(axis=0)

    @cached_property
    def mean(self) -> float:
        """With every seed and case once."""
        seeds, cases, _ = self.scores.shape
        return float(self.means(np.ones((1, seeds)), np.ones((1, cases)))[0])

    @property
    def seed_sd(self) -> float:
        """Standard deviation (n - 1) of the means of each seed; NaN for one."""
        seeds, cases, _ = self.scores.shape
        return float(self.means(np.eye(seeds), np.ones((seeds, cases))).std(ddof=1)) if seeds > 1 else float("nan")

    def interval(self, bootstrap: Bootstrap) -> tuple[float, float]:
        """Interval of the mean, for other cases and other seeds.

        For cases a percentile bootstrap: they are drawn with replacement, a drawn case brings all its items and is
        taken with every seed. For seeds, which are too few to be drawn from, Student's t of the seeds' means. A limit
        lies as far from the mean as the root of both squared distances. One seed has no spread: the interval then
        says nothing of others. NaN for fewer than two cases, and where there is no mean.

        Source: Zou and Donner, "Construction of confidence limits about effect measures: a general approach",
        Statistics in Medicine 2008, for what limits of several sources of variance make together.
        """
        seeds, cases, _ = self.scores.shape
        if cases < 2 or np.isnan(self.mean):
            return float("nan"), float("nan")
        drawn = _drawn(cases, bootstrap)
        tail = (1 - bootstrap.level) / 2
        low, high = np.nanquantile(self.means(np.ones((len(drawn), seeds)), drawn), [tail, 1 - tail])
        of_seeds = stats.t.ppf(1 - tail, seeds - 1) * self.seed_sd / np.sqrt(seeds) if seeds > 1 else 0.0
        below, above = np.hypot([self.mean - low, high - self.mean], of_seeds)
        return float(self.mean - below), float(self.mean + above)

    @property
    def signed_rank_p(self) -> float:
        """Two-sided p of Wilcoxon's signed-rank test that the cases' values are symmetric about 0.

        A case's value is its mean over seeds, then over the items that it has, by weight. Zeros are dropped; p is 1
        where all are zero, NaN where there is no value.

        Source: Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1945.
        """
        known = ~np.isnan(self.scores)
        items = np.where(known, self.scores, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        weights = self.weights * known.any(axis=0)
        has = weights.sum(axis=1) > 0
        values = (weights * items)[has].sum(axis=1) / weights[has].sum(axis=1)
        if not values.any():
            return 1.0 if len(values) else float("nan")
        return float(stats.wilcoxon(values[values != 0]).pvalue)


@lru_cache(maxsize=4)  # the cells of a table have the same cases, and drawing takes the most time
def _drawn(n: int, bootstrap: Bootstrap) -> Floats:
    """How often each of `n` is drawn in each sample (B, n)."""
    random = np.random.default_rng(bootstrap.seed)
    return random.multinomial(n, np.full(n, 1 / n), bootstrap.count).astype(float)


def holm(p: Floats) -> Floats:
    """p-values corrected for their number, after Holm; NaN stays and does not count.

    Of p_(1) <= ... <= p_(n), the i-th becomes the largest of min(1, (n - j + 1) p_(j)) over j <= i.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979.

    >>> holm(np.array([0.04, 0.01, 0.03])).round(3).tolist()
    [0.06, 0.03, 0.06]
    """
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    corrected = np.full(len(p), np.nan)
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * p[order]))
    return corrected
