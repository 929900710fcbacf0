"""Grid files and scales: which runs a table consists of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from passion.data.study import Study
from passion.errors import InputError
from passion.reading import is_file, read_yaml
from passion.typed import Made, build

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

    >>> grid = read_grid("table3")
    >>> grid.networks, list(grid.methods), grid.kind(["t1", "t1c", "flair", "t2"])
    (('rfnet', 'mmformer', 'm2ftrans'), ['Baseline', '+PASSION'], 'brats')
    """

    shape: Shape
    networks: tuple[str, ...]
    methods: Mapping[str, Options]
    rates: Mapping[str, Mapping[str, Rates]]
    perfect: tuple[str, ...] = ()

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

    split: tuple[int, ...]
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


def _shipped(folder: str) -> dict[str, Path]:
    return {path.stem: path for path in sorted((Path(__file__).parent / folder).glob("*.yaml"))}


def _read(name: str, folder: str) -> tuple[Path, Any]:
    """Where it stands and what stands in the file of the package, or the user's own, that `name` names."""
    shipped = _shipped(folder)
    path = shipped.get(name, Path(name))
    if not is_file(path):
        raise InputError(f"{name!r} is none of {', '.join(shipped)}, nor a YAML file")
    return path, read_yaml(path)


def _built(cls: type[Made], content: object, path: Path, name: str = "") -> Made:
    try:
        return build(cls, content, name)
    except InputError as error:
        raise InputError(f"{path}: {error}; see docs/reproducing.md") from error


def _with_text_for_settings(content: Any) -> Any:
    """A setting may be called 0.5, which YAML reads as a number."""
    rates = content.get("rates") if isinstance(content, dict) else None
    if not isinstance(rates, dict):
        return content
    named = {
        kind: {str(setting): one for setting, one in of.items()} if isinstance(of, dict) else of
        for kind, of in rates.items()
    }
    return {**content, "rates": named}


def read_grid(name: str) -> Grid:
    """The table of that name, or the YAML file at that path.

    Raises:
        InputError: there is none, or it is no grid.

    >>> grid = read_grid("table1")
    >>> len(grid.rows("brats"))
    25
    """
    path, content = _read(name, "grids")
    grid = _built(Grid, _with_text_for_settings(content), path)
    problems = [
        *(
            f"{key}: {name!r} stands there twice"
            for key, names in (("networks", grid.networks), ("perfect", grid.perfect))
            for name in names if names.count(name) > 1
        ),
        *(f"method {name!r} has no name" for name, of in grid.methods.items() if not isinstance(of.get("name"), str)),
        *(f"perfect: {method!r} is none of its methods" for method in grid.perfect if method not in grid.methods),
        *(
            f"rates.{kind}.{setting}.{name} is {rate}, expected a number in [0, 1)"
            for kind in grid.rates for setting, rates in grid.rates[kind].items() for name, rate in rates.items()
            if not 0 <= rate < 1
        ),
    ]  # fmt: skip
    if problems:
        raise InputError(f"{path}: {problems[0]}")
    return grid


def read_scale(name: str) -> dict[str, Scale]:
    """How each kind of study is trained: the scale of that name, or the YAML file at that path.

    Raises:
        InputError: there is none, or it is no scale.

    >>> read_scale("paper")["brats"].training["epochs"]
    300
    """
    path, content = _read(name, "scales")
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no names with values; see docs/reproducing.md")
    scales = {str(kind): _built(Scale, options, path, str(kind)) for kind, options in content.items()}
    for kind, scale in scales.items():
        if len(scale.split) != 3 or min(scale.split) < 0:
            raise InputError(f"{path}: {kind}.split is {list(scale.split)}, expected three numbers: train, val, test")
    return scales
