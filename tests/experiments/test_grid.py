"""Grid files expand to the paper's cells, which are named by what they are."""

import re
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Literal

import pytest
import yaml

from passion.errors import InputError
from passion.experiments.cells import Place, by_seed, expand
from passion.experiments.grid import read_grid, read_scale
from passion.report.paper import paper_table

CONFIGS = Path(__file__).parents[2] / "configs"
STUDIES = {"brats": "BraTS2020", "myops": "MyoPS2020"}
TABLES = ("table1", "table2", "table3")


def places(table: str, scale: str = "paper", seeds: int = 3) -> list[Place]:
    grid = read_grid(table)
    return [
        place
        for kind, study in STUDIES.items()
        if kind in grid.rates
        for place in expand(grid, kind, study, read_scale(scale)[kind], range(seeds))
    ]


@pytest.mark.parametrize(("kind", "levels"), [("brats", (0.2, 0.5, 0.8)), ("myops", (0.3, 0.5, 0.7))])
def test_table_1_has_all_permutations_of_the_rates(kind: str, levels: tuple[float, ...]) -> None:
    named = dict(zip("sml", levels, strict=True))
    axes = (("t1", "t1c"), ("flair",), ("t2",)) if kind == "brats" else (("bssfp",), ("lge",), ("t2",))
    expected = {
        f"({','.join(order)})": {name: named[level] for level, axis in zip(order, axes, strict=True) for name in axis}
        for order in permutations("sml")
    }
    assert read_grid("table1").rates[kind] == expected


def test_table_1_is_the_papers() -> None:
    rows = [(place.setting, place.method) for place in places("table1", seeds=1) if place.dataset == "BraTS2020"]
    methods = ("Baseline", "+ModDrop", "+PMR", "+PASSION")
    settings = ("(s,m,l)", "(s,l,m)", "(m,s,l)", "(m,l,s)", "(l,s,m)", "(l,m,s)")
    assert rows == [("PDT", "Baseline"), *((setting, method) for setting in settings for method in methods)]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_rows_and_rates_are_those_that_the_paper_prints(number: Literal[1, 2, 3]) -> None:
    columns = ["dataset", "setting", "network", "method", "rates"]
    printed = paper_table(number)[columns].drop_duplicates()
    modalities = {"BraTS2020": ("t1", "t1c", "flair", "t2"), "MyoPS2020": ("bssfp", "lge", "t2")}
    own = set()
    for place in places(f"table{number}", seeds=1):
        names = modalities[place.dataset]
        rates = place.cell.rates or dict.fromkeys(names, 0)
        written = ",".join(f"{name}={rates[name]:g}" for name in names)
        own.add((place.dataset, place.setting, place.network, place.method, written))
    assert own == set(printed.itertuples(index=False, name=None))


@pytest.mark.parametrize(("tables", "cells"), [
    (("table1",), 2 * 25), (("table2",), 2 * 6), (("table3",), 9),
    # The heart's rates of Table 2 are (s,m,l); mmFormer of Table 3 is in Tables 1 and 2.
    (TABLES, 2 * 25 + 6 + 4 + 6),
])  # fmt: skip
def test_cells_are_counted_once(tables: tuple[str, ...], cells: int) -> None:
    everything = [place for table in tables for place in places(table)]
    ordered = by_seed(everything)
    assert len(ordered) == 3 * cells
    assert [cell.seed for cell in ordered] == [0] * cells + [1] * cells + [2] * cells


def test_table_2_is_that_of_the_configurations() -> None:
    methods = list(read_grid("table2").methods.values())
    files = [yaml.safe_load(path.read_text())["objective"] for path in sorted((CONFIGS / "table2").glob("*.yaml"))]
    assert methods == files


@pytest.mark.parametrize(("kind", "file"), [("brats", "brats2020.yaml"), ("myops", "myops2020.yaml")])
def test_the_papers_scale_is_that_of_the_configurations(kind: str, file: str) -> None:
    scale, asked = read_scale("paper")[kind], yaml.safe_load((CONFIGS / file).read_text())
    assert scale.data == asked["data"]
    assert {**scale.training, "validate_every": 0} == {**asked["training"], "validate_every": 0}
    assert scale.networks == {}


