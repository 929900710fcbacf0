"""A run folder, read back: what was trained, how it went, and how it scored."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from passion import reading, run_files
from passion.data.study import Study, read_run_study
from passion.errors import InputError
from passion.experiments.states import EVALUATION

SCORES = ("dice", "hd95_pooled", "hd95", "hd95_reference")
"""Columns of `scores.csv` that every evaluation has: Dice in [0, 1], distances in mm."""
MORE_SCORES = ("surface_dice", "lesion_dice")
"""Columns that evaluations of earlier versions lack; in [0, 1]."""

ARRAY_KEY = re.compile(r"(?P<case>.+)/(?P<kind>image|prediction|reference|pixel_mm|spacing_mm)(/(?P<part>[^/]+))?")
Kinds = dict[str, dict[str, NDArray[Any]]]
"""Arrays of one case by kind and, for images and predictions, by modality and subset."""


@dataclass(frozen=True)
class Example:
    """One slice of one case, rows from top to bottom as shown.

    Args:
        images: intensities (H, W) by modality, only those that the case has.
        reference: class indices (H, W).
        predictions: class indices (H, W) by subset.
        pixel_mm: height and width of a pixel in mm.
    """

    images: Mapping[str, NDArray[np.float32]]
    reference: NDArray[np.uint8]
    predictions: Mapping[str, NDArray[np.uint8]]
    pixel_mm: tuple[float, float]


@dataclass(frozen=True)
class Run:
    """What one training run and one evaluation of it left on disk.

    Args:
        name: for people; the folder's name.
        study: modalities, classes and regions.
        config: the resolved configuration.
        versions: of the software that trained it.
        presence: training cases x modalities, True where a case has a modality.
        history: rows of epoch, quantity, part, value; `part` is "" or a modality or a region.
        scores: rows of case, subset, region, the SCORES, and MORE_SCORES where the evaluation has them.
        settings: of the evaluation.
        evaluation: its folder.
    """

    name: str
    study: Study
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    presence: pd.DataFrame
    history: pd.DataFrame
    scores: pd.DataFrame
    settings: Mapping[str, Any]
    evaluation: Path

    @property
    def missing_rates(self) -> "pd.Series[float]":
        """Share of the training cases that lack each modality, in [0, 1]."""
        return 1.0 - self.presence.mean()

    def curve(self, quantity: str) -> pd.DataFrame:
        """The logged values of `quantity`: epochs x parts; no columns where it was not logged."""
        rows = self.history[self.history["quantity"] == quantity]
        return rows.pivot_table(index="epoch", columns="part", values="value", aggfunc="last", sort=False)

    @cached_property
    def cases(self) -> frozenset[str]:
        """Those that were scored."""
        return frozenset(self.scores["case"])

    @cached_property
    def examples(self) -> Mapping[str, Example]:
        """The stored slices by case, read when first asked for; empty where the evaluation stored none.

        Raises:
            InputError: the file is damaged, or a slice lacks its reference or its pixel size.
        """
        path = self.evaluation / "examples.npz"
        return _examples(path) if path.exists() else {}


def subset_names(study: Study) -> list[str]:
    """All 2^M - 1 subsets as result files write them, by size, then in the study's order (Table 3)."""
    sizes = range(1, len(study.modalities) + 1)
    return ["+".join(names) for size in sizes for names in combinations(study.modalities, size)]


def read_run(folder: Path, evaluation: str = EVALUATION) -> Run:
    """Read the run in `folder` and its evaluation `evaluation/{evaluation}` ({split}-{checkpoint}).

    Raises:
        InputError: a file is missing or does not fit; the line names it and the remedy.
    """
    folder = Path(folder)
    train = "give a folder that `passion train` has written"
    again = f"run `passion evaluate {folder}` again"
    scored = folder / "evaluation" / evaluation
    if not (folder / run_files.CONFIGURATION).is_file():
        raise InputError(f"{folder}: not a run folder, config.yaml is missing; {train}")
    study = read_run_study(folder)
    return Run(
        name=folder.resolve().name,
        study=study,
        config=_config(folder / run_files.CONFIGURATION, train),
        versions=read_json(folder / run_files.VERSIONS, train),
        presence=_presence(folder / run_files.PRESENCE, study, train),
        history=_table(folder / run_files.HISTORY, ("quantity", "part"), ("epoch", "value"), train),
        scores=read_scores(scored / "scores.csv", study, f"run `passion evaluate {folder}` first", again),
        settings=read_json(scored / run_files.SETTINGS, again),
        evaluation=scored,
    )


def read_training_presence(folder: Path, study: Study) -> pd.DataFrame | None:
    """Training cases x modalities of the run in `folder`, True where a case has a modality; None where it is unknown.

    Raises:
        InputError: the file does not fit.
    """
    path = Path(folder) / run_files.PRESENCE
    return _presence(path, study, "give a folder that `passion train` has written") if path.is_file() else None


