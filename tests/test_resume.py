"""What is killed and continued ends as if it had never been stopped."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from command_line import refused
from kill_and_resume import compare_folders, differences

from passion import cli

Moment = tuple[str, str, str, int]
NEVER = ("SIGKILL", "after", "nothing", 1)


class Killer:
    """Runs commands that are killed at a moment each, and keeps what they say.

    Args:
        log: file for that.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(Path(__file__).with_name("killed.py"))]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __call__(self, moment: Moment, *words: object) -> int:
        """Exit code of a command that is killed at `moment`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        job = [*moment, [str(word) for word in words], str(self.log)]
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def said(self) -> str:
        """What was said since the last time."""
        text = self.log.read_text()
        self.log.write_text("")
        return text


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    killer = Killer(tmp_path_factory.mktemp("killer") / "log.txt")
    yield killer
    assert killer.process.stdin is not None
    killer.process.stdin.close()
    killer.process.wait()


def words_of(study: Path, out: Path) -> list[object]:
    """A training in which all that could be lost is there: beta, augmentation, workers, dropout, validation."""
    return [
        "train", "--data.prepared", study / "prepared", "--data.split", study / "split.csv", "--data.presence",
        study / "presence.csv", "--data.patch_size", 32, "--data.spatial_dims", 2, "--data.samples_per_epoch", 4,
        "--data.batch_size", 2, "--data.workers", 1, "--network.width", 4, "--network.token_dim", 16,
        "--network.token_hidden", 16, "--network.heads", 2, "--training.epochs", 4, "--training.validate_every", 2,
        "--training.learning_rate", 2e-3, "--training.accelerator", "cpu", "--out", out,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(study: Path, killer: Killer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    out = tmp_path_factory.mktemp("resume") / "whole"
    assert killer(NEVER, *words_of(study, out)) == 0
    return out


def test_a_training_that_is_stopped_again_and_again_equals_one_that_is_not(
    study: Path, whole: Path, killer: Killer, tmp_path: Path
) -> None:
    """Killed at its start, between `best` and `last`, inside `last`; asked to end before and after it is moved."""
    out, moved = tmp_path / "run", tmp_path / "moved"
    killer.said()
    assert killer(("SIGKILL", "after", "split.csv", 1), *words_of(study, out)) == -9
    assert killer(("SIGTERM", "after", "history.csv", 1), *words_of(study, out)) == 143
    assert "the same command with --resume continues" in killer.said()
    assert killer(("SIGKILL", "after", "best.ckpt", 1), "train", "--out", out, "--resume") == -9
    assert killer(("SIGKILL", "before", "last.ckpt", 2), "train", "--out", out, "--resume") == -9
    assert list(out.rglob(".partial-*last.ckpt"))
    out.rename(moved)
    assert killer(("SIGINT", "after", "history.csv", 2), "train", "--out", moved, "--resume") == 130
    assert killer(NEVER, "train", "--out", moved, "--resume") == 0
    assert killer(NEVER, "train", "--out", moved, "--resume") == 0
    said = killer.said()
    assert "trained already" in said
    assert not [word for word in ("Traceback", "note") if word in said]
    assert differences(moved, whole) == []


def test_the_best_score_outlives_a_resume(whole: Path) -> None:
    """The resumed runs above equal this one, which has a best checkpoint that is not the last."""
    history = pd.read_csv(whole / "history.csv")
    dice = history[history["quantity"] == "validation_dice"].groupby("epoch")["value"].mean()
    best = torch.load(whole / "checkpoints/best.ckpt", weights_only=True)["epoch"]
    assert best == dice.idxmax()


def test_a_run_that_is_being_trained_is_left_alone(study: Path, whole: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    (out / "checkpoints/last.ckpt").unlink()
    script = "import fcntl, sys, time; f = open(sys.argv[1], 'a'); fcntl.lockf(f, 2); print(flush=True); time.sleep(99)"
    other = subprocess.Popen([sys.executable, "-c", script, str(out / ".lock")], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    before = sorted(out.rglob("*"))
    assert "another process is training there" in refused(capsys, "train", "--out", out, "--resume")
    assert sorted(out.rglob("*")) == before
    other.kill()
    other.wait()
    with (out / ".lock").open("a") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_resume_refuses(study: Path, whole: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    assert "there is no run to resume" in refused(capsys, "train", "--out", out, "--resume")
    assert not out.exists()
    shutil.copytree(whole, out)
    assert "--resume to continue" in refused(capsys, *words_of(study, out))
    for option, own, other in (
        ("training.epochs", 4, 9), ("data.augmentation.flip", True, False), ("network.width", 4, 8),
        ("objective.pixel_weight", 0.5, 9.0),
    ):  # fmt: skip
        line = refused(capsys, "train", "--out", out, "--resume", f"--{option}", other)
        assert f"{out} was trained with --{option} {own}, not {other}; leave the option out" in line
    last = out / "checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    assert "cannot be read as weights alone" in refused(capsys, "train", "--out", out, "--resume")
    last.unlink()
    split = out / "split.csv"
    split.write_text(split.read_text().replace(",val", ",test"))
    assert "its split is another now" in refused(capsys, "train", "--out", out, "--resume")


def test_options_that_a_run_does_not_name_have_their_defaults(whole: Path, tmp_path: Path, capsys) -> None:
    """As in the runs of `passion demo` and of grids, and in those of versions that had fewer options."""
    out = shutil.copytree(whole, tmp_path / "run")
    content = yaml.safe_load((out / "config.yaml").read_text())
    assert content["network"].pop("dropout") is not None
    content["objective"] = {"name": "passion"}
    (out / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    assert cli.run(["train", "--out", str(out), "--resume"]) == 0
    assert "trained already" in capsys.readouterr().out
    for option, own, other in (("temperature", 4.0, 2.0), ("name", "passion", "baseline")):
        line = refused(capsys, "train", "--out", out, "--resume", f"--objective.{option}", other)
        assert f"--objective.{option} {own}, not {other}; leave the option out" in line


def test_a_run_does_not_go_on_with_cases_that_were_prepared_anew(
    study: Path, whole: Path, tmp_path: Path, capsys
) -> None:
    out, prepared = tmp_path / "run", tmp_path / "prepared"
    shutil.copytree(whole, out)
    (out / "checkpoints/last.ckpt").unlink()
    shutil.copytree(study / "prepared", prepared)
    settings = out / "config.yaml"
    settings.write_text(settings.read_text().replace(str(study / "prepared"), str(prepared)))
    array = prepared / "cases/BraTS20_Training_001/t1.npy"
    described = array.with_name("case.json")
    content = json.loads(described.read_text())
    np.save(array, 2 * np.load(array))
    content["arrays"]["t1"]["sha256"] = hashlib.sha256(array.read_bytes()).hexdigest()
    described.write_text(json.dumps(content))
    assert "its data is another now" in refused(capsys, "train", "--out", out, "--resume")


def test_only_what_a_killed_start_has_left_is_written_over(study: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "split.csv").write_text("mine")
    assert "holds something else" in refused(capsys, *words_of(study, out))
    assert (out / "split.csv").read_text() == "mine"


FIRST_TESTED = "BraTS20_Training_002"
MARK = 0.123
"""A Dice that nothing scores."""


def mark(run: Path) -> None:
    """Write a Dice that nothing scores into what a killed evaluation has left."""
    kept = run / f"evaluation/test-last/.cases/rows/{FIRST_TESTED}.json"
    rows = [{**row, "dice": MARK} for row in json.loads(kept.read_text())]
    kept.write_text(json.dumps(rows))


def marked(run: Path) -> bool:
    return bool((pd.read_csv(run / "evaluation/test-last/scores.csv")["dice"] == MARK).any())


def test_an_evaluation_that_is_killed_continues_with_the_same_files(
    whole: Path, killer: Killer, tmp_path: Path
) -> None:
    """And never from what other weights have scored."""
    scored, run, continued, other = (tmp_path / name for name in ("scored", "run", "continued", "other"))
    for copy in (scored, run):
        shutil.copytree(whole, copy)
    assert killer(NEVER, "evaluate", scored, "--device", "cpu") == 0
    assert killer(("SIGKILL", "after", f"{FIRST_TESTED}.json", 1), "evaluate", run, "--device", "cpu") == -9
    for copy in (continued, other):
        shutil.copytree(run, copy)
        mark(copy)
    path = other / "checkpoints/last.ckpt"
    content = torch.load(path, weights_only=True)
    content["state_dict"] = {name: value * 1.0001 for name, value in content["state_dict"].items()}
    torch.save(content, path)
    for copy in (run, continued, other):
        assert killer(NEVER, "evaluate", copy, "--device", "cpu") == 0
    assert compare_folders(run / "evaluation", scored / "evaluation") == []
    assert marked(continued)
    assert not marked(other)


def test_a_preparation_that_is_killed_continues_with_the_same_files(
    raw: Path, study: Path, killer: Killer, tmp_path: Path
) -> None:
    out = tmp_path / "prepared"
    killer.said()
    assert killer(("SIGKILL", "before", "study.json", 1), "prepare", raw, out, "--workers", 0) == -9
    assert killer(("SIGKILL", "before", "case.json", 3), "prepare", raw, out, "--workers", 0) == -9
    assert killer(NEVER, "prepare", raw, out, "--workers", 0) == 0
    assert "8 cases, 6 of them prepared now" in killer.said()
    assert compare_folders(out, study / "prepared") == []
