"""Two processes train as one does with the joint batch."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from command_line import training_words

from passion.objectives.preference import sum_over_processes


def train(study: Path, out: Path, data: Path, *more: object) -> tuple[pd.DataFrame, dict[str, Any]]:
    """History and last checkpoint. With a small learning rate the rounding of Adam's first steps stays small."""
    words = list(training_words(study, out, "--network.dropout", 0, "--training.learning_rate", 1e-6, *more))
    words[words.index("--data.presence") + 1] = data / "presence.csv"
    words[words.index("--data.split") + 1] = data / "split.csv"
    command = [sys.executable, "-m", "passion.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained") == 1
    history = pd.read_csv(out / "history.csv", keep_default_na=False)
    checkpoint = torch.load(out / "checkpoints/last.ckpt", weights_only=True)
    return history[history["quantity"] != "seconds"].reset_index(drop=True), checkpoint


@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_what_is_summed_for_nccl_is_a_copy_on_a_gpu(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether what is stored is on a GPU or not: there `cuda()`, and `to` without `copy`, are the tensor itself."""

    def to(tensor: torch.Tensor, device: object, copy: bool = False) -> torch.Tensor:
        went.append(str(device))
        return tensor + 0 if copy or went[0] != place else tensor

    went: list[str] = []
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_backend", lambda: "nccl")
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda values: values.mul_(2))
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: to(tensor, "cuda"))
    seconds = torch.tensor([3.0])
    total = sum_over_processes(seconds)
    assert (seconds.item(), total.item()) == (3, 6)
    assert went[0] == "cuda"


@pytest.fixture(params=[("absent on one process", 1), ("absent on both", 3)], ids=["one process", "both"])
def data(request: pytest.FixtureRequest, study: Path, tmp_path: Path) -> Path:
    """T2 is in one of the training cases: in an epoch's other steps it is absent everywhere. Cases to validate on
    are fewer than processes, or cannot be shared evenly.
    """
    absent, held_out = request.param
    table = pd.read_csv(study / "presence.csv")
    table[["t1", "t1c", "flair"]] = 1
    table["t2"] = 0
    table.loc[0, "t2"] = 1
    if absent == "absent on both":
        table["t1c"] = 0
        table.loc[1, "t1c"] = 1
    table.to_csv(tmp_path / "presence.csv", index=False)
    split = pd.read_csv(study / "split.csv")
    split.loc[split.index[split["part"] != "train"][:held_out], "part"] = "val"
    split.to_csv(tmp_path / "split.csv", index=False)
    return tmp_path


def test_two_processes_are_one_with_the_joint_batch(study: Path, data: Path, tmp_path: Path) -> None:
    steps = ("--data.samples_per_epoch", 6)
    joint, expected = train(study, tmp_path / "one", data, *steps, "--data.batch_size", 2)
    shared, found = train(study, tmp_path / "two", data, *steps, "--training.devices", 2)
    pd.testing.assert_frame_equal(shared.drop(columns="value"), joint.drop(columns="value"))
    np.testing.assert_allclose(shared["value"].astype(float), joint["value"].astype(float), rtol=1e-3, atol=1e-5)
    beta = "objective.gradient_weight.beta"
    torch.testing.assert_close(found["state_dict"][beta], expected["state_dict"][beta], rtol=1e-5, atol=1e-6)
    ours, theirs = (checkpoint["optimizer_states"][0]["state"] for checkpoint in (found, expected))
    assert ours.keys() == theirs.keys()
    for key, moments in theirs.items():
        difference = (ours[key]["exp_avg"] - moments["exp_avg"]).norm()
        assert difference <= 1e-2 * moments["exp_avg"].norm() + 1e-6
