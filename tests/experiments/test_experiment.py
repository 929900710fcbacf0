"""`passion experiment`: cells that are done, broken, stopped, shared and submitted."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from command_line import passion, refused

from passion import cli
from passion.experiments import work
from passion.experiments.cluster import Continued
from passion.experiments.local import threads_of_each

GRID = {
    "shape": "regions",
    "networks": ["mmformer"],
    "methods": {"Baseline": {"name": "baseline"}, "+PASSION": {"name": "passion"}},
    "rates": {"brats": {"IDT": {"t1": 0.2, "t1c": 0.4, "flair": 0.6, "t2": 0.8}}},
}
SCALE = {
    "brats": {
        "split": [6, 0, 1],
        "data": {"spatial_dims": 2, "patch_size": 48, "batch_size": 2, "samples_per_epoch": 4, "workers": 0},
        "training": {"epochs": 3, "learning_rate": 1e-3, "validate_every": 0, "accelerator": "cpu"},
        "networks": {
            "mmformer": {"width": 4, "token_dim": 16, "token_hidden": 16, "heads": 2},
            "rfnet": {"width": 6},
        },
    }
}
COLUMNS = [
    "dataset", "setting", "network", "method", "seed", "case", "subset", "region", "dice", "hd95", "hd95_pooled",
    "hd95_reference",
]  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid of two cells, one of its baseline alone, one with a network that cannot be built, and a scale."""
    folder = tmp_path_factory.mktemp("grid")
    contents = {
        "own": GRID,
        "alone": {**GRID, "methods": {"Reference point": {"name": "baseline"}}, "shape": "subsets"},
        "unsound": {**GRID, "methods": {"Baseline": {"name": "baseline"}}, "networks": ["rfnet", "mmformer"]},
        "scale": SCALE,
        "long": {"brats": {**SCALE["brats"], "training": {**SCALE["brats"]["training"], "epochs": 16}}},
    }
    for name, content in contents.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


def words(files: Path, study: Path, out: Path, grid: str = "own", scale: str = "scale") -> list[object]:
    given = (files / f"{grid}.yaml", "--study", study / "prepared", "--out", out, "--scale", files / f"{scale}.yaml")
    return ["experiment", *given, "--seeds", 1]


@pytest.fixture(scope="module")
def done(files: Path, study: Path) -> Path:
    """Both cells, finished."""
    passion(*words(files, study, files / "done"), "--jobs", 2)
    return files / "done"


def run_of(out: Path, method: str) -> Path:
    (run,) = out.glob(f"runs/*_{method}_*")
    return run


def test_scores_are_collected_tidily(done: Path, study: Path) -> None:
    table = pd.read_csv(done / "own.csv")
    assert list(table.columns) == COLUMNS
    own = pd.read_csv(run_of(done, "passion") / "evaluation/test-last/scores.csv")
    here = table[table["method"] == "+PASSION"].reset_index(drop=True)
    pd.testing.assert_frame_equal(here[COLUMNS[5:]], own[COLUMNS[5:]])
    assert table.groupby(["dataset", "setting", "network", "method", "seed"]).ngroups == 2
    draws = [(run_of(done, name) / "presence.csv").read_text() for name in ("baseline", "passion")]
    assert draws[0] == draws[1]


