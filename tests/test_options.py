"""What the command line says of options that are wrong, and that it never guesses."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from command_line import refused

from passion import cli
from passion.cli import COMMANDS
from passion.commands import experiments, scores, use
from passion.data.sources.brats import BRATS2020
from passion.data.study import write_run_study
from passion.demo import SCALES
from passion.evaluation.run import Precision, evaluate_run
from passion.evaluation.subsets import By
from passion.experiments.cluster import Cluster
from passion.options import parse
from passion.report.comparison import Rows
from passion.report.tables import METRICS
from passion.runs import CheckpointName
from passion.windows import Blend

LIST = "a list of whole numbers"
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
    ((*TRAIN, "--data.patch_size", "[80,a]"), "--data.patch_size [80, 'a']: must be a whole number or " + LIST),
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
    write_run_study(Path("run"), replace(BRATS2020, modalities=("t1c", "flair")))
    line = refused(capsys, "predict", "run", "--t1", "x.nii.gz", "-o", "out.nii.gz")
    assert "unrecognized arguments: --t1 x.nii.gz; the run has --t1c, --flair; see" in line


def test_help_names_types_as_people_do(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            cli.main([*command.split(), "--help"])
        text = capsys.readouterr().out
        assert not re.search(r"<class|Literal|Optional|null|\(\)", text), text


class Norm:
    """A class that options can be given for."""

    def __init__(self, groups: int = 2) -> None:
        self.groups = groups


def test_options_that_are_objects_are_parsed() -> None:
    def command(norm: Norm | None = None) -> None:
        """Do it."""

    found = parse("anything", command, ["--norm", "test_options.Norm", "--norm.groups", "3"])
    assert found["norm"].init_args.groups == 3


@pytest.mark.parametrize(("own", "called"), [
    (use.Checkpoint, get_args(CheckpointName)),
    (scores.Checkpoint, get_args(CheckpointName)),
    (use.Blend, get_args(Blend)),
    (scores.By, get_args(By)),
    (scores.Precision, get_args(Precision)),
    (scores.Part, get_args(get_type_hints(evaluate_run)["part"])),
    (scores.Rows, get_args(Rows)),
    (scores.Metric, ("main", *METRICS)),
    (experiments.Cluster, get_args(Cluster)),
    (get_type_hints(experiments.demo)["scale"], tuple(SCALES)),
])  # fmt: skip
def test_choices_are_those_of_what_a_command_calls(own: Any, called: tuple[str, ...]) -> None:
    assert get_args(own) == called
