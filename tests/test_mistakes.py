"""Mistakes that cost a file or an hour, and what is said of them."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from command_line import RATES, passion, refused, training_words

CASE = "BraTS20_Training_001"


@pytest.fixture
def here(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the study's small files; the folder of each test."""
    for name in ("split.csv", "presence.csv"):
        shutil.copy(study / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_read_is_not_written_over(here: Path, trained: Path, raw: Path, capsys) -> None:
    image = shutil.copy(raw / CASE / f"{CASE}_t2.nii.gz", here / "t2.nii.gz")
    for words, says in (
        (("predict", trained, "--t2", image, "-o", "t2.nii.gz"), "--out t2.nii.gz: is --t2 too"),
        (("predict", trained, "--t2", image, "-o", "a.nii.gz", "--probabilities", "./a.nii.gz"), "a.nii.gz: is --prob"),
        (("predict", trained, "--cases", raw, "-o", raw), "is --cases too"),
        (("split", "split.csv", "-o", "split.csv"), "--out split.csv: is RAW too"),
        (("draw-missing", raw, "--split", "split.csv", "--rates", RATES, "-o", "split.csv"), "is --split too"),
        (("prepare", raw, raw), f"{raw}: holds something else than a prepared study; name a new folder"),
        (("prepare", raw, "/"), "/: is the root of all folders; name a new one"),
    ):  # fmt: skip
        before = {path: path.read_bytes() for path in (image, here / "split.csv")}
        assert says in refused(capsys, *words)
        assert {path: path.read_bytes() for path in before} == before
    assert {path.name for path in here.iterdir()} == {"split.csv", "presence.csv", "t2.nii.gz"}


def test_files_of_cases_and_manifests_are_not_written_over(here: Path, trained: Path, raw: Path, capsys) -> None:
    passion("convert", raw, "study", "--to", "manifest", "--workers", 0)
    names = sorted(path.name for path in (here / "study").iterdir() if path.is_dir())
    image = shutil.copy(here / f"study/{names[0]}/t2.nii.gz", here / "a.nii.gz")
    (here / "list.csv").write_text("case,t2\na,a.nii.gz\n")
    before = {path: path.read_bytes() for path in (image, here / "study/manifest.csv")}
    for words, says in (
        (
            ("predict", trained, "--cases", "list.csv", "-o", "out", "--probabilities", "."),
            "is a file of case a too",
        ),
        (("split", "study", "-o", "study/manifest.csv"), "--out study/manifest.csv: is RAW's manifest.csv too"),
        (
            ("draw-missing", "study", "--split", "split.csv", "--rates", RATES, "-o", "study/manifest.csv"),
            "--out study/manifest.csv: is RAW's manifest.csv too",
        ),
    ):
        assert says in refused(capsys, *words)
        assert {path: path.read_bytes() for path in before} == before
    assert "--patient : finds nothing" in refused(capsys, "split", "study", "-o", "x.csv", "--patient", "")


def test_a_training_that_cannot_begin_leaves_no_folder(here: Path, study: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    without_val = pd.read_csv("split.csv").replace({"part": {"val": "test"}})
    without_val.to_csv("other.csv", index=False)
    for more, says in (
        (("--training.accelerator", "gpu"), "--training.accelerator gpu: is not available here; use auto or cpu"),
        (("--training.seed", "-1"), "--training.seed -1: must be at least 0"),
        (("--training.accelerator", "tpu"), "--training.accelerator tpu: is not available here"),
        (("--data.split", "other.csv"), "other.csv: has no case of part val; add some, or --training.validate_every 0"),
        (("--data.split", "none.csv"), "none.csv: no such file"),
        (("--config", "none.yaml"), "none.yaml: no such file"),
    ):
        words = training_words(study, here / "run")
        if more[0] == "--training.accelerator":
            words = [word for word in words if word not in ("--training.accelerator", "cpu")]
        assert says in refused(capsys, *words, *more)
    assert not (here / "run").exists()


def test_other_mistakes_are_said_plainly(here: Path, study: Path, trained: Path, raw: Path, capsys) -> None:
    (here / "latin.csv").write_bytes("case,part\nMüller,train\n".encode("latin-1"))
    rates = ("draw-missing", raw, "--split", "split.csv", "-o", "out.csv", "--rates")
    for words, says in (
        ((*rates, "t1=0.1,t1c=0.1,flair=0.1"), "one rate for each of t1, t1c, flair, t2; there is none for t2"),
        ((*rates, RATES + ",t3=0.1"), "'t3' is none of them"),
        (("draw-missing", raw, "--split", "latin.csv", "-o", "o.csv", "--rates", RATES), "is not written in UTF-8"),
        ((*rates, RATES, "--seed", "-1"), "--seed -1: must be at least 0"),
        (("split", raw, "-o", "o.csv", "--seed", "-1"), "--seed -1: must be at least 0"),
        (("split", raw, "-o", "o.csv", "--seed", "-1", "--folds", 3), "--seed -1: must be at least 0"),
        (("import-weights", "unet", "split.csv", "-o", "out"), "no published network is called 'unet'"),
        (("import-weights", "rfnet", "split.csv", "-o", "out"), "(it is no file of PyTorch's)"),
        (("compare", trained, trained), f"{trained}: is given twice"),
    ):  # fmt: skip
        assert says in refused(capsys, *words)
    scale = {"brats": {"split": [6, 0, 1], "data": {}, "training": {"epochs": 1}, "networks": {}}}
    (here / "scale.yaml").write_text(yaml.safe_dump(scale))
    (here / "grid").mkdir()
    (here / "grid/studies").mkdir()
    assert "grid: has no TABLE.json, so none of its cells is begun; repeat its" in refused(
        capsys, "report", "grid", "-o", "page"
    )


def test_a_run_goes_on_where_its_files_lie_now(here: Path, study: Path, trained: Path, capsys) -> None:
    run = shutil.copytree(trained, here / "run")
    shutil.copytree(study / "prepared", here / "moved")
    words = ("train", "--out", run, "--resume", "--data.prepared", "moved", "--data.split", "split.csv")
    (run / "checkpoints/last.ckpt").unlink()
    passion(*words, "--data.presence", "presence.csv", "--data.workers", 1)
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert settings["data"]["prepared"] == "moved"
    table = pd.read_csv("split.csv")
    table = table.replace({"part": {"val": "test", "test": "val"}})
    table.to_csv("split.csv", index=False)
    (run / "checkpoints/last.ckpt").unlink()
    assert "is what the run was begun with" in refused(capsys, *words)
