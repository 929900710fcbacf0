"""Grid files and scales: which runs a table consists of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from passion.data.study import Study
from passion.errors import InputError

Rates = Mapping[str, float]
"""Missing rate of each modality, by name."""

PERFECT = "PDT"
"""Name of the setting in which all modalities are there in training."""

Options = Mapping[str, Any]

Shape = Literal["regions", "subsets"]
"""A row a setting and method with a column a region, as in Tables 1 and 2; or a column a subset, as in Table 3."""


@dataclass(frozen=True)
class Grid:
    """A table of the paper.

    Args:
        shape: of the printed table.
        networks: by name.
        methods: options of the objective, with its `name`, by what the table calls the method.
        rates: missing rates by kind of study and setting.
        perfect: the methods that are trained on perfect data too.
    """

    shape: Shape
    networks: Sequence[str]
    methods: Mapping[str, Options]
    rates: Mapping[str, Mapping[str, Rates]]
    perfect: Sequence[str] = ()

    def kind(self, modalities: Sequence[str]) -> str | None:
        """The kind of study that has exactly these modalities; None where the table has none."""
        for kind, settings in self.rates.items():
            if all(set(rates) == set(modalities) for rates in settings.values()):
                return kind
        return None

    def rows(self, kind: str) -> list[tuple[str, str, Rates | None]]:
        """Setting, method and rates (None: perfect data) of a kind of study, in the order of the table."""
        perfect = [(PERFECT, method, None) for method in self.perfect]
        settings = self.rates[kind].items()
        return [*perfect, *((setting, method, rates) for setting, rates in settings for method in self.methods)]


@dataclass(frozen=True)
class Scale:
    """How a kind of study is trained.

    Args:
        split: cases for train, val and test; the same proportions where a study has another number of cases.
        cases: take no more than this; None: all.
        data: of `DataSettings`.
        training: of `TrainingSettings`.
        networks: options of each network by its name.
    """

    split: Sequence[int]
    cases: int | None = None
    data: Options = field(default_factory=dict)
    training: Options = field(default_factory=dict)
    networks: Mapping[str, Options] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """A table of one study as it is printed.

    Args:
        table: name.
        shape: see `Grid`.
        study: names.
        rows: setting, network and method.
    """

    table: str
    shape: Shape
    study: Study
    rows: Sequence[tuple[str, str, str]]


def _shipped(folder: str) -> dict[str, Traversable]:
    own = [file for file in (files("passion.experiments") / folder).iterdir() if file.name.endswith(".yaml")]
    return {file.name.removesuffix(".yaml"): file for file in sorted(own, key=lambda file: file.name)}


def _read(name: str, folder: str) -> tuple[str | Path, dict[str, Any]]:
    """Where it stands and what stands in the file of the package, or the user's own, that `name` names."""
    shipped = _shipped(folder)
    if name not in shipped and not Path(name).is_file():
        raise InputError(f"{name!r} is none of {', '.join(shipped)}, nor a YAML file")
    source = name if name in shipped else Path(name)
    text = (shipped[name] if name in shipped else Path(name)).read_text(encoding="utf-8")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{source}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise InputError(f"{source}: holds no names with values; see docs/reproducing.md")
    return source, content


def read_grid(name: str) -> Grid:
    """The table of that name, or the YAML file at that path.

    Raises:
        InputError: there is none, or it is no grid.

    >>> grid = read_grid("table1")
    >>> len(grid.rows("brats"))
    25
    """
    source, content = _read(name, "grids")
    try:
        grid = Grid(**content)
        rates = {kind: {str(key): dict(value) for key, value in of.items()} for kind, of in grid.rates.items()}
        unnamed = [method for method, options in grid.methods.items() if "name" not in options]
    except (TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{source}: is no grid ({error}); see docs/reproducing.md") from error
    unknown = [method for method in grid.perfect if method not in grid.methods]
    if grid.shape not in get_args(Shape):
        raise InputError(f"{source}: shape {grid.shape!r} is neither regions nor subsets")
    if unnamed or unknown:
        problem = f"method {unnamed[0]!r} has no name" if unnamed else f"perfect: {unknown[0]!r} is none of its methods"
        raise InputError(f"{source}: {problem}")
    return Grid(grid.shape, list(grid.networks), dict(grid.methods), rates, tuple(grid.perfect))


def read_scale(name: str) -> dict[str, Scale]:
    """How each kind of study is trained: the scale of that name, or the YAML file at that path.

    Raises:
        InputError: there is none, or it is no scale.

    >>> read_scale("paper")["brats"].training["epochs"]
    300
    """
    source, content = _read(name, "scales")
    try:
        scales = {kind: Scale(**options) for kind, options in content.items()}
    except TypeError as error:
        raise InputError(f"{source}: is no scale ({error}); see docs/reproducing.md") from error
    for kind, scale in scales.items():
        if [type(count) for count in scale.split] != [int] * 3 or min(scale.split) < 0:
            raise InputError(f"{source}: {kind}: split {scale.split}: give three numbers, for train, val and test")
    return scales
