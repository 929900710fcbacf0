"""Cells: what is trained once, named by what it is, so that tables share what they have in common."""

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from passion.configuration import NETWORK_FROM_STUDY, OBJECTIVE_FROM_STUDY, Configuration, DataSettings
from passion.errors import InputError
from passion.experiments.grid import PERFECT, Grid, Options, Rates, Scale
from passion.networks import network_class
from passion.objectives import objective_class
from passion.training.settings import TrainingSettings

NOT_WHAT_IT_IS = {
    "prepared", "split", "presence", "setting", "workers", "seed", "accelerator", "recompute", "compile",
}  # fmt: skip
"""Settings that are not part of a cell's name: paths, what the name says anyway, and what leaves the result alone."""


@dataclass(frozen=True)
class Cell:
    """A run to be trained and scored.

    Args:
        study: name.
        rates: missing rates that the presence matrix is drawn at; None: perfect data.
        seed: of the draw and of the training.
        data: settings other than paths.
        training: settings.
        network: `name` and options.
        objective: `name` and options.
    """

    study: str
    rates: Rates | None
    seed: int
    data: Options
    training: Options
    network: Options
    objective: Options

    @property
    def kind(self) -> tuple[str, str, str]:
        """Cells of one kind take the same time."""
        return self.study, str(self.network["name"]), str(self.objective["name"])

    @property
    def epochs(self) -> int:
        """How many epochs it is trained for."""
        return int(self.training.get("epochs", TrainingSettings.epochs))

    @cached_property
    def name(self) -> str:
        """What it is, and a digest of all settings that differ from the defaults."""
        digest = hashlib.sha256(json.dumps(self._content, sort_keys=True).encode()).hexdigest()[:8]
        rates = PERFECT.lower() if self.rates is None else "-".join(f"{rate:g}" for rate in self.rates.values())
        objective = _slug(_deviating(self.objective, objective_class(self.objective["name"]), OBJECTIVE_FROM_STUDY))
        return f"{self.study}_{self.network['name']}_{objective}_{rates}_{digest}_seed{self.seed}"

    @property
    def _content(self) -> dict[str, Any]:
        return {
            "study": self.study,
            "rates": None if self.rates is None else dict(self.rates),
            "data": _deviating(self.data, DataSettings, NOT_WHAT_IT_IS),
            "training": _deviating(self.training, TrainingSettings, NOT_WHAT_IT_IS),
            "network": _deviating(self.network, network_class(self.network["name"]), NETWORK_FROM_STUDY),
            "objective": _deviating(self.objective, objective_class(self.objective["name"]), OBJECTIVE_FROM_STUDY),
        }

    def configuration(self, prepared: Path, split: Path, presence: Path | None) -> Configuration:
        """Of its training."""
        setting: Options = {"setting": "pdt"} if self.rates is None else {"presence": presence}
        return Configuration(
            data=DataSettings(prepared=prepared, split=split, **setting, **self.data),
            training=TrainingSettings(seed=self.seed, **self.training),
            network=self.network,
            objective=self.objective,
        )


def _slug(options: Options) -> str:
    more = [f"{key}={value}".lower() for key, value in options.items() if key != "name"]
    return "-".join([str(options["name"]), *more])


def _deviating(options: Options, cls: type, aside: set[str]) -> dict[str, Any]:
    """Those of `options` that differ from the defaults, so that an option that is new changes no name."""
    parameters = inspect.signature(cls).parameters
    return {
        key: value
        for key, value in options.items()
        if key not in aside and (key not in parameters or parameters[key].default != value)
    }


@dataclass(frozen=True)
class Place:
    """A cell's place in a table."""

    dataset: str
    setting: str
    network: str
    method: str
    cell: Cell


def expand(grid: Grid, kind: str, study: str, scale: Scale, seeds: Sequence[int]) -> list[Place]:
    """All places of a table for one study, seed by seed, in the order of the table.

    Raises:
        InputError: an option in the grid or the scale that does not exist.
    """
    _check("data", scale.data, DataSettings, set())
    _check("training", scale.training, TrainingSettings, set())
    for network in grid.networks:
        _check(f"network {network}", scale.networks.get(network, {}), network_class(network), NETWORK_FROM_STUDY)
    for method, options in grid.methods.items():
        _check(f"method {method}", options, objective_class(options["name"]), OBJECTIVE_FROM_STUDY)
    first = Cell(study, None, 0, scale.data, scale.training, {}, {})
    return [
        Place(study, setting, network, method, replace(
            first, rates=rates, seed=seed, objective=dict(grid.methods[method]),
            network={"name": network, **scale.networks.get(network, {})},
        ))
        for seed in seeds
        for network in grid.networks
        for setting, method, rates in grid.rows(kind)
    ]  # fmt: skip


def _check(group: str, options: Options, cls: type, aside: set[str]) -> None:
    known = set(inspect.signature(cls).parameters) - aside
    unknown = [key for key in options if key != "name" and key not in known]
    if unknown:
        raise InputError(f"{group}: there is no option {unknown[0]!r}; there are: {', '.join(sorted(known))}")


def by_seed(places: Sequence[Place]) -> list[Cell]:
    """Each cell once, all of the first seed before all of the second."""
    cells: Mapping[str, Cell] = {place.cell.name: place.cell for place in places}
    return sorted(cells.values(), key=lambda cell: cell.seed)
