"""Tables of a grid of runs as the terminal shows them."""

from collections.abc import Sequence
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from passion.data.sources.brats import BRATS2020
from passion.experiments.grid import Layout
from passion.experiments.scores import PLACE, SCORES
from passion.report.experiments import print_regions, print_subsets, print_tables

ROW = ("IDT", "mmformer", "Baseline")


def printed(rows: Sequence[tuple[object, ...]]) -> list[str]:
    """The cells of the only row of Dice, by region and by subset; `rows` are seed, case, subset, region and Dice."""
    scores = pd.DataFrame([("BraTS2020", *ROW, *row, 0, 0, 0) for row in rows], columns=[*PLACE, *SCORES])
    found = []
    for shape, printer in (("regions", print_regions), ("subsets", print_subsets)):
        text = StringIO()
        printer(scores, Layout("own", shape, BRATS2020, [ROW]), 2, Console(file=text, width=160))
        line = next(line for line in text.getvalue().splitlines() if "Baseline" in line)
        found.append(" ".join(line.replace("│", " ").split()))
    return found


def test_a_mean_is_over_all_masks_where_a_seed_lacks_a_case() -> None:
    dice = {(0, "a"): 0.1, (0, "b"): 0.1, (0, "c"): 0.7, (1, "a"): 0.1, (1, "b"): 0.1}
    rows = [(seed, case, "t1", region, value) for (seed, case), value in dice.items() for region in BRATS2020.regions]
    by_region, by_subset = printed(rows)
    assert by_region == "IDT Baseline 2/2" + 4 * " 22.00 ±14.14"
    assert by_subset == "IDT Baseline mmformer 2/2 22.00" + 14 * " —" + " 22.00"


def test_what_is_not_finished_is_a_dash() -> None:
    assert printed([]) == ["IDT Baseline 0/2" + 4 * " —", "IDT Baseline mmformer 0/2" + 16 * " —"]


def test_numbers_of_table_2_are_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    row = ("(0.2,0.4,0.6,0.8)", "mmformer", "+pixel+semantic+delta")
    rows = [
        ("BraTS2020", *row, seed, "a", "t1", region, seed, 100 * seed, 100 * seed, 0)
        for seed in range(2)
        for region in BRATS2020.regions
    ]
    scores = pd.DataFrame(rows, columns=[*PLACE, *SCORES])
    print_tables({"table2": scores}, [Layout("table2", "regions", BRATS2020, [row])], 2)
    assert capsys.readouterr().out.count("50.00 ±70.71") == 8