def test_nothing_is_done_twice(done: Path, files: Path, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints = {path: path.stat().st_mtime_ns for path in done.glob("runs/*/checkpoints/last.ckpt")}
    passion(*words(files, study, done))
    passion(*words(files, study, done, "alone"))
    assert {path: path.stat().st_mtime_ns for path in done.glob("runs/*/checkpoints/last.ckpt")} == checkpoints
    shared = pd.read_csv(done / "alone.csv")
    assert set(shared["method"]) == {"Reference point"}
    own = pd.read_csv(done / "own.csv").query("method == 'Baseline'").reset_index(drop=True)
    pd.testing.assert_frame_equal(shared[COLUMNS[5:]], own[COLUMNS[5:]])
    capsys.readouterr()
    passion(*words(files, study, done), "--dry-run")
    said = capsys.readouterr().out
    assert said.count("done   BraTS2020_mmformer_") == 2
    assert "2 cells, 2 done; time left: about 0 s" in said


def test_cells_side_by_side_share_the_threads(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = json.loads((run_of(done, "baseline") / "versions.json").read_text())
    assert run["threads"] == str(max(1, torch.get_num_threads() // 2))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert [threads_of_each(jobs) for jobs in (1, 3, 9)] == [8, 2, 1]


def test_cells_keep_their_memory_as_runs_of_the_command_line_do(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    monkeypatch.setattr(work, "keep_freed_memory", lambda: said.append("kept"))
    assert work.run_cell(done, run_of(done, "baseline").name)
    assert said == ["kept"]


def test_the_printed_table_holds_the_means(
    done: Path, files: Path, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    passion(*words(files, study, done))
    said = capsys.readouterr().out
    scores = pd.read_csv(done / "own.csv").query("method == '+PASSION' and region in ('WT', 'TC', 'ET')")
    (row,) = [line for line in said.split("HD95 pooled [mm]")[0].splitlines() if "+PASSION" in line]
    by_region = 100 * scores.groupby("region")["dice"].mean()
    printed = [float(cell) for cell in row.split("│")[4:8]]
    assert printed == pytest.approx([*by_region[["WT", "TC", "ET"]], by_region.mean()], abs=0.0051)


def test_a_broken_cell_is_named_and_does_not_stop_the_others(
    done: Path, files: Path, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(done, tmp_path / "out")
    given = [str(word) for word in words(files, study, tmp_path / "out", "unsound")]
    assert cli.run(given) == 1
    said = capsys.readouterr().out
    assert "rfnet_baseline" in said
    assert "width 6: must be a multiple of 4" in said
    assert set(pd.read_csv(tmp_path / "out/unsound.csv")["network"]) == {"mmformer"}
    (reason,) = (tmp_path / "out/cells").glob("*/broken.txt")
    reason.write_text("something else\n")
    assert cli.run(given) == 1
    assert reason.read_text() == "something else\n"
    assert cli.run([*given, "--retry"]) == 1
    assert "must be a multiple of 4" in reason.read_text()


def test_a_killed_grid_continues_where_it_was(files: Path, study: Path, tmp_path: Path) -> None:
    given = [str(word) for word in words(files, study, tmp_path / "out", "alone", "long")]
    whole = [str(word) for word in words(files, study, tmp_path / "whole", "alone", "long")]
    command = [sys.executable, "-m", "passion.cli", *given]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    history = tmp_path / "out/runs"
    wait_for(lambda: any(history.glob("*/history.csv")) and epochs(run_of(tmp_path / "out", "baseline")) >= 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = run_of(tmp_path / "out", "baseline")
    wait_for(lambda: still(run / "history.csv"))
    before = epochs(run)
    assert 2 <= before < 16
    kept = pd.read_csv(run / "history.csv").query("quantity == 'seconds'")["value"].tolist()
    passion(*given)
    after = pd.read_csv(run / "history.csv").query("quantity == 'seconds'")["value"].tolist()
    assert len(after) == 16
    assert after[: len(kept) - 1] == kept[:-1]
    passion(*whole)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out/alone.csv"), pd.read_csv(tmp_path / "whole/alone.csv"))


def test_what_was_never_trained_is_timed(
    files: Path, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    passion(*words(files, study, tmp_path / "out", "alone"), "--dry-run")
    said = capsys.readouterr().out
    assert len([line for line in said.splitlines() if line.startswith("new ")]) == 1
    epoch, scoring = re.search(
        r"timed: BraTS2020 mmformer baseline: ([\d.]+) s an epoch, (\d+) s to score", said
    ).groups()
    (left,) = re.findall(r"1 cells, 0 done; time left: about (\d+) s with --jobs 2", said)
    assert 2 * float(left) >= 3 * float(epoch) + float(scoring) - 3
    assert not (tmp_path / "out/runs").exists()


def epochs(run: Path) -> int:
    return int(pd.read_csv(run / "history.csv")["epoch"].max()) + 1


def still(path: Path) -> bool:
    """Whether nobody writes to it any more."""
    before = path.stat().st_mtime_ns
    time.sleep(1)
    return path.stat().st_mtime_ns == before


def wait_for(condition: object, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("cluster", ["debug", "local"])
def test_cells_are_submitted(cluster: str, done: Path, files: Path, study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--options", "timeout_min=5") if cluster == "local" else ()
    passion(*words(files, study, out, "alone"), "--cluster", cluster, *options)
    wait_for(lambda: any(out.glob("runs/*/evaluation/test-last/settings.json")))
    passion(*words(files, study, out, "alone"), "--dry-run")
    own = pd.read_csv(done / "own.csv").query("method == 'Baseline'").reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_csv(out / "alone.csv")[COLUMNS[5:]], own[COLUMNS[5:]])


def test_a_job_whose_time_is_up_is_submitted_again(tmp_path: Path) -> None:
    again = Continued().checkpoint(tmp_path, "name")
    assert isinstance(again.function, Continued)
    assert again.args == (tmp_path, "name")


@pytest.mark.parametrize(("more", "problem"), [
    (("--seeds", 0), "--seeds 0: must be at least 1"),
    (("--jobs", 0), "--jobs 0: must be at least 1"),
    (("--scale", "huge"), "'huge' is none of paper, quick, small, nor a YAML file"),
    (("--study", "nowhere"), "nowhere: is not a prepared study"),
    (("--split", "a.csv", "b.csv"), "--split: 2 files for 1 studies"),
    (("--cluster", "slurm"), "--cluster slurm: "),
    (("--cluster", "local", "--options", "fast"), "--options: 'fast' is not NAME=VALUE"),
    (("--cluster", "local", "--options", "colour=red"), "--cluster local: "),
])  # fmt: skip
def test_wrong_input_is_refused(
    more: tuple[object, ...], problem: str, files: Path, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert problem in refused(capsys, *words(files, study, tmp_path / "out"), *more)


def test_other_tables_and_studies_are_refused(
    done: Path, files: Path, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--study", study / "prepared", "--out", done, "--scale", files / "scale.yaml")
    assert "'table4' is none of table1, table2, table3" in refused(capsys, "experiment", "table4", *given)
    assert "does not say how" in refused(capsys, "experiment", "table1", *given[:4], "--scale", hearts(tmp_path))
    other = tmp_path / "prepared"
    shutil.copytree(study / "prepared", other)
    shutil.rmtree(next((other / "cases").iterdir()))
    changed = refused(capsys, *words(files, study, done), "--study", other)
    assert f"{other}: {done} holds another study BraTS2020; choose another --out" in changed
    split = pd.read_csv(done / "studies/BraTS2020.csv")
    split["part"] = split["part"].to_numpy()[::-1]
    split.to_csv(tmp_path / "split.csv", index=False)
    assert "another split" in refused(capsys, *words(files, study, done), "--split", tmp_path / "split.csv")


def hearts(folder: Path) -> Path:
    path = folder / "hearts.yaml"
    path.write_text("myops: {split: [20, 0, 5]}")
    return path
