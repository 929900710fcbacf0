"""The paper's numbers are complete and agree with themselves."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest

from passion import networks, objectives
from passion.data.sources.brats import BRATS2020
from passion.data.sources.myops import MYOPS2020
from passion.missingness import parse_rates
from passion.report.paper import AVERAGE, COLUMN_OF, paper_table
from passion.report.results import SCORES, subset_names

STUDIES = {study.name: study for study in (BRATS2020, MYOPS2020)}
ORDERS = ["(s,m,l)", "(s,l,m)", "(m,s,l)", "(m,l,s)", "(l,s,m)", "(l,m,s)"]
METHODS = ["Baseline", "+ModDrop", "+PMR", "+PASSION"]
ROWS = ["table", "dataset", "setting", "network", "method", "subset", "metric"]
HALF_UNIT = 0.005
CONTRADICTED = (1, "MyoPS2020", "(m,s,l)", "mmformer", "+PMR", AVERAGE, "hd")
"""The one printed average that its cells do not give."""


@pytest.fixture(scope="module")
def everything() -> pd.DataFrame:
    return pd.concat([paper_table(number) for number in (1, 2, 3)], ignore_index=True)


def test_table_1_has_every_cell() -> None:
    table = paper_table(1)
    runs = [("PDT", "Baseline"), *((order, method) for order in ORDERS for method in METHODS)]
    expected = {
        (setting, method, dataset, metric, region)
        for setting, method in runs
        for dataset, study in STUDIES.items()
        for metric in COLUMN_OF
        for region in (*study.averaged_regions, AVERAGE)
    }
    found = list(table[["setting", "method", "dataset", "metric", "region"]].itertuples(index=False, name=None))
    assert len(found) == len(expected) == 400
    assert set(found) == expected


def test_table_2_has_a_block_for_every_row_that_can_be_configured() -> None:
    table = paper_table(2)
    expected = ["Baseline", "+pixel", "+semantic", "+pixel+semantic", "+pixel+semantic+delta", "+PASSION"]
    assert list(table["method"].unique()) == expected
    assert len(list((Path(__file__).parents[2] / "configs/table2").glob("*.yaml"))) == len(expected)
    assert table.groupby("method").size().to_dict() == dict.fromkeys(expected, 2 * 2 * 4)


def test_table_3_has_every_subset() -> None:
    table = paper_table(3)
    runs = {("PDT", "Baseline"), ("IDT", "Baseline"), ("IDT", "+PASSION")}
    assert set(table[["setting", "method"]].itertuples(index=False, name=None)) == runs
    assert set(table["network"]) == {"mmformer", "rfnet", "m2ftrans"}
    expected = [*subset_names(BRATS2020), AVERAGE]
    blocks = table.groupby(["setting", "method", "network", "region"])["subset"].agg(list)
    assert len(blocks) == 3 * 3 * 3
    assert all(block == expected for block in blocks)


@pytest.mark.parametrize("over", ["region", "subset"])
def test_printed_averages_are_the_means_of_the_printed_cells(everything: pd.DataFrame, over: str) -> None:
    """Each cell is within half a unit of the last digit, so is their mean, and so is the printed average."""
    keys = [*(key for key in ROWS if key != over), *({"region", "subset"} - {over})]
    checked = 0
    for names, block in everything.groupby(keys):
        cells, printed = block[block[over] != AVERAGE]["value"], block[block[over] == AVERAGE]["value"]
        if len(printed) == 0 or len(cells) == 0:
            continue
        checked += 1
        if over == "region" and dict(zip(keys, names, strict=True)) | {"region": AVERAGE} == {
            **dict(zip(ROWS, CONTRADICTED, strict=True)), "region": AVERAGE,
        }:  # fmt: skip
            assert abs(cells.mean() - printed.item()) > 2 * HALF_UNIT
            assert "20.88" in block.loc[printed.index, "note"].item()
        else:
            assert abs(cells.mean() - printed.item()) < 2 * HALF_UNIT + 1e-9, names
    assert checked == {"region": 25 * 4 + 6 * 4, "subset": 27}[over]


def test_the_tables_agree_where_they_print_the_same_run(everything: pd.DataFrame) -> None:
    printed = {names: block["value"].tolist() for names, block in everything.groupby(ROWS)}

    def row(*key: object) -> list[float]:
        return printed[key]

    for method in ("Baseline", "+PASSION"):
        for metric in COLUMN_OF:
            same = (AVERAGE, metric)
            assert row(2, "MyoPS2020", "(0.3,0.5,0.7)", "mmformer", method, *same) == row(
                1, "MyoPS2020", "(s,m,l)", "mmformer", method, *same
            )
        assert row(2, "BraTS2020", "(0.2,0.4,0.6,0.8)", "mmformer", method, AVERAGE, "dice")[:3] == row(
            3, "BraTS2020", "IDT", "mmformer", method, AVERAGE, "dice"
        )
    perfect = [row(table, "BraTS2020", "PDT", "mmformer", "Baseline", AVERAGE, "dice")[:3] for table in (1, 3)]
    np.testing.assert_allclose(*perfect, atol=2 * HALF_UNIT + 1e-9)


def test_values_are_in_range_and_written_with_two_decimals(everything: pd.DataFrame) -> None:
    ranges = {"dice": (10, 100), "hd": (3, 40)}
    for metric, (least, most) in ranges.items():
        assert everything.loc[everything["metric"] == metric, "value"].between(least, most).all()
    np.testing.assert_array_equal(everything["value"].round(2), everything["value"])


def test_what_the_scan_shows_has_the_digits_of_the_value(everything: pd.DataFrame) -> None:
    odd = everything[everything["scanned"] != ""]
    assert (len(everything), len(odd)) == (928, 256 + 1)  # as docs/metrics.md says
    digits = odd["value"].map("{:.2f}".format).str.replace(".", "")
    wrong = odd[odd["scanned"].str.replace(r"\D", "", regex=True) != digits]
    assert wrong[["scanned", "value"]].to_numpy().tolist() == [["873", 83.73]]
    assert wrong["note"].str.len().gt(0).all()


def test_rates_can_be_drawn_and_what_is_named_can_be_run(everything: pd.DataFrame) -> None:
    for (dataset, setting), block in everything.groupby(["dataset", "setting"]):
        for text in block["rates"].unique():
            rates = parse_rates(text, STUDIES[dataset].modalities)
            assert (rates.max() > 0) == (setting != "PDT")
    for name in everything["network"].unique():
        assert networks.network_class(name)
    for name in paper_table(1)["method"].unique():
        assert objectives.objective_class(name.strip("+").lower())
    assert set(COLUMN_OF.values()) <= set(SCORES)


@pytest.mark.parametrize(("dataset", "sizes"), [("BraTS2020", (0.2, 0.5, 0.8)), ("MyoPS2020", (0.3, 0.5, 0.7))])
def test_the_settings_of_table_1_permute_three_rates(
    dataset: Literal["BraTS2020", "MyoPS2020"], sizes: tuple[float, ...]
) -> None:
    table = paper_table(1)
    table = table[table["dataset"] == dataset]
    groups = {"BraTS2020": [("t1", "t1c"), ("flair",), ("t2",)], "MyoPS2020": [("bssfp",), ("lge",), ("t2",)]}
    size = dict(zip("sml", sizes, strict=True))
    for order in ORDERS:
        expected = {
            modality: size[letter]
            for letter, group in zip(order.strip("()").split(","), groups[dataset], strict=True)
            for modality in group
        }
        [text] = table.loc[table["setting"] == order, "rates"].unique()
        assert dict(zip(STUDIES[dataset].modalities, parse_rates(text, list(expected)), strict=True)) == expected
