import csv
from collections.abc import Callable
from io import StringIO
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from passion.data.sources.myops import MYOPS2020
from passion.report.results import SCORES, read_run, subset_names
from passion.report.tables import (
    METRICS,
    case_counts,
    common_metrics,
    comparison_table,
    format_subset,
    print_table,
    side_by_side,
    subset_table,
)

MakeRun = Callable[..., Path]
SUBSETS = ["+".join(names) for size in range(1, 5) for names in combinations(("t1", "t1c", "flair", "t2"), size)]


def by_hand(folder: Path, metric: str, scale: float) -> tuple[dict[tuple[str, str], float], dict[str, float]]:
    """Cell means and the means over subsets, with loops and the standard library only."""
    with (folder / "evaluation/test-last/scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    cells, averages = {}, {}
    for region in ("WT", "TC", "ET"):
        total = 0.0
        for subset in SUBSETS:
            values = [float(r[metric]) for r in rows if r["subset"] == subset and r["region"] == region]
            cells[subset, region] = scale * sum(values) / len(values)
            total += cells[subset, region]
        averages[region] = total / len(SUBSETS)
    return cells, averages


@pytest.mark.parametrize(("metric", "scale"), [("dice", 100.0), ("hd95", 1.0), ("hd95_pooled", 1.0)])
def test_a_subset_table_holds_means_over_cases_then_subsets(
    make_run: MakeRun, tmp_path: Path, metric: str, scale: float
) -> None:
    # Case 001 lacks Flair: subsets with it are means over fewer cases, and weigh as much as the others.
    folder = make_run(tmp_path / "run", "baseline", 0, absent={"001": "flair"})
    run = read_run(folder)
    table = subset_table(run.scores, run.study, metric)
    cells, averages = by_hand(folder, metric, scale)
    assert list(table.index) == [*SUBSETS, "Average"]
    assert list(table.columns) == ["WT", "TC", "ET", "Avg."]
    for (subset, region), value in cells.items():
        assert table.loc[subset, region] == pytest.approx(value)
    for region, value in averages.items():
        assert table.loc["Average", region] == pytest.approx(value)
    assert table.loc["t1", "Avg."] == pytest.approx(sum(cells["t1", r] for r in averages) / 3)
    assert table.loc["Average", "Avg."] == pytest.approx(sum(averages.values()) / 3)


def test_a_subset_without_cases_has_no_value_and_no_weight(make_run: MakeRun, tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run", "baseline", 0, cases=1, absent={"001": "t2"}))
    table = subset_table(run.scores, run.study)
    assert table.loc["t1+t2"].isna().all()
    kept = [name for name in SUBSETS if "t2" not in name.split("+")]
    assert table.loc["Average", "WT"] == pytest.approx(np.mean([table.loc[name, "WT"] for name in kept]))
    counts = case_counts(run.scores, run.study)
    assert (counts["t1"], counts["t1+t2"]) == (1, 0)


def test_the_comparison_has_the_averages_of_each_run(runs: list[Path]) -> None:
    table = comparison_table([read_run(folder) for folder in runs])
    assert list(table.index) == ["baseline", "passion"]
    assert list(table.columns.unique(0)) == [metric.label for metric in METRICS.values()]
    columns = {"Dice [%]": ("dice", 100.0), "HD95 as published [mm]": ("hd95_reference", 1.0)}
    for folder in runs:
        for label, (metric, scale) in columns.items():
            for region, value in by_hand(folder, metric, scale)[1].items():
                assert table.loc[folder.name, (label, region)] == pytest.approx(value)


def test_runs_stand_side_by_side_in_each_region(runs: list[Path]) -> None:
    read = [read_run(folder) for folder in runs]
    table = side_by_side(read)
    assert list(table.columns)[:3] == [("WT", "baseline"), ("WT", "passion"), ("TC", "baseline")]
    expected = subset_table(read[1].scores, read[1].study)["ET"]
    np.testing.assert_array_equal(table["ET", "passion"], expected)


def test_a_table_prints_aligned_with_dots_and_a_dash_for_nothing(make_run: MakeRun, tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run", "baseline", 0, cases=1, absent={"001": "t2"}))
    out = Console(file=StringIO(), width=100)
    print_table(subset_table(run.scores, run.study), "Dice", run.study, out)
    assert isinstance(out.file, StringIO)
    lines = out.file.getvalue().splitlines()
    assert format_subset("t1+flair", run.study) == "● ○ ● ○"
    dots = {line.split("│")[2].strip(): "".join(line.split("│")[1].split()) for line in lines if "│" in line}
    assert dots["t1+flair"] == "●○●○"
    assert any(dots["t2"] == "○○○●" and "—" in line for line in lines if "│ t2 " in line)
    assert len({len(line) for line in lines[1:]}) == 1


def test_a_comparison_prints_a_table_a_metric(runs: list[Path]) -> None:
    out = Console(file=StringIO(), width=80)
    print_table(comparison_table([read_run(folder) for folder in runs]), "Runs", console=out)
    assert isinstance(out.file, StringIO)
    text = out.file.getvalue()
    assert text.count("baseline") == len(METRICS)
    assert "Runs: HD95 [mm]" in text
    assert "…" not in text


def test_the_average_is_over_the_regions_that_the_study_averages() -> None:
    """MyoPS2020's tables average LVB, RVB and MYO; edema and scar stand beside them."""
    dice = {"LVB": 0.9, "RVB": 0.8, "MYO": 0.7, "edema": 0.1, "scar": 0.2}
    scores = pd.DataFrame(
        [{"case": "a", "subset": "lge", "region": region, "dice": value} for region, value in dice.items()]
    )
    table = subset_table(scores, MYOPS2020)
    assert table.loc["lge", "Avg."] == pytest.approx(80.0)
    assert table.loc["lge", "edema"] == pytest.approx(10.0)


def test_the_weighted_average_weighs_what_was_answered(make_run: MakeRun, tmp_path: Path) -> None:
    """Of t1+t2 a third of the training cases, of t2, which no case answers, a third, of t1 the rest."""
    run = read_run(make_run(tmp_path / "run", "baseline", 0, cases=1, absent={"001": "flair"}))
    weights = pd.Series({"t1+t2": 1 / 3, "flair": 1 / 3, "t1": 1 / 3}).reindex(subset_names(run.study), fill_value=0.0)
    table = subset_table(run.scores, run.study, "hd95", weights)
    assert list(table.index[-2:]) == ["Average", "Weighted"]
    np.testing.assert_allclose(table.loc["Weighted"], (table.loc["t1+t2"] + table.loc["t1"]) / 2)
    pd.testing.assert_frame_equal(table.drop(index="Weighted"), subset_table(run.scores, run.study, "hd95"))
    means = comparison_table([run], ["hd95"], weights)
    np.testing.assert_allclose(means.loc[run.name].to_numpy(float), table.loc["Weighted"])


def test_only_metrics_that_all_runs_have_are_shown(runs: list[Path]) -> None:
    scores = runs[1] / "evaluation/test-last/scores.csv"
    pd.read_csv(scores).drop(columns="lesion_dice").to_csv(scores, index=False)
    assert common_metrics([read_run(folder) for folder in runs]) == [*SCORES, "surface_dice"]
