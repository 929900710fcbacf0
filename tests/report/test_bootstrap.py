"""Intervals and tests against every possible resample, every possible sign, scipy, and laws."""

from itertools import chain, combinations, product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from passion.report.bootstrap import Bootstrap, Crossed, holm

PRECISE = Bootstrap(count=40_000)


def made(seeds: int, cases: int, items: int, seed: int = 0, gaps: float = 0.0) -> NDArray[np.float64]:
    draw = np.random.default_rng(seed)
    scores = (
        draw.normal(size=(seeds, 1, 1)) + 2 * draw.normal(size=(1, cases, 1)) + draw.normal(size=(seeds, cases, items))
    )
    scores[draw.random(scores.shape) < gaps] = np.nan
    return scores


def plain_mean(scores: NDArray[np.float64], weights: NDArray[np.float64], seeds: list[int], cases: list[int]) -> float:
    """Of listed seeds and cases, repetitions and all, item by item."""
    total = over = 0.0
    for item, weight in enumerate(weights):
        values = [scores[s, c, item] for s in seeds for c in cases if not np.isnan(scores[s, c, item])]
        if values:
            total += weight * sum(values) / len(values)
            over += weight
    return total / over


def test_means_are_those_of_the_listed_cases_and_seeds() -> None:
    scores, weights = made(3, 6, 4, gaps=0.3), np.array([0.5, 0.2, 0.0, 0.3])
    crossed, draw = Crossed(scores, weights), np.random.default_rng(1)
    for _ in range(20):
        seeds, cases = draw.integers(0, 3, 3).tolist(), draw.integers(0, 6, 6).tolist()
        counts = [np.bincount(drawn, minlength=n)[None].astype(float) for drawn, n in ((seeds, 3), (cases, 6))]
        assert crossed.means(*counts)[0] == pytest.approx(plain_mean(scores, weights, seeds, cases))
    assert crossed.mean == pytest.approx(plain_mean(scores, weights, [0, 1, 2], list(range(6))))
    by_seed = [plain_mean(scores, weights, [s], list(range(6))) for s in range(3)]
    assert crossed.seed_sd == pytest.approx(np.std(by_seed, ddof=1))
    assert np.isnan(Crossed(scores[:1], weights).seed_sd)


@pytest.mark.parametrize("gaps", [0.0, 0.2])
@pytest.mark.parametrize("seeds", [1, 3])
def test_the_interval_is_that_of_all_possible_resamples_of_cases_and_students_of_seeds(seeds: int, gaps: float) -> None:
    scores, weights = made(seeds, 5, 3, seed=4, gaps=gaps), np.array([1.0, 2.0, 1.0])
    every = [plain_mean(scores, weights, list(range(seeds)), list(cases)) for cases in product(range(5), repeat=5)]
    of_cases = np.quantile(every, [0.025, 0.975])
    mean, spread = plain_mean(scores, weights, list(range(seeds)), list(range(5))), 0.0
    if seeds > 1:
        by_seed = [plain_mean(scores, weights, [seed], list(range(5))) for seed in range(seeds)]
        low, high = stats.ttest_1samp(by_seed, 0.0).confidence_interval(0.95)
        spread = (high - low) / 2
    expected = [mean - np.hypot(mean - of_cases[0], spread), mean + np.hypot(of_cases[1] - mean, spread)]
    found = Crossed(scores, weights).interval(PRECISE)
    assert found == pytest.approx(expected, abs=0.03 * float(np.ptp(expected)))


