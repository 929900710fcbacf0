import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from grid_files import write_grid

from passion.errors import InputError
from passion.experiments.states import State, why_broken
from passion.report.folder import is_experiment, read_experiment


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_grid(tmp_path / "out", ["table2"], seeds=1, cases=2, unfinished=["semantic_"])


def test_tables_rows_and_what_is_left(grid: Path) -> None:
    experiment = read_experiment(grid)
    second, third = experiment.tables
    assert (second.name, second.shape, second.methods[0], second.methods[-1]) == (
        "table2",
        "regions",
        "Baseline",
        "+PASSION",
    )
    assert (third.networks, third.seeds) == (["rfnet", "mmformer", "m2ftrans"], 2)
    assert len(third.rows) == 9
    assert len(second.scores) == 6 * 2 * 8 * 15 * 3
    # Baseline and PASSION of mmFormer at these rates stand in both tables, with the same runs.
    assert set(second.runs) & set(third.runs) == {
        f"BraTS2020_mmformer_{method}_0.2-0.4-0.6-0.8_seed{seed}"
        for method in ("baseline", "passion")
        for seed in (0, 1)
    }
    broken, new = experiment.unfinished
    assert (broken.state, broken.reason) == (State.BROKEN, "RuntimeError: out of memory")
    assert (new.state, new.reason) == (State.NEW, "")
    assert experiment.cells == 12 + 18 - 4


def test_an_experiment_is_told_from_a_run(grid: Path) -> None:
    assert is_experiment(grid)
    assert not is_experiment(next((grid / "runs").iterdir()))


def test_without_a_table_or_a_finished_cell_there_is_nothing_to_show(small: Path) -> None:
    table = (small / "table2.json").read_text()
    (small / "table2.json").unlink()
    with pytest.raises(InputError, match=r"no TABLE\.json.*repeat its `passion experiment` command"):
        read_experiment(small)
    (small / "table2.json").write_text(table)
    shutil.rmtree(small / "runs")
    with pytest.raises(InputError, match="none of its cells is finished"):
        read_experiment(small)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"shape": "regions"}', '{"shape": "regions", "places": [{"cell": "a"}]}']
)
def test_a_table_that_is_none_is_named(small: Path, content: str) -> None:
    (small / "table2.json").write_text(content)
    with pytest.raises(InputError, match=r"table2\.json: ") as error:
        read_experiment(small)
    assert "\n" not in str(error.value)


def test_a_table_of_which_nothing_is_finished_has_no_study(small: Path) -> None:
    content = json.loads((small / "table2.json").read_text())
    for place in content["places"]:
        place["cell"] += "-other"
    (small / "table1.json").write_text(json.dumps(content))
    first, second = read_experiment(small).tables
    assert first.study is None
    assert first.scores.empty
    assert second.study is not None


def test_why_a_cell_broke_is_read_with_its_state(small: Path) -> None:
    """An experiment that tries it again meanwhile takes the reason away."""
    experiment = read_experiment(small)
    [path] = small.glob("cells/*/broken.txt")
    path.unlink()
    [broken] = [place for place in experiment.unfinished if place.state is State.BROKEN]
    assert broken.reason == "RuntimeError: out of memory"
    assert why_broken(small, broken.cell) == ""


def test_runs_that_are_laid_beside_each_other_are_of_one_seed(grid: Path) -> None:
    table = read_experiment(grid).tables[0]
    setting, network = table.rows[0][:2]
    left = {
        cell: run
        for cell, run in table.runs.items()
        if not ("baseline" in cell and run.config["training"]["seed"] == 0)
    }
    for runs, seed in ((table.runs, 0), (left, 1)):
        found, by_method = replace(table, runs=runs).of_one_seed(setting, network)
        assert found == seed
        assert list(by_method) == table.methods
        assert {run.config["training"]["seed"] for run in by_method.values()} == {seed}
    # A method that lacks the seed of the most is left out.
    few = {cell: run for cell, run in left.items() if run.config["training"]["seed"] == 0 or "passion" not in cell}
    seed, by_method = replace(table, runs=few).of_one_seed(setting, network)
    assert seed == 0
    assert "Baseline" not in by_method
