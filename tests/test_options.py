"""What the command line says of options that are wrong, and that it never guesses."""

from pathlib import Path

import pytest
from command_line import refused

from passion.data.sources.brats import BRATS2020
from passion.data.study import write_run_study

TRAIN = ("train", "--out", "run", "--data.prepared", "prepared", "--data.split", "split.csv")


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    write_run_study(Path("run"), BRATS2020)


@pytest.mark.parametrize(("words", "says"), [
    (("evaluate", "run", "--part", "vall"), "--part vall: must be val or test"),
    (("evaluate", "run", "--tolerance", "wide"), "--tolerance wide: must be a number"),
    (("evaluate",), "RUN: missing"),
    (("report", "run"), "--out: missing"),
    (TRAIN[:3], "--data.prepared, --data.split: missing"),
    ((*TRAIN, "--training.epochs", "few"), "--training.epochs few: must be a whole number"),
    ((*TRAIN, "--data.patch_size", 3.5), "--data.patch_size 3.5: must be a whole number or a list of whole numbers"),
    ((*TRAIN, "--data.spatial_dims", 4), "--data.spatial_dims 4: must be 2, 3 or null"),
    ((*TRAIN, "--data.augment", "maybe"), "--data.augment maybe: must be true or false"),
    ((*TRAIN, "--training.epoch", 2), "unrecognized arguments: --training.epoch 2; do you mean --training.epochs?"),
    (("evaluate", "run", "--tol", 2), "unrecognized arguments: --tol 2; do you mean --tolerance?"),
])  # fmt: skip
def test_a_wrong_option_is_named(words: tuple[object, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, *words) == f"passion: error: {says}; see `passion {words[0]} --help`"


@pytest.mark.parametrize("option", ["--t1ce", "--T1", "--fl", "--t"])
def test_a_modality_is_never_guessed(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "predict", "run", option, "x.nii.gz", "-o", "out.nii.gz")
    says = f"unrecognized arguments: {option} x.nii.gz; the run has --t1, --t1c, --flair, --t2; see `passion predict"
    assert line.startswith(f"passion: error: {says}")


def test_a_modality_that_the_run_lacks_is_not_the_one_that_begins_alike(capsys: pytest.CaptureFixture[str]) -> None:
    study = write_two = BRATS2020.of_modalities(["t1c", "flair"]) if hasattr(BRATS2020, "of_modalities") else None
    assert study is write_two
