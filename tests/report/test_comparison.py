"""Seeds are found and brought together, runs compared on what they share, and it is said what that rests on."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from rich.console import Console

from passion.errors import InputError
from passion.report.bootstrap import Bootstrap
from passion.report.comparison import (
    cautions,
    compare_runs,
    evidence,
    groups_of,
    print_comparison,
    print_differences,
    read_runs,
)
from passion.report.results import MORE_SCORES, SCORES
from passion.report.tables import subset_table

MakeRun = Callable[..., Path]
FEW = Bootstrap(count=200)
SUBSETS_OF_FOUR = 15


def with_settings(folder: Path, seed: int, **data: object) -> Path:
    """The run as one trained with `seed`."""
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["training"]["seed"] = seed
    path.write_text(yaml.safe_dump({**config, "data": data}))
    return folder


@pytest.fixture
def grid(make_run: MakeRun, tmp_path: Path) -> list[Path]:
    """Two methods with seeds 0 and 1, each with a presence matrix of its own."""
    return [
        with_settings(make_run(tmp_path / f"{method}-{seed}", method, 10 * seed), seed, presence=f"presence-{seed}.csv")
        for method in ("baseline", "passion")
        for seed in (0, 1)
    ]


def test_runs_that_differ_in_the_seed_alone_are_one(grid: list[Path]) -> None:
    groups = groups_of(read_runs(grid))
    assert {name: [run.name for run in members] for name, members in groups.items()} == {
        "baseline-0 (2 seeds)": ["baseline-0", "baseline-1"],
        "passion-0 (2 seeds)": ["passion-0", "passion-1"],
    }


def as_fold(folder: Path, fold: int) -> Path:
    """The run as one of another fold: its test cases have other names, and so have its training cases."""
    for path in (folder / "evaluation/test-last/scores.csv", folder / "presence.csv"):
        table = pd.read_csv(path)
        table["case"] = table["case"].astype(str) + f"-{fold}"
        table.to_csv(path, index=False)
    return folder


@pytest.fixture
def folds(make_run: MakeRun, tmp_path: Path) -> list[Path]:
    """Two methods, each in two folds with two seeds."""
    return [
        as_fold(
            with_settings(make_run(tmp_path / f"{name}-{fold}-{seed}", name, number), seed, split=f"{fold}.csv"), fold
        )
        for number, (name, fold, seed) in enumerate(product(("baseline", "passion"), (1, 2), (0, 1)))
    ]


def test_folds_are_pooled(folds: list[Path]) -> None:
    runs = read_runs(folds)
    single = [run for run in runs if run.name.endswith("-0")]
    assert list(groups_of(runs)) == ["baseline-1-0 (2 folds, 2 seeds)", "passion-1-0 (2 folds, 2 seeds)"]
    assert list(groups_of(single)) == ["baseline-1-0 (2 folds)", "passion-1-0 (2 folds)"]
    for given in (runs, single):
        found = compare_runs(given, bootstrap=FEW)
        half = len(given) // 2
        averages = [subset_table(run.scores, run.study, "dice").loc["Average"] for run in given]
        np.testing.assert_allclose(found["difference"], (sum(averages[half:]) - sum(averages[:half])) / half)
        assert set(found["n_cases"]) == {2 * given[0].scores["case"].nunique()}
        assert set(found["n_seeds"]) == {half // 2}
        assert "Folds were scored on different cases" in " ".join(cautions(given))


def test_a_group_that_shares_nothing_with_the_first_is_named(folds: list[Path]) -> None:
    runs = read_runs([folds[0], folds[4], folds[6]])
    assert list(groups_of(runs)) == ["baseline-1-0", "passion-1-0 (2 folds)"]
    assert "not comparable" in " ".join(cautions(runs))
    apart = [read_runs([folds[0]])[0], read_runs([folds[6]])[0]]
    assert "passion-2-0 shares no seed and case with baseline-1-0; nothing is compared." in cautions(apart)


def test_runs_of_other_training_cases_that_share_test_cases_are_not_one(grid: list[Path]) -> None:
    first, second = read_runs(grid[:2])
    fewer = replace(second, presence=second.presence.rename(index=lambda name: f"other-{name}"))
    assert len(groups_of([first, second])) == 1
    assert len(groups_of([first, fewer])) == 2


def test_folds_of_other_rates_are_not_one(folds: list[Path]) -> None:
    runs = read_runs([folds[0], folds[2]])
    drawn = [replace(run, config={**run.config, "data": {"presence": f"{run.name}.csv"}}) for run in runs]
    assert len(groups_of(drawn)) == 1
    flipped = drawn[1].presence.copy()
    for count in (1, 2):
        present = flipped.index[flipped["t1"].astype(bool)][0]
        flipped.loc[present, "t1"] = False
        assert len(groups_of([drawn[0], replace(drawn[1], presence=flipped)])) == count
        assert len(groups_of([runs[0], replace(runs[1], presence=flipped)])) == 1


def test_runs_of_other_rates_options_or_the_same_seed_are_not(grid: list[Path], tmp_path: Path) -> None:
    presence = pd.read_csv(grid[1] / "presence.csv")
    presence.loc[0, "t1"] = 1 - presence.loc[0, "t1"]
    presence.to_csv(grid[1] / "presence.csv", index=False)
    longer = shutil.copytree(grid[0], tmp_path / "longer")
    config = yaml.safe_load((longer / "config.yaml").read_text())
    config["training"]["epochs"] += 1
    (longer / "config.yaml").write_text(yaml.safe_dump(config))
    again = shutil.copytree(grid[0], tmp_path / "again")
    names = ["baseline-0", "baseline-1", "longer", "again"]
    assert list(groups_of(read_runs([grid[0], grid[1], longer, again]))) == names


def test_differences_are_those_of_the_seeds_averages(grid: list[Path]) -> None:
    runs = read_runs(grid)
    for metric in (*SCORES, *MORE_SCORES):
        found = compare_runs(runs, metric, bootstrap=FEW)
        averages = [subset_table(run.scores, run.study, metric).loc["Average"] for run in runs]
        expected = (averages[2] + averages[3] - averages[0] - averages[1]) / 2
        assert found["region"].tolist() == ["WT", "TC", "ET", "Avg."]
        np.testing.assert_allclose(found["difference"], expected)
        assert set(found["n_seeds"]) == {2}
        assert set(found["metric"]) == {metric}


def test_by_subset_it_is_the_average_over_regions(grid: list[Path]) -> None:
    runs = read_runs([grid[0], grid[2]])
    found = compare_runs(runs, rows="subset", bootstrap=FEW).set_index("subset")
    tables = [subset_table(run.scores, run.study) for run in runs]
    expected = (tables[1] - tables[0])["Avg."].drop("Average")
    assert len(found) == SUBSETS_OF_FOUR
    assert list(found.index) == list(expected.index)
    np.testing.assert_allclose(found["difference"], expected)


def test_single_runs_are_paired_whatever_their_seeds(grid: list[Path]) -> None:
    found = compare_runs(read_runs([grid[0], grid[3]]), bootstrap=FEW)
    assert set(found["n_seeds"]) == {1}
    assert set(found["run"]) == {"passion-1"}


def test_groups_without_a_common_seed_are_left_out(grid: list[Path]) -> None:
    assert compare_runs(read_runs([grid[0], grid[1], with_settings(grid[2], 7)]), bootstrap=FEW).empty
    assert compare_runs(read_runs(grid[:2]), bootstrap=FEW).empty


def test_what_it_rests_on_is_said(grid: list[Path]) -> None:
    several = evidence(compare_runs(read_runs(grid), bootstrap=FEW))
    assert several.startswith("4 cases, 2 seeds.")
    assert "interval for other cases and seeds. p:" in several
    assert "for 4 comparisons." in several
    single = evidence(compare_runs(read_runs([grid[0], grid[2]]), bootstrap=FEW))
    assert single.startswith("4 cases, 1 seed.")
    assert "with one seed it does not say what another training would give" in single


def test_differences_are_printed_with_their_intervals(grid: list[Path]) -> None:
    out = Console(file=StringIO(), width=100)
    found = compare_runs(read_runs(grid), bootstrap=FEW)
    print_differences(found, out)
    assert isinstance(out.file, StringIO)
    text = out.file.getvalue()
    row = found[found["region"] == "ET"].iloc[0]
    assert f"{row['difference']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]" in text
    assert "Dice [%]: difference to baseline-0 (2 seeds)" in text


def test_the_numbers_are_written_as_one_table(grid: list[Path], tmp_path: Path, capsys) -> None:
    print_comparison(grid, ["dice", "lesion_dice"], "region", tmp_path / "out.csv")
    written = pd.read_csv(tmp_path / "out.csv")
    assert written["metric"].tolist() == ["dice"] * 4 + ["lesion_dice"] * 4
    assert {"reference", "run", "region", "difference", "low", "high", "p", "p_holm"} <= set(written)
    assert "Lesion Dice [%]" in capsys.readouterr().out


def test_what_cannot_be_compared_is_refused(grid: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="baseline-0: shares no seed and case with another run"):
        print_comparison(grid[:2], ["dice"], "region", tmp_path / "out.csv")
    scores = grid[2] / "evaluation/test-last/scores.csv"
    pd.read_csv(scores).drop(columns=list(MORE_SCORES)).to_csv(scores, index=False)
    with pytest.raises(InputError, match="passion-0: was not scored by surface_dice; run `passion evaluate`"):
        print_comparison([grid[0], grid[2]], ["surface_dice"], "region", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_another_evaluation_can_be_compared_but_not_one_by_slice(grid: list[Path], tmp_path: Path) -> None:
    for run in grid:
        (run / "evaluation/test-last").rename(run / "evaluation/val-best")
    print_comparison(grid, ["dice"], "region", tmp_path / "out.csv", "val-best")
    assert len(pd.read_csv(tmp_path / "out.csv"))
    settings = grid[1] / "evaluation/val-best/settings.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "by": "slice"}))
    with pytest.raises(InputError, match="--evaluation val-best: slices of a subject are not independent"):
        read_runs(grid, "val-best")


def test_other_weights_and_tolerances_are_pointed_out(grid: list[Path]) -> None:
    presence = pd.read_csv(grid[1] / "presence.csv")
    presence.loc[:, ["t1", "t2"]] = 1
    presence.to_csv(grid[1] / "presence.csv", index=False)
    settings = grid[1] / "evaluation/test-last/settings.json"
    settings.write_text(settings.read_text().replace('"overlap"', '"surface_tolerance": 2.0, "overlap"'))
    found = " ".join(cautions(read_runs(grid[:2])))
    assert "weigh as in baseline-0" in found
    assert "“surface_tolerance”" in found
