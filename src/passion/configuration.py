"""What a training run is told, and the network and objective that follow from it."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml

from passion.data.augment import AugmentationSettings
from passion.data.loading import Crop, Setting
from passion.data.study import Study
from passion.errors import InputError
from passion.networks import Segmenter, network_class
from passion.networks import build as build_by_name
from passion.objectives import Objective, objective_class
from passion.reading import read_yaml
from passion.training.settings import TrainingSettings
from passion.typed import build

NETWORK_FROM_STUDY = {"modalities", "classes", "spatial_dims", "patch_size", "unimodal_decoder"}
"""Arguments of a network's class that are no options of it: they follow from the study, the data and the objective."""

OBJECTIVE_FROM_STUDY = {"inverse_presence"}
"""Arguments of an objective's class that are no options of it."""


@dataclass(frozen=True)
class DataSettings:
    """What is trained on.

    Args:
        prepared: folder of the prepared study.
        split: CSV file of the split.
        presence: CSV file of the presence matrix; none: what the files themselves hold.
        setting: "idt", where a missing modality stays invisible, or "pdt", where all are there and a random
            subset is fed at each step.
        spatial_dims: 2 trains on slices along the last axis of a study of volumes; none: as the study has it.
        patch_size: extent of a patch along each axis: one number, or one a spatial axis.
        crop: where in a case's box a patch is taken, "random" or "centre".
        batch_size: patches a step.
        samples_per_epoch: patches an epoch; none: one of each case.
        workers: processes that load.
        augment: whether patches are augmented.
        augmentation: how patches are varied.
    """

    prepared: Path
    split: Path
    presence: Path | None = None
    setting: Setting = "idt"
    spatial_dims: Literal[2, 3] | None = None
    patch_size: int | list[int] = 80
    crop: Crop = "random"
    batch_size: int = 1
    samples_per_epoch: int | None = None
    workers: int = 2
    augment: bool = True
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)


@dataclass(frozen=True)
class Configuration:
    """A training run.

    Args:
        data: what is trained on.
        training: how.
        network: `name`, and arguments of the network's class.
        objective: `name`, and arguments of the objective's class.
    """

    data: DataSettings
    training: TrainingSettings
    network: Mapping[str, Any]
    objective: Mapping[str, Any]

    def to_yaml(self) -> str:
        """As a configuration file."""
        return yaml.safe_dump(_plain(asdict(self)), sort_keys=False)

    def by_option(self) -> dict[str, Any]:
        """Every option by its name on the command line, such as `training.epochs`; those left out have their defaults.

        Raises:
            InputError: no network or objective has that name.
        """
        network = with_defaults(self.network, network_class(self.network["name"]), NETWORK_FROM_STUDY)
        objective = with_defaults(self.objective, objective_class(self.objective["name"]), OBJECTIVE_FROM_STUDY)
        return dict(_flat(_plain({**asdict(self), "network": network, "objective": objective})))

    @classmethod
    def from_file(cls, path: Path) -> "Configuration":
        """The configuration that `to_yaml` wrote.

        Raises:
            InputError: unreadable, or not such a file.
        """
        try:
            configuration = build(cls, read_yaml(path))
        except InputError as error:
            raise InputError(f"{path}: is not the configuration of a run ({error}); train again") from error
        for group in ("network", "objective"):
            if not isinstance(getattr(configuration, group).get("name"), str):
                raise InputError(f"{path}: is not the configuration of a run ({group}.name is missing); train again")
        return configuration


def with_defaults(options: Mapping[str, Any], cls: type, aside: set[str]) -> dict[str, Any]:
    """Options of a class with those that are left out, but for arguments `aside` and those without a default."""
    parameters = inspect.signature(cls).parameters.items()
    defaults = {name: one.default for name, one in parameters if one.default is not one.empty and name not in aside}
    return {**defaults, **options}


def _flat(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def build_objective(options: Mapping[str, Any], inverse_presence: np.ndarray[Any, Any]) -> Objective:
    """The objective that `options` name.

    Raises:
        InputError: unknown name or options.
    """
    arguments = dict(options)
    name = arguments.pop("name")
    try:
        return objective_class(name)(torch.from_numpy(inverse_presence).float(), **arguments)
    except TypeError as error:
        raise InputError(f"objective {name!r}: {error}") from error


def build_network(
    options: Mapping[str, Any], study: Study, patch_size: int | list[int], objective: Objective
) -> Segmenter:
    """The network that `options` name, with the second decoder only where the objective asks for it.

    Raises:
        InputError: unknown name or options.
    """
    arguments = dict(options)
    name = arguments.pop("name")
    if "unimodal_decoder" in inspect.signature(network_class(name)).parameters:
        arguments["unimodal_decoder"] = objective.needs_unimodal_decoder
    return build_by_name(
        name,
        modalities=len(study.modalities),
        classes=len(study.classes),
        spatial_dims=study.spatial_dims,
        patch_size=patch_size,
        **arguments,
    )
