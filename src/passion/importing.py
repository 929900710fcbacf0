"""From a checkpoint of the authors' code to a run folder."""

import codecs
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from passion import run_files
from passion.configuration import NETWORK_FROM_STUDY, Configuration, DataSettings, build_network, build_objective
from passion.data.sources import study_named
from passion.data.study import Study, write_run_study
from passion.errors import InputError
from passion.files import replacing, replacing_folder, write_json, write_text
from passion.networks import published
from passion.runs import checkpoint_path, versions
from passion.training.settings import TrainingSettings
from passion.weights import read_weights

PUBLISHED_NAMES = {"t1ce": "t1c"}
"""Modalities that the published code calls otherwise than our studies do."""

_SCALAR = np.float64(0).__reduce__()[0]

HARMLESS: list[Any] = [
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    codecs.encode,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i8")),
]
"""What the optimizer state of the published checkpoints holds beside tensors: NumPy scalars."""


def import_weights(name: str, checkpoint: Path, out: Path, study: str) -> Study:
    """Write a run folder with the weights of a published checkpoint, ready for `evaluate` and `predict`.

    The run's modalities are in the order of the checkpoint's encoders.

    Args:
        name: of the network.
        checkpoint: file that the authors' code wrote, or any state dict with its names.
        out: the run folder; must not exist.
        study: name of the public study that it was trained on.

    Returns:
        The study as the run has it.

    Raises:
        InputError: unreadable, with code in it, not that network, not that study, or `out` exists.
    """
    if out.exists():
        raise InputError(f"--out {out}: exists; choose another folder")
    published.check_name(name)
    state_dict, epoch = read_published(checkpoint)
    try:
        options, state = published.translate(name, state_dict)
    except InputError as error:
        raise InputError(f"{checkpoint}: {error}") from error
    own = _study_of(study, state_dict, options, checkpoint)
    objective = {"name": "baseline" if options["unimodal_decoder"] else "passion"}
    configuration = Configuration(
        data=DataSettings(Path("unknown"), Path("unknown"), patch_size=options.get("patch_size", 80)),
        training=TrainingSettings(),
        network={"name": name, **{key: value for key, value in options.items() if key not in NETWORK_FROM_STUDY}},
        objective=objective,
    )
    network = build_network(
        configuration.network, own, configuration.data.patch_size,
        build_objective(objective, np.ones(len(own.modalities))),
    )  # fmt: skip
    published.fill(network, state, f"{name} ({checkpoint})")
    with replacing_folder(out) as beside:
        write_text(beside / run_files.CONFIGURATION, configuration.to_yaml())
        write_run_study(beside, own)
        write_json(beside / run_files.VERSIONS, versions())
        with replacing(checkpoint_path(beside, "last")) as file:
            weights = {f"network.{key}": value for key, value in network.state_dict().items()}
            torch.save({"state_dict": weights, "epoch": epoch}, file)
    return own


def read_published(path: Path) -> tuple[Mapping[str, Tensor], int]:
    """State dict and epoch of a published checkpoint; nothing in it is executed.

    Raises:
        InputError: missing, unreadable, or with anything in it but tensors and numbers.
    """
    content = read_weights(path, "get the file again", HARMLESS)
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: holds no state dict; give a checkpoint of the published code")
    return state, int(content.get("epoch", 0)) if "state_dict" in content else 0


def _study_of(name: str, state_dict: Mapping[str, Tensor], options: Mapping[str, Any], checkpoint: Path) -> Study:
    study = study_named(name)
    modalities = tuple(PUBLISHED_NAMES.get(key, key) for key in published.modalities_of(state_dict))
    if set(modalities) != set(study.modalities) or options["classes"] != len(study.classes):
        raise InputError(
            f"{checkpoint}: was trained for {', '.join(modalities)} and {options['classes']} classes, which is not "
            f"{name}; name the study with --study"
        )
    return replace(study, modalities=modalities, spatial_dims=options["spatial_dims"])
