"""Run folders: where things are in them, and the network that they hold."""

import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import torch

import passion
from passion.configuration import Configuration, build_network, build_objective
from passion.data.loading import Crop
from passion.data.study import Study, read_run_study
from passion.errors import InputError
from passion.models import is_model, read_model
from passion.networks import Segmenter

CheckpointName = Literal["last", "best"]


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on, and the git revision of this package where it lies in a checkout."""
    packages = {name: version(name) for name in ("torch", "lightning", "monai", "numpy", "nibabel")}
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        revision = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        revision = "unknown"
    return {"passion": passion.__version__, "git_revision": revision, **packages}


def checkpoint_path(run: Path, name: CheckpointName) -> Path:
    """Where a run's checkpoint is."""
    return run / "checkpoints" / f"{name}.ckpt"


@dataclass(frozen=True)
class TrainedRun:
    """What a run folder, or an exported model, holds for those who apply it.

    Args:
        study: names of modalities, classes and regions.
        network: in evaluation mode.
        epoch: how many epochs the checkpoint has seen.
        crop: how the network's patches were taken.
        precision: that the network was trained in, "32-true" or "bf16-mixed".
        prepared: folder of the prepared study that it was trained on; None: an exported model does not say.
    """

    study: Study
    network: Segmenter
    epoch: int
    crop: Crop
    precision: str
    prepared: Path | None


def load_run(run: Path, checkpoint: CheckpointName, device: torch.device) -> TrainedRun:
    """Read a run folder, or an exported model, which has one checkpoint only; nothing in it is executed.

    Raises:
        InputError: neither of them, without that checkpoint, or an exported model that is not as it was exported.
    """
    return _from_model(run, device) if is_model(run) else _from_run(run, checkpoint, device)


def _from_model(folder: Path, device: torch.device) -> TrainedRun:
    card, network = read_model(folder)
    use, epoch = card["inference"], card["checkpoint"]["epoch"]
    return TrainedRun(read_run_study(folder), network.to(device), epoch, use["crop"], use["precision"], None)


def _from_run(run: Path, checkpoint: CheckpointName, device: torch.device) -> TrainedRun:
    study = read_run_study(run)
    configuration = Configuration.from_file(run / "config.yaml")
    objective = build_objective(configuration.objective, np.ones(len(study.modalities)))
    network = build_network(configuration.network, study, configuration.data.patch_size, objective)
    path = checkpoint_path(run, checkpoint)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        remedy = "--checkpoint last" if checkpoint == "best" else "train it first"
        raise InputError(f"{path}: no such checkpoint; {remedy}") from error
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a checkpoint; resume or repeat the run") from error
    state = {
        name.removeprefix("network."): value
        for name, value in content["state_dict"].items()
        if name.startswith("network.")
    }
    network.load_state_dict(state)
    data, precision = configuration.data, configuration.training.precision
    return TrainedRun(study, network.to(device).eval(), content["epoch"] + 1, data.crop, precision, data.prepared)
