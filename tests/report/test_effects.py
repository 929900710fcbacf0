"""Numbers of tables against plain loops over the files."""

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
    records,
    settings_compared,
    table_differences,
    table_means,
)
from passion.report.folder import TableOfOne, read_experiment

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


def test_overall_numbers_are_over_what_every_method_has(tmp_path: Path) -> None:
    """A setting without one of the methods, and a seed without one, count for none of them."""
    out = write_grid(
        tmp_path / "out", ["table1"], seeds=2, cases=3,
        unfinished=["0.5-0.5", "0.8-0.8", "pmr_0.2-0.2-0.8-0.5", "moddrop_0.2-0.2-0.5-0.8_seed1"],
    )  # fmt: skip
    [table] = read_experiment(out).tables
    assert settings_compared(table) == ["(s,m,l)"]
    found = records(overall_means(table, bootstrap=FEW))
    assert len(found) == 4
    place = (EVERY, "mmformer", "+PASSION", "average", "Avg.")
    seed0 = 100 * read(out, "BraTS2020_mmformer_passion_0.2-0.2-0.5-0.8_seed0")["dice"].mean()
    assert found[place]["mean"] == pytest.approx(seed0)
    assert found[place]["n_seeds"] == 1
    assert found[place]["paper"] == 69.31
    gain = records(overall_differences(table, bootstrap=FEW))[place]
    assert gain["paper"] == pytest.approx(69.31 - 67.66)


def test_where_the_first_method_is_missing_nothing_is_compared(tmp_path: Path) -> None:
    [table] = read_experiment(
        write_grid(tmp_path / "out", ["table2"], seeds=1, cases=2, unfinished=["baseline"])
    ).tables
    assert table_differences(table, bootstrap=FEW).empty
    assert overall_differences(table, bootstrap=FEW).empty
    assert overall_means(table, bootstrap=FEW).empty
