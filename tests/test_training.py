"""Training that cannot go well is refused early, or stopped where it goes wrong."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from command_line import passion, refused, training_words
from lightning.fabric.utilities.rank_zero import rank_zero_only
from torch.utils.data import DataLoader
from torch.utils.data._utils.pin_memory import pin_memory

from passion import experiment
from passion.data.loading import Batch, collate, collate_and_augment, training_loader
from passion.objectives import Losses, Term
from passion.training.averages import Averages


def test_a_training_that_diverges_is_stopped(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = training_words(study, tmp_path / "run", "--training.learning_rate", 1e20, "--data.samples_per_epoch", 2)
    line = refused(capsys, *words)
    assert "is nan, the training has diverged; train anew with a smaller --training.learning_rate than 1e+20" in line
    assert not (tmp_path / "run/evaluation").exists()


def test_a_case_without_labels_is_refused_before_anything_is_trained(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(study, tmp_path / "study")
    split = pd.read_csv(study / "split.csv")
    for part in ("train", "val"):
        case = split.loc[split["part"] == part, "case"].iloc[0]
        path = tmp_path / f"study/prepared/cases/{case}/case.json"
        before = path.read_text()
        content = json.loads(before)
        del content["boxes"]["target"]
        path.write_text(json.dumps(content))
        line = refused(capsys, *training_words(tmp_path / "study", tmp_path / "run"))
        assert f"case {case!r} has no label file; take it out" in line
        path.write_text(before)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("option", "value", "least"), [
    ("data.samples_per_epoch", 0, 1), ("data.samples_per_epoch", -3, 1), ("data.workers", -1, 0),
    ("training.validate_every", -1, 0), ("training.preference_every", -1, 0), ("training.devices", 0, 1),
    ("training.learning_rate", -0.1, 0),
])  # fmt: skip
def test_numbers_that_make_no_sense_are_refused(
    option: str, value: float, least: int, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, *training_words(study, tmp_path / "run", f"--{option}={value}"))
    assert line.endswith(f"--{option} {value}: must be at least {least}")


@pytest.mark.parametrize("variables", [
    {"RANK": "1"}, {"LOCAL_RANK": "3"}, {"SLURM_PROCID": "1", "SLURM_NTASKS": "2"},
], ids="+".join)  # fmt: skip
def test_a_training_in_one_process_is_the_first_whatever_surrounds_it(
    variables: dict[str, str],
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # as Lightning reads the variables when it is imported
    short = ("--training.epochs", 1, "--training.validate_every", 0, "--data.samples_per_epoch", 1)
    words = training_words(study, tmp_path / "run", "--data.spatial_dims", 2, *short)
    passion(*words)
    assert "trained" in capsys.readouterr().out
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.yaml", "study.json", "presence.csv", "history.csv", ".lock"} <= written
    assert list((tmp_path / "run/tensorboard").iterdir())
    assert "--resume to continue that run" in refused(capsys, *words)


def test_means_are_over_samples_in_batches_of_any_size() -> None:
    averages = Averages(["t1"])
    for values in ([1.0, 1.0], [4.0]):
        losses = Losses({"segmentation": Term(torch.tensor(values))})
        averages.add_losses(losses, torch.ones(len(values), 1, dtype=torch.bool))
    table = averages.table(0).set_index("quantity")["value"]
    assert table["segmentation"] == table["total"] == 2.0


def test_what_is_not_a_number_is_not_left_out() -> None:
    averages = Averages(["t1", "t2"])
    averages.add("gap", torch.tensor([torch.nan, 0.0]), ["t1", "t2"], torch.tensor([2, 0]))
    assert averages.table(0)["part"].tolist() == ["t1"]


def test_batches_are_made_for_what_trains_not_for_what_is_there(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training on the CPU beside a GPU neither pins its batches nor leaves augmentation to the step."""

    def loader(*arguments: object, **options: object) -> DataLoader[Batch]:
        with monkeypatch.context() as patch:
            patch.setattr(torch.cuda, "is_available", lambda: True)
            made.append(training_loader(*arguments, **options))
        return made[-1]

    made: list[DataLoader[Batch]] = []
    monkeypatch.setattr(experiment, "training_loader", loader)
    short = ("--training.epochs", 1, "--training.validate_every", 0, "--data.samples_per_epoch", 1)
    passion(*training_words(study, tmp_path / "run", "--data.spatial_dims", 2, *short))
    assert (made[0].collate_fn, made[0].pin_memory) == (collate_and_augment, False)
    there = training_loader(made[0].dataset, 1, None, 0, gpu=True)
    assert (there.collate_fn, there.pin_memory) == (collate, True)


def test_what_is_copied_to_a_gpu_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tuple(tensor.shape)) or tensor)
    present = torch.ones(2, 3, dtype=torch.bool)
    batch = Batch(torch.zeros(2, 3, 4, 4), present, present, torch.zeros(2, 4, 4, dtype=torch.int64))
    assert isinstance(pin_memory(batch), Batch)
    assert pinned == [(2, 3, 4, 4), (2, 4, 4)]