def test_with_one_seed_and_item_it_is_scipys_percentile_interval() -> None:
    scores = made(1, 25, 1, seed=2)
    theirs = stats.bootstrap(
        (scores[0, :, 0],), np.mean, n_resamples=40_000, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    low, high = Crossed(scores, np.ones(1)).interval(PRECISE)
    assert [low, high] == pytest.approx([theirs.low, theirs.high], abs=0.03 * (theirs.high - theirs.low))


def test_items_of_a_case_are_no_further_evidence() -> None:
    scores = made(3, 10, 1)
    once = Crossed(scores, np.ones(1))
    often = Crossed(np.repeat(scores, 15, axis=2), np.ones(15))
    assert often.interval(Bootstrap()) == pytest.approx(once.interval(Bootstrap()))
    assert often.signed_rank_p == pytest.approx(once.signed_rank_p)


def test_seeds_that_differ_widen_the_interval_and_one_seed_cannot() -> None:
    by_seed = np.array([-3.0, -1.0, 1.0, 3.0])
    scores = np.zeros((4, 20, 1)) + by_seed[:, None, None]
    found = Crossed(scores, np.ones(1)).interval(Bootstrap())
    assert found == pytest.approx(tuple(stats.ttest_1samp(by_seed, 0.0).confidence_interval(0.95)))
    assert Crossed(scores[:1], np.ones(1)).interval(Bootstrap()) == (-3.0, -3.0)


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_intervals_cover_the_truth_as_often_as_they_say(seeds: int) -> None:
    """Seeds differ by as much as half of what cases do: an interval over cases alone would cover it far less often."""
    covered = 0
    for draw in range(300):
        low, high = Crossed(made(seeds, 30, 2, seed=draw), np.ones(2)).interval(Bootstrap(count=500))
        covered += low <= 0 <= high
    assert 0.92 <= covered / 300 <= 0.99


def test_an_item_without_weight_is_as_if_it_were_not_there() -> None:
    scores = made(2, 8, 3)
    weighted, without = Crossed(scores, np.array([0.7, 0.3, 0.0])), Crossed(scores[..., :2], np.array([0.7, 0.3]))
    assert weighted.interval(Bootstrap()) == pytest.approx(without.interval(Bootstrap()))
    assert weighted.signed_rank_p == without.signed_rank_p


def test_where_there_is_nothing_to_say() -> None:
    one_case = Crossed(np.ones((2, 1, 1)), np.ones(1))
    assert np.isnan(one_case.interval(Bootstrap())).all()
    nothing = Crossed(made(2, 5, 2), np.zeros(2))
    assert np.isnan([nothing.mean, *nothing.interval(Bootstrap()), nothing.signed_rank_p]).all()
    assert Crossed(np.zeros((1, 9, 1)), np.ones(1)).signed_rank_p == 1.0


def test_the_same_call_gives_the_same_interval() -> None:
    crossed = Crossed(made(2, 9, 3), np.ones(3))
    assert crossed.interval(Bootstrap()) == crossed.interval(Bootstrap())
    assert crossed.interval(Bootstrap()) != crossed.interval(Bootstrap(seed=1))
    narrow, wide = (np.ptp(crossed.interval(Bootstrap(level=level))) for level in (0.5, 0.95))
    assert narrow < wide


def test_zeros_say_nothing_of_signs() -> None:
    values = np.array([*[0.0] * 20, 1, 2, 3, 4, 5])
    assert Crossed(values[None, :, None], np.ones(1)).signed_rank_p == pytest.approx(2 / 2**5)


@pytest.mark.parametrize("cases", [3, 6, 9])
def test_the_p_value_counts_all_signs(cases: int) -> None:
    scores = made(2, cases, 3, seed=cases)
    values = scores.mean(axis=0).mean(axis=1)
    ranks = stats.rankdata(np.abs(values))
    observed = ranks[values > 0].sum()
    middle = ranks.sum() / 2
    sums = [ranks[np.array(signs)].sum() for signs in product([False, True], repeat=cases)]
    expected = np.mean([abs(total - middle) >= abs(observed - middle) - 1e-9 for total in sums])
    assert Crossed(scores, np.ones(3)).signed_rank_p == pytest.approx(expected)


def test_holm_is_the_closed_test_of_bonferroni() -> None:
    """A hypothesis falls when Bonferroni's test rejects every set of hypotheses that it belongs to."""
    draw = np.random.default_rng(0)
    for count in (1, 2, 5, 7):
        p = draw.random(count) ** 3
        p[-1] = p[0]
        sets = list(chain.from_iterable(combinations(range(count), size) for size in range(1, count + 1)))
        expected = [
            min(1.0, max(len(members) * min(p[list(members)]) for members in sets if index in members))
            for index in range(count)
        ]
        np.testing.assert_allclose(holm(p), expected)


def test_holm_leaves_out_what_was_not_tested() -> None:
    p = np.array([0.01, np.nan, 0.04])
    np.testing.assert_allclose(holm(p), [0.02, np.nan, 0.04])
    assert len(holm(np.array([]))) == 0
