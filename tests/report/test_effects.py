"""Numbers of tables against plain loops over the files."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from grid_files import write_grid

from passion.report.bootstrap import Bootstrap
from passion.report.effects import (
    EVERY,
    overall_differences,
    overall_means,
    paper_numbers,
    paper_over_settings,
    records,
    settings_compared,
    table_differences,
    table_means,
    training_frequencies,
    weighted_means,
)
from passion.report.folder import TableOfOne, read_experiment
from passion.report.statistics import subset_frequencies
from passion.report.tables import WEIGHTED_ROW, subset_table

FEW = Bootstrap(count=50)


@pytest.fixture(scope="module")
def tables(grid: Path) -> dict[str, TableOfOne]:
    return {table.name: table for table in read_experiment(grid).tables}


def read(grid: Path, cell: str) -> pd.DataFrame:
    return pd.read_csv(grid / f"runs/{cell}/evaluation/test-last/scores.csv")


def plain_mean(grid: Path, stem: str, region: str | None = None, subset: str | None = None) -> float:
    values = [
        100 * row["dice"]
        for seed in (0, 1)
        for row in read(grid, f"{stem}_seed{seed}").to_dict("records")
        if region in (None, row["region"]) and subset in (None, row["subset"])
    ]
    return float(np.mean(values))


def test_means_are_those_of_the_files(grid: Path, tables: dict[str, TableOfOne]) -> None:
    found = records(table_means(tables["table3"], bootstrap=FEW, each_subset=True))
    stem = "BraTS2020_rfnet_passion_0.2-0.4-0.6-0.8"
    for region, subset in product((None, "WT", "ET"), (None, "t1", "t1c+t2")):
        row = found["IDT", "rfnet", "+PASSION", subset or "average", region or "Avg."]
        assert row["mean"] == pytest.approx(plain_mean(grid, stem, region, subset))
        assert row["low"] <= row["mean"] <= row["high"]
        assert row["n_seeds"] == 2
    assert ("IDT", "m2ftrans", "+PASSION", "average", "Avg.") not in found
    assert len(found) == 8 * 16 * 4


def test_differences_are_those_of_the_means(grid: Path, tables: dict[str, TableOfOne]) -> None:
    found = records(table_differences(tables["table2"], bootstrap=FEW))
    stems = [f"BraTS2020_mmformer_{name}_0.2-0.4-0.6-0.8" for name in ("passion", "baseline")]
    ours, first = (plain_mean(grid, stem, "TC") for stem in stems)
    row = found["(0.2,0.4,0.6,0.8)", "mmformer", "+PASSION", "average", "TC"]
    assert row["difference"] == pytest.approx(ours - first)
    assert len(found) == 5 * 4
    # What is only in one setting is its own average over settings, but corrected for fewer rows.
    [overall] = [
        row
        for place, row in records(overall_differences(tables["table2"], bootstrap=FEW)).items()
        if place[2] == "+PASSION"
    ]
    average = found["(0.2,0.4,0.6,0.8)", "mmformer", "+PASSION", "average", "Avg."]
    assert overall["difference"] == pytest.approx(average["difference"])
    assert overall["p"] == average["p"]
    assert overall["p_holm"] < average["p_holm"]


def test_the_papers_numbers_stand_beside_ours(tables: dict[str, TableOfOne]) -> None:
    third = records(table_means(tables["table3"], bootstrap=FEW))
    assert third["IDT", "mmformer", "+PASSION", "average", "WT"]["paper"] == 83.91
    gains = records(table_differences(tables["table3"], bootstrap=FEW))
    gain = gains["IDT", "mmformer", "+PASSION", "average", "WT"]["paper"]
    assert gain == pytest.approx(83.91 - third["IDT", "mmformer", "Baseline", "average", "WT"]["paper"])
    second = records(table_means(tables["table2"], bootstrap=FEW))
    place = ("(0.2,0.4,0.6,0.8)", "mmformer", "+pixel", "average", "Avg.")
    assert second[place]["paper"] == 68.60
    assert records(table_means(tables["table2"], "hd95_reference", FEW))[place]["paper"] == 11.54
    # The paper's HD takes empty masks as 1 mm: nothing of it belongs beside honest distances.
    assert np.isnan(records(table_means(tables["table2"], "hd95_pooled", FEW))[place]["paper"])
    assert paper_numbers(tables["table2"], "hd95_pooled").empty


@pytest.mark.parametrize("metric", ["dice", "hd95_pooled"])
def test_weighted_means_are_those_of_a_page_of_runs(tables: dict[str, TableOfOne], metric: str) -> None:
    table = tables["table3"]
    found = records(weighted_means(table, metric, FEW))
    assert len(found) == 8 * 4
    for setting, region in product(("IDT", "PDT"), ("Avg.", "WT", "ET")):
        method = next(row[2] for row in reversed(table.rows) if row[:2] == (setting, "rfnet"))
        runs = table.runs_of(setting, "rfnet", method)
        rows = [
            subset_table(run.scores, run.study, metric, subset_frequencies(run.presence, run.study)).loc[WEIGHTED_ROW]
            for run in runs
        ]
        row = found[setting, "rfnet", method, "weighted", region]
        assert row["mean"] == pytest.approx(np.mean([row[region] for row in rows]))
        assert row["low"] <= row["mean"] <= row["high"]
        assert np.isnan(row["paper"])


def test_subsets_count_as_often_as_they_occur_in_the_training_of_a_setting(tables: dict[str, TableOfOne]) -> None:
    table = tables["table3"]
    assert table.study is not None
    assert training_frequencies(table, "PDT")["t1+t1c+flair+t2"] == 1
    # Two seeds that trained on different subsets count alike, whatever else is finished of one of them.
    one, other = (table.runs_of("IDT", "rfnet", "Baseline")[seed].presence.copy() for seed in (0, 1))
    one[:], other[:] = [True, False, False, False], [False, False, True, True]
    own = {place.cell: [one, other][place.seed] for place in table.finished if place.setting == "IDT"}
    runs = {cell: replace(run, presence=own.get(cell, run.presence)) for cell, run in table.runs.items()}
    found = training_frequencies(replace(table, runs=runs), "IDT")
    assert found[found > 0].to_dict() == {"t1": 0.5, "flair+t2": 0.5}
    left = {cell: run for cell, run in runs.items() if not cell.endswith("passion_0.2-0.4-0.6-0.8_seed1")}
    assert training_frequencies(replace(table, runs=left), "IDT").equals(found)


def test_overall_numbers_are_over_what_every_method_has(tmp_path: Path) -> None:
    """A setting without one of the methods, and a seed without one, count for none of them."""
    out = write_grid(
        tmp_path / "out", ["table1"], seeds=2, cases=3,
        unfinished=["0.5-0.5", "0.8-0.8", "pmr_0.2-0.2-0.8-0.5", "moddrop_0.2-0.2-0.5-0.8_seed1"],
    )  # fmt: skip
    [table] = read_experiment(out).tables
    assert settings_compared(table, "mmformer") == ["(s,m,l)"]
    found = records(overall_means(table, bootstrap=FEW))
    assert len(found) == 4
    place = (EVERY, "mmformer", "+PASSION", "average", "Avg.")
    seed0 = 100 * read(out, "BraTS2020_mmformer_passion_0.2-0.2-0.5-0.8_seed0")["dice"].mean()
    assert found[place]["mean"] == pytest.approx(seed0)
    assert found[place]["n_seeds"] == 1
    assert found[place]["paper"] == 69.31
    gain = records(overall_differences(table, bootstrap=FEW))[place]
    assert gain["paper"] == pytest.approx(69.31 - 67.66)


def test_overall_numbers_of_a_network_are_over_its_own_settings(tmp_path: Path) -> None:
    out = write_grid(tmp_path / "out", ["table1"], seeds=1, cases=3, unfinished=["pmr", "moddrop"])
    [table] = read_experiment(out).tables
    settings = settings_compared(table, "mmformer")
    later = [replace(place, network="rfnet") for place in table.places if place.setting in settings[:2]]
    table = replace(table, places=[*table.places, *later])
    assert settings_compared(table, "rfnet") == settings[:2]
    assert settings_compared(table, "mmformer") == settings
    assert len(settings) == 6
    # The paper's number is over the same settings; it has none of this network, so that of mmFormer stands in.
    printed = paper_numbers(table, "dice")
    other = printed.rename(index={"mmformer": "rfnet"}, level="network")
    found = paper_over_settings(table, pd.concat([printed, other]))
    for network, own in (("mmformer", settings), ("rfnet", settings[:2])):
        expected = [printed[setting, "mmformer", "+PASSION", "average", "Avg."] for setting in own]
        assert found[EVERY, network, "+PASSION", "average", "Avg."] == pytest.approx(np.mean(expected))


def test_a_seed_with_fewer_settings_does_not_change_what_overall_numbers_are_over(tmp_path: Path) -> None:
    """Averaged over other settings than the rest it would seem to differ from them."""
    later = ["0.2-0.2-0.8-0.5_seed1"]
    [table] = read_experiment(write_grid(tmp_path / "some", ["table1"], seeds=2, cases=3, unfinished=later)).tables
    [alone] = read_experiment(write_grid(tmp_path / "one", ["table1"], seeds=1, cases=3, unfinished=[])).tables
    assert table.seeds == 2
    assert len(settings_compared(table, "mmformer")) == 6
    pd.testing.assert_frame_equal(overall_differences(table, bootstrap=FEW), overall_differences(alone, bootstrap=FEW))


def test_where_the_first_method_is_missing_nothing_is_compared(tmp_path: Path) -> None:
    [table] = read_experiment(
        write_grid(tmp_path / "out", ["table2"], seeds=1, cases=2, unfinished=["baseline"])
    ).tables
    assert table_differences(table, bootstrap=FEW).empty
    assert overall_differences(table, bootstrap=FEW).empty
    assert overall_means(table, bootstrap=FEW).empty
