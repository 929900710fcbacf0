"""Tidy statistics agree with the tables, pair what belongs together, and find what was put in."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from passion.data.sources.brats import BRATS2020
from passion.data.sources.myops import MYOPS2020
from passion.errors import InputError
from passion.report.bootstrap import Bootstrap
from passion.report.results import Run, read_run, subset_names
from passion.report.statistics import cell_means, paired_differences, subset_frequencies, with_average_region
from passion.report.tables import AVERAGE_COLUMN, AVERAGE_ROW, METRICS, subset_table

MakeRun = Callable[..., Path]
FEW = Bootstrap(count=200)


@pytest.fixture
def two(runs: list[Path]) -> list[Run]:
    return [read_run(folder) for folder in runs]


def labelled(runs: list[Run]) -> pd.DataFrame:
    return pd.concat([run.scores.assign(method=run.name) for run in runs], ignore_index=True)


def shifted(scores: pd.DataFrame, by: float, seed: int = 0) -> pd.DataFrame:
    return scores.assign(dice=scores["dice"] + by, method="better", seed=seed)


def test_frequencies_are_shares_of_the_training_cases(two: list[Run]) -> None:
    presence = two[0].presence
    having = presence[presence.any(axis=1)]
    assert 0 < len(having) < len(presence)
    found = subset_frequencies(presence, BRATS2020)
    assert list(found.index) == subset_names(BRATS2020)
    assert found.sum() == pytest.approx(1)
    for subset, share in found.items():
        inside = [name in str(subset).split("+") for name in BRATS2020.modalities]
        rows = [row == inside for row in having[list(BRATS2020.modalities)].to_numpy().tolist()]
        assert share == pytest.approx(sum(rows) / len(having))
    everything = pd.DataFrame(True, index=range(3), columns=list(BRATS2020.modalities))
    assert subset_frequencies(everything, BRATS2020)["t1+t1c+flair+t2"] == 1


@pytest.mark.parametrize("metric", ["dice", "hd95_pooled"])
@pytest.mark.parametrize("absent", [{}, {"001": "t2", "003": "flair"}])
def test_means_are_those_of_the_tables(make_run: MakeRun, tmp_path: Path, metric: str, absent: dict[str, str]) -> None:
    run = read_run(make_run(tmp_path / "run", "passion", 1, cases=5, absent=absent))
    table = subset_table(run.scores, run.study, metric)
    scores = with_average_region(run.scores, run.study)
    means = cell_means(scores, ["region"], metric, bootstrap=FEW).set_index("region")
    assert list(means.index) == list(table.columns)
    np.testing.assert_allclose(means["mean"], table.loc[AVERAGE_ROW])
    assert (means["low"] <= means["mean"]).all()
    assert (means["mean"] <= means["high"]).all()
    assert (means["n_cases"] == 5).all()
    cells = cell_means(scores, ["subset", "region"], metric, bootstrap=FEW)
    assert len(cells) == 15 * 4
    for row in cells.itertuples():
        assert row.mean == pytest.approx(table.loc[row.subset, row.region])
    whole = cell_means(run.scores, [], metric, bootstrap=FEW)
    assert whole["mean"].item() == pytest.approx(table.loc[AVERAGE_ROW, AVERAGE_COLUMN])


def test_weighted_means_weigh_the_subsets(two: list[Run]) -> None:
    run = two[0]
    weights = subset_frequencies(run.presence, run.study)
    table = subset_table(run.scores, run.study).drop(index=AVERAGE_ROW)
    expected = (table["WT"] * weights).sum()
    found = cell_means(run.scores, ["region"], frequencies=weights, bootstrap=FEW).set_index("region")
    assert found.loc["WT", "mean"] == pytest.approx(expected)
    assert abs(expected - table["WT"].mean()) > 0.1


def test_the_average_is_of_the_regions_that_the_study_averages() -> None:
    dice = {"LVB": 0.9, "RVB": 0.8, "MYO": 0.7, "edema": 0.1, "scar": 0.2}
    rows = [{"case": "a", "subset": "lge", "region": name, "dice": value, "seed": 3} for name, value in dice.items()]
    scores = with_average_region(pd.DataFrame(rows), MYOPS2020)
    average = scores[scores["region"] == AVERAGE_COLUMN]
    assert average[["case", "subset", "seed", "dice"]].to_numpy().tolist() == [["a", "lge", 3, pytest.approx(0.8)]]


def test_a_constant_gain_is_found_without_doubt(two: list[Run]) -> None:
    base = two[0].scores.assign(method="base", seed=0)
    found = paired_differences(pd.concat([base, shifted(base, 0.03)]), "method", "base", ["region"])
    assert list(found["region"]) == ["WT", "TC", "ET"]
    for column in ("difference", "low", "high"):
        np.testing.assert_allclose(found[column], 3)
    np.testing.assert_allclose(found["mean"] - found["mean_reference"], 3)
    np.testing.assert_allclose(found["p"], 2 / 2**4)  # four cases, all better
    np.testing.assert_allclose(found["p_holm"], 3 * 2 / 2**4)
    assert (found["n_seeds"] == 1).all()


def test_differences_are_those_of_the_averages(two: list[Run]) -> None:
    scores = with_average_region(labelled(two), BRATS2020)
    for metric in METRICS.keys() & set(scores):
        found = paired_differences(scores, "method", "baseline", ["region"], metric, bootstrap=FEW)
        tables = [subset_table(run.scores, run.study, metric).loc[AVERAGE_ROW] for run in two]
        np.testing.assert_allclose(found["difference"], tables[1] - tables[0], atol=1e-9)
        assert found["low"].lt(found["high"]).all()


def test_only_what_both_scored_is_compared(two: list[Run]) -> None:
    base = two[0].scores.assign(method="base", seed=0)
    easy = base[base["case"] != "002"]
    other = shifted(base[base["case"] != "001"], 0.01)
    other.loc[other["case"] == "003", "dice"] = np.nan
    found = paired_differences(pd.concat([easy, other]), "method", "base", bootstrap=FEW)
    assert found["n_cases"].item() == 1
    assert found["difference"].item() == pytest.approx(1)
    assert np.isnan(found[["low", "high"]].to_numpy()).all()


def test_seeds_are_paired_with_themselves(two: list[Run]) -> None:
    """The second seed is a better training of both: what differs within seeds is still the gain alone."""
    base = two[0].scores.assign(method="base", seed=0)
    lucky = base.assign(dice=base["dice"] - 0.2, seed=1)
    scores = pd.concat([base, lucky, shifted(base, 0.02), shifted(lucky, 0.04, seed=1), shifted(base, 0.5, seed=2)])
    found = paired_differences(scores, "method", "base")
    assert found["difference"].item() == pytest.approx(3)
    assert found["n_seeds"].item() == 2
    assert found["seed_sd"].item() == pytest.approx(np.std([2, 4], ddof=1))
    assert (found["low"].item(), found["high"].item()) == pytest.approx(
        tuple(stats.ttest_1samp([2, 4], 0).confidence_interval())
    )
    means = cell_means(scores[scores["seed"] < 2], ["method"], bootstrap=FEW).set_index("method")
    assert means.loc["base", ["low", "high"]].tolist() == [0, 100]
    assert means.loc["base", "seed_sd"] == pytest.approx(np.std([0, 20], ddof=1))


def test_the_correction_is_for_every_row_of_the_result(two: list[Run]) -> None:
    base = two[0].scores.assign(method="base", seed=0)
    scores = pd.concat([base, shifted(base, 0.01), shifted(base, 0.02).assign(method="best")])
    found = paired_differences(scores, "method", "base", ["region"], bootstrap=FEW)
    assert list(found["method"]) == ["better", "best"] * 3
    np.testing.assert_allclose(found["p_holm"], np.minimum(1, 6 * 2 / 2**4))
    assert list(found) == [
        "region", "method", "mean_reference", "mean", "difference", "low", "high", "seed_sd", "p", "p_holm", "n_cases",
        "n_seeds",
    ]  # fmt: skip


def test_what_cannot_be_compared_is_refused(two: list[Run]) -> None:
    base = two[0].scores.assign(method="base")
    with pytest.raises(InputError, match="'best' is no method of the scores; there are: base"):
        paired_differences(base, "method", "best")
    with pytest.raises(InputError, match="seed 0, case 001, subset t1, region WT is scored twice"):
        cell_means(pd.concat([base, base]), ["method"])


def test_what_shares_no_mask_has_no_row(two: list[Run]) -> None:
    """A seed that is not trained yet, and a cell that the reference is not in."""
    base = two[0].scores.assign(method="base", seed=0, setting="a")
    scores = pd.concat([base, shifted(base, 0.1, seed=1), shifted(base, 0.1).assign(setting="b")])
    assert paired_differences(scores, "method", "base", ["setting"]).empty
    found = paired_differences(pd.concat([scores, shifted(base, 0.1)]), "method", "base", ["setting"], bootstrap=FEW)
    assert found[["setting", "method", "n_seeds"]].to_numpy().tolist() == [["a", "better", 1]]
