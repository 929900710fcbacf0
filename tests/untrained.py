"""Run folders whose networks have learnt nothing: for what does not depend on what was learnt."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from passion.configuration import Configuration, DataSettings, build_network, build_objective
from passion.data.study import Study
from passion.files import write_json, write_text
from passion.runs import checkpoint_path, versions
from passion.training.settings import TrainingSettings


def untrained_run(
    folder: Path, study: Study, network: Mapping[str, Any], objective: str = "passion", **data: Any
) -> Path:
    """A run folder as an imported one is: without a presence matrix, with a random network."""
    torch.manual_seed(0)
    settings = DataSettings(folder / "prepared", folder / "split.csv", **{"patch_size": 32, **data})
    configuration = Configuration(settings, TrainingSettings(), network, {"name": objective})
    built = build_network(
        network, study, settings.patch_size, build_objective({"name": objective}, np.ones(len(study.modalities)))
    )
    folder.mkdir(parents=True)
    write_text(folder / "config.yaml", configuration.to_yaml())
    write_json(folder / "study.json", study.to_dict())
    write_json(folder / "versions.json", versions())
    checkpoint_path(folder, "last").parent.mkdir()
    state = {f"network.{name}": value for name, value in built.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 0}, checkpoint_path(folder, "last"))
    return folder