def _unfit(path: Path, problem: object, remedy: str) -> InputError:
    return InputError(f"{path}: {' '.join(str(problem).split())}; {remedy}")


def _check_there(path: Path, remedy: str) -> None:
    if not path.is_file():
        raise InputError(f"{path} is missing; {remedy}")


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """What a JSON file says; `remedy` is what to do where it cannot be read, for the InputError that is raised then."""
    _check_there(path, remedy)
    return _names_with_values(reading.read_json(path, remedy), path, remedy)


def _config(path: Path, remedy: str) -> dict[str, Any]:
    return _names_with_values(reading.read_yaml(path, remedy), path, remedy)


def _names_with_values(value: Any, path: Path, remedy: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _unfit(path, f"holds a {type(value).__name__}, not names with values", remedy)
    return value


def _table(
    path: Path, words: Sequence[str], numbers: Sequence[str], remedy: str, more: Sequence[str] = ()
) -> pd.DataFrame:
    """The named columns of a CSV file, `numbers` and `more` as floats (NaN where empty); `more` may be missing."""
    _check_there(path, remedy)
    table = reading.read_table(path, [*words, *numbers], remedy)
    numbers = [*numbers, *(name for name in more if name in table)]
    for name in numbers:
        try:
            table[name] = pd.to_numeric(table[name].replace("", "nan")).astype(float)
        except ValueError as error:
            raise _unfit(path, f"column {name!r} has a value that is no number ({error})", remedy) from error
    return table[[*words, *numbers]]


def _presence(path: Path, study: Study, remedy: str) -> pd.DataFrame:
    table = _table(path, ("case",), study.modalities, remedy).set_index("case")
    if table.empty:
        raise _unfit(path, "has no cases", remedy)
    if not table.isin([0, 1]).to_numpy().all():
        raise _unfit(path, "has a value that is neither 0 nor 1", remedy)
    return table.astype(bool)


def read_scores(path: Path, study: Study, first: str, again: str) -> pd.DataFrame:
    """Rows of case, subset, region, the SCORES, and those of MORE_SCORES that are there.

    Args:
        path: of `scores.csv`.
        study: knows the subsets and regions.
        first: what to do where the file is missing.
        again: what to do where it does not fit.

    Raises:
        InputError: missing, unreadable, or with rows that are not the study's.
    """
    _check_there(path, first)
    keys = ["case", "subset", "region"]
    table = _table(path, keys, SCORES, again, MORE_SCORES)
    if table.empty:
        raise _unfit(path, "has no scores", again)
    for column, known in (("subset", subset_names(study)), ("region", list(study.regions))):
        unknown = [name for name in table[column].unique() if name not in known]
        if unknown:
            raise _unfit(path, f"the {column} {unknown[0]!r} is none of the study's ({', '.join(known)})", again)
    if table.duplicated(keys).any():
        case, subset, region = table.loc[table.duplicated(keys), keys].iloc[0]
        raise _unfit(path, f"scores case {case!r}, subset {subset!r}, region {region!r} twice", again)
    if not table["dice"].between(0, 1).all():
        raise _unfit(path, "has a Dice outside [0, 1]", again)
    return table


def _examples(path: Path) -> dict[str, Example]:
    examples = {}
    for case, kinds in read_arrays(path, "pixel_mm").items():
        height_mm, width_mm = (float(length) for length in kinds["pixel_mm"][""])
        examples[case] = Example(
            images=kinds.get("image", {}),
            reference=kinds["reference"][""],
            predictions=kinds.get("prediction", {}),
            pixel_mm=(height_mm, width_mm),
        )
    return examples


def read_arrays(path: Path, size: str) -> dict[str, Kinds]:
    """The arrays that an evaluation kept, by case; each has its reference and `size`, pixel_mm or spacing_mm.

    Raises:
        InputError: the file is damaged, or a case lacks its reference or its size.
    """
    remedy = f"run `passion evaluate {path.parents[2]}` again"
    found: dict[str, Kinds] = {}
    try:
        with np.load(path) as file:
            arrays = {key: file[key] for key in file.files}
    except Exception as error:
        # NumPy stumbles in many ways over a damaged file, and zlib and zipfile in theirs.
        raise _unfit(path, f"not a file of arrays ({error})", remedy) from error
    for key, array in arrays.items():
        match = ARRAY_KEY.fullmatch(key)
        if match is None:
            raise _unfit(path, f"has an unknown entry {key!r}", remedy)
        found.setdefault(match["case"], {}).setdefault(match["kind"], {})[match["part"] or ""] = array
    for case, kinds in found.items():
        if not {"reference", size} <= kinds.keys():
            raise _unfit(path, f"case {case!r} lacks its reference or {size}", remedy)
    return found
