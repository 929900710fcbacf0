"""Run folders: where things are in them, and the network that they hold."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

import passion
from passion.configuration import Configuration, build_network, build_objective
from passion.data.loading import Crop
from passion.data.seen_grids import SeenGrids, read_seen_grids
from passion.data.study import Study, read_run_study
from passion.errors import InputError
from passion.models import is_model, read_model
from passion.networks import NETWORKS, Segmenter
from passion.run_files import CONFIGURATION
from passion.trust import check_trusted
from passion.weights import read_weights

CheckpointName = Literal["last", "best"]
CPU = torch.device("cpu")


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
        options: of the network, and its `name`; an exported model has those that follow from the study beside them.
        grids: what those of the training cases were like; None where the folder does not say.
    """

    study: Study
    network: Segmenter
    epoch: int
    crop: Crop
    precision: str
    prepared: Path | None
    options: Mapping[str, Any]
    grids: SeenGrids | None


def load_run(run: Path, checkpoint: CheckpointName = "last", device: torch.device = CPU) -> TrainedRun:
    """Read a run folder, or an exported model, which has one checkpoint only; nothing in it is executed.

    Raises:
        InputError: neither of them, without that checkpoint, damaged, a run with a network that is not trusted, or an
            exported model that is not as it was exported.
    """
    return _from_model(run, device) if is_model(run) else _from_run(run, checkpoint, device)


def _from_model(folder: Path, device: torch.device) -> TrainedRun:
    card, network = read_model(folder)
    use, epoch = card["inference"], card["checkpoint"]["epoch"]
    study, network = read_run_study(folder), network.to(device)
    grids = SeenGrids.from_dict(use["grids"]) if use.get("grids") else None
    return TrainedRun(study, network, epoch, use["crop"], use["precision"], None, card["network"], grids)


def _from_run(run: Path, checkpoint: CheckpointName, device: torch.device) -> TrainedRun:
    study = read_run_study(run)
    settings = run / CONFIGURATION
    configuration = Configuration.from_file(settings)
    check_trusted(configuration.network, settings)
    path = checkpoint_path(run, checkpoint)
    if not path.exists():
        remedy = "--checkpoint last" if checkpoint == "best" else "train it first"
        raise InputError(f"{path}: no such checkpoint; {remedy}")
    content = read_weights(path, "resume or repeat the run")
    state = content.get("state_dict") if isinstance(content, Mapping) else None
    epoch = content.get("epoch") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or type(epoch) is not int:
        raise InputError(f"{path}: is no checkpoint of a run; resume or repeat the run")
    weights = {
        str(name).removeprefix("network."): value for name, value in state.items() if str(name).startswith("network.")
    }
    try:
        network = _network_that_fits(configuration, study, weights)
    except InputError as error:
        raise InputError(f"{settings}: its network cannot be built ({error}); repeat the run") from error
    data, precision = configuration.data, configuration.training.precision
    network, options = network.to(device).eval(), configuration.network
    grids = read_seen_grids(run)
    return TrainedRun(study, network, epoch + 1, data.crop, precision, data.prepared, options, grids)


def _network_that_fits(configuration: Configuration, study: Study, weights: Mapping[str, Tensor]) -> Segmenter:
    """The network with its weights; it takes memory only when it is known to fit them.

    Raises:
        InputError: it cannot be built, or has other weights.
    """
    try:
        objective = build_objective(configuration.objective, np.ones(len(study.modalities)))
        if configuration.network["name"] in NETWORKS and "class_path" not in configuration.network:
            with torch.device("meta"):
                sketch = build_network(configuration.network, study, configuration.data.patch_size, objective)
            _check_fits(sketch, weights)
        network = build_network(configuration.network, study, configuration.data.patch_size, objective)
        _check_fits(network, weights)
        network.load_state_dict(weights)
    except (TypeError, ValueError, ArithmeticError, RuntimeError, LookupError, AttributeError, MemoryError) as error:
        # Constructors say in these ways that they do not like what a damaged configuration gives them.
        raise InputError(" ".join(str(error).split())[:200]) from error
    return network


def _check_fits(network: Segmenter, weights: Mapping[str, Tensor]) -> None:
    own = network.state_dict()
    for name in [*own, *weights]:
        if name not in weights or name not in own:
            raise InputError(f"{name} is only in {'the network' if name in own else 'the checkpoint'}")
        if not isinstance(weights[name], Tensor) or weights[name].shape != own[name].shape:
            raise InputError(f"{name} has another shape in the checkpoint")