def test_a_cell_is_named_by_what_it_is() -> None:
    cell = places("table2", "small")[0].cell
    spelled_out = replace(cell, objective={"name": "baseline"}, network={**cell.network, "dropout": 0.1})
    elsewhere = replace(cell, data={**cell.data, "workers": 7}, training={**cell.training, "accelerator": "gpu"})
    longer = replace(cell, training={**cell.training, "epochs": 1000})
    assert cell.name.startswith("BraTS2020_mmformer_baseline_0.2-0.4-0.6-0.8_")
    assert spelled_out.name == elsewhere.name == cell.name
    assert longer.name != cell.name
    names = {
        place.cell.name for table in TABLES for scale in ("paper", "small", "quick") for place in places(table, scale)
    }
    assert len(names) == 3 * 3 * 66
    assert all(len(name) < 200 and "/" not in name for name in names)


@pytest.mark.parametrize(("content", "problem"), [
    ("shape: [", "cannot be read as YAML"),
    ("shape: regions # \xe9", "cannot be read as YAML"),
    ("[" * 5000, "cannot be read as YAML (RecursionError)"),
    ("shape: &a regions\nnetworks: [*a]", "aliases are not read, write out what they stand for, line 2"),
    ("- 1", "the content is [1], expected names with values"),
    ("shape: regions\nfoo: 1", "foo is unknown; there are: shape, networks, methods, rates, perfect"),
    ("shape: round\nnetworks: []\nmethods: {}\nrates: {}", "shape is 'round', expected regions or subsets"),
    ("shape: regions\nnetworks: mmformer\nmethods: {}\nrates: {}", "networks is 'mmformer', expected a list"),
    ("shape: regions\nnetworks: [3]\nmethods: {}\nrates: {}", "networks[0] is 3, expected a text"),
    ("shape: regions\nnetworks: [a, b, a]\nmethods: {}\nrates: {}", "networks: 'a' stands there twice"),
    ("shape: regions\nnetworks: []\nmethods: {A: pmr}\nrates: {}", "methods.A is 'pmr', expected names with values"),
    ("shape: regions\nnetworks: []\nmethods: {}\nrates: {X: {Y: {t1: much}}}", "rates.X.Y.t1 is 'much', expected"),
    ("shape: regions\nnetworks: []\nmethods: {}\nrates: {X: {Y: {t1: 1}}}", "rates.X.Y.t1 is 1.0, expected"),
    ("shape: regions\nnetworks: []\nmethods: {A: {}}\nrates: {}", "method 'A' has no name"),
    ("shape: regions\nnetworks: []\nmethods: {}\nrates: {}\nperfect: [A]", "perfect: 'A' is none of its methods"),
])  # fmt: skip
def test_a_wrong_grid_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=re.escape(f"{path}: ") + ".*" + re.escape(problem)):
        read_grid(str(path))


@pytest.mark.parametrize(("content", "problem"), [
    ("- 1", "holds no names with values"),
    ("brats: small", "brats is 'small', expected names with values"),
    ("brats: {data: {}}", "brats.split is missing"),
    ("brats: {split: [1, 2]}", "brats.split is [1, 2], expected three numbers"),
    ("brats: {split: [8, 0, -2]}", "brats.split is [8, 0, -2], expected three numbers"),
    ("brats: {split: [8, 0, two]}", "brats.split[2] is 'two', expected a whole number"),
    ("brats: {split: [8, 0, 2], cases: twelve}", "brats.cases is 'twelve', expected a whole number or null"),
    ("brats: {split: [8, 0, 2], data: {patches: 3}}", "data: there is no option 'patches'"),
    ("brats: {split: [8, 0, 2], training: {epoch: 3}}", "training: there is no option 'epoch'"),
    ("brats: {split: [8, 0, 2], networks: {mmformer: {breadth: 3}}}", "network mmformer: there is no option 'breadth'"),
])  # fmt: skip
def test_a_wrong_scale_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(problem)):
        expand(read_grid("table2"), "brats", "BraTS2020", read_scale(str(path))["brats"], [0])


def test_a_setting_may_be_called_as_a_number(tmp_path: Path) -> None:
    text = "shape: regions\nnetworks: [rfnet]\nmethods: {A: {name: baseline}}\nrates: {own: {0.5: {t1: 0, t2: 0.5}}}\n"
    (tmp_path / "own.yaml").write_text(text)
    assert read_grid(str(tmp_path / "own.yaml")).rates == {"own": {"0.5": {"t1": 0.0, "t2": 0.5}}}
