"""What a shared model says about itself: all that others need to judge and to use it, and nothing about a case."""

import inspect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from passion import run_files
from passion.configuration import Configuration
from passion.data.study import Study
from passion.errors import InputError
from passion.inference import PUBLISHED
from passion.missingness import SLICE_MARK
from passion.models import FORMAT
from passion.networks import Segmenter, network_class
from passion.report.results import read_json, read_scores, read_training_presence
from passion.runs import CheckpointName, TrainedRun
from passion.windows import OVERLAP

NOT_STATED = "not stated"
NOT_KNOWN = "not known: the weights were imported"
NOT_EVALUATED = "not evaluated"

CROPPING = "each image to the box of its own voxels that are not zero, the case to the smallest box around these boxes"
NORMALISING = "each image by itself: mean 0 and variance 1 over its voxels that are not zero, 0 elsewhere"
INTENDED = (
    "Research on segmentation when modalities are missing. This is not a medical device, and nobody has reviewed it "
    "for use on patients."
)

SCORE_NAMES = {
    "dice": "dice", "hd95": "hd95_mm", "hd95_pooled": "hd95_pooled_mm", "surface_dice": "surface_dice",
    "lesion_dice": "lesion_dice",
}  # fmt: skip
"""Columns of the scores, and what the card calls their means; evaluations of earlier versions lack the last two."""

DECIMALS = 4
PACKAGES = ("passion", "git_revision", "torch", "lightning", "monai", "numpy", "nibabel")


@dataclass(frozen=True)
class About:
    """What only the one who shares a model can say.

    Args:
        title: one line; None: study, network and objective.
        authors: who made it.
        license: of the weights, such as cc-by-4.0.
        notes: anything else.
    """

    title: str | None = None
    authors: str | None = None
    license: str | None = None
    notes: str | None = None


def card_of(run: Path, name: CheckpointName, trained: TrainedRun, about: About) -> dict[str, Any]:
    """The card of a run's checkpoint, in a form that JSON can hold.

    It holds no path and no name of a case.

    Args:
        run: its folder.
        name: of the checkpoint.
        trained: what the folder holds.
        about: see `About`.

    Raises:
        InputError: files of the run that do not fit.
    """
    study = trained.study
    configuration = Configuration.from_file(run / run_files.CONFIGURATION)
    objective = configuration.objective["name"]
    training = _training(run, configuration, study)
    evaluation = _evaluation(run, name, trained)
    return {
        "format": FORMAT,
        "title": about.title or f"{study.name}: {configuration.network['name']} trained with {objective}",
        "authors": about.authors or NOT_STATED,
        "license": about.license or NOT_STATED,
        "notes": about.notes or "",
        "use": {"intended": INTENDED, "limits": limits_of(study, name, training, evaluation)},
        "study": study.to_dict(),
        "preparation": {"crop": CROPPING, "normalisation": NORMALISING},
        "network": network_options(configuration.network, trained.network),
        "inference": {
            "patch_size": trained.network.patch_size, "overlap": OVERLAP, "blend": PUBLISHED.blend,
            "crop": trained.crop, "precision": trained.precision,
            "grids": trained.grids.to_dict() if trained.grids else None,
        },
        "checkpoint": {"name": name, "epoch": trained.epoch},
        "training": training,
        "evaluation": evaluation,
        "versions": _versions(run),
    }  # fmt: skip


def network_options(options: Mapping[str, Any], network: Segmenter) -> dict[str, Any]:
    """Everything that rebuilds a network, its defaults included, without what only training needs.

    Args:
        options: of the run's configuration.
        network: that they made.
    """
    parameters = inspect.signature(network_class(options["name"])).parameters
    arguments = {key: parameter.default for key, parameter in parameters.items()} | dict(options)
    from_study: dict[str, Any] = {
        "modalities": network.modalities, "classes": network.classes, "spatial_dims": network.spatial_dims,
        "patch_size": network.patch_size,
    }  # fmt: skip
    if "unimodal_decoder" in parameters:
        from_study["unimodal_decoder"] = False
    return {"name": arguments.pop("name"), **arguments, **from_study}


def _versions(run: Path) -> dict[str, str]:
    found = read_json(run / run_files.VERSIONS, "give a folder that `passion train` has written")
    return {key: str(found[key]) for key in PACKAGES if key in found}


def _training(run: Path, configuration: Configuration, study: Study) -> dict[str, Any] | str:
    """What was done in training; a run that was imported has no presence matrix, and its configuration says nothing."""
    presence = read_training_presence(run, study)
    if presence is None:
        return NOT_KNOWN
    data, settings = configuration.data, configuration.training
    return {
        "objective": dict(configuration.objective),
        "setting": data.setting,
        "cases": len(_cases_of(presence.index)),
        "missing_rates": {key: round(float(rate), DECIMALS) for key, rate in (1 - presence.mean()).items()},
        "epochs": settings.epochs,
        "batch_size": data.batch_size,
        "learning_rate": settings.learning_rate,
        "augmented": data.augment,
        "seed": settings.seed,
    }


def _cases_of(rows: Iterable[str]) -> set[str]:
    """The cases that rows of cases, or of slices, are of."""
    return {row.partition(SLICE_MARK)[0] for row in rows}


def _evaluation(run: Path, name: CheckpointName, trained: TrainedRun) -> list[dict[str, Any]] | str:
    """Mean scores on each part of the split that this checkpoint was scored on."""
    folders = [run / "evaluation" / f"{part}-{name}" for part in ("test", "val")]
    presence = read_training_presence(run, trained.study)
    seen = None if presence is None else _cases_of(presence.index)
    found = [_scores(folder, trained, seen) for folder in folders if (folder / "scores.csv").exists()]
    return found or NOT_EVALUATED


def _scores(folder: Path, trained: TrainedRun, seen: set[str] | None) -> dict[str, Any]:
    """Mean scores of one evaluation; `seen` are the cases that were trained on, where they are known."""
    again = f"run `passion evaluate {folder.parents[1]}` again"
    settings = read_json(folder / run_files.SETTINGS, again)
    if settings.get("epoch") != trained.epoch:
        raise InputError(
            f"{folder}: scores the checkpoint of epoch {settings.get('epoch')}, not of {trained.epoch}; {again}"
        )
    scores = read_scores(folder / "scores.csv", trained.study, again, again)
    cases = set(scores["case"])
    groups = scores.groupby(["subset", "region"], sort=False)
    rows = [
        {"subset": subset, "region": region, "cases": len(rows), **_means(rows)} for (subset, region), rows in groups
    ]
    return {
        "part": settings["split"],
        "cases": len(cases),
        "trained_on": None if seen is None else len(cases & seen),
        "precision": settings["precision"],
        **({"surface_tolerance_mm": settings["surface_tolerance"]} if "surface_dice" in scores else {}),
        "scores": rows,
    }


def _means(rows: pd.DataFrame) -> dict[str, float | None]:
    means = {shown: float(rows[column].mean()) for column, shown in SCORE_NAMES.items() if column in rows}
    return {shown: round(mean, DECIMALS) if math.isfinite(mean) else None for shown, mean in means.items()}


def limits_of(
    study: Study, name: CheckpointName, training: dict[str, Any] | str, evaluation: list[dict[str, Any]] | str
) -> list[str]:
    """What a reader should know before trusting it, a sentence each."""
    known = [f"Its training is {training}."] if isinstance(training, str) else _limits_of_training(study, training)
    scored = (
        ["It was not evaluated: nothing is known of how well it works."]
        if isinstance(evaluation, str)
        else [sentence for one in evaluation for sentence in _limits_of_scores(name, one)]
    )
    return ["It segments whatever it is given, and has no way to say that it cannot judge an image.", *known, *scored]


def _limits_of_training(study: Study, training: Mapping[str, Any]) -> list[str]:
    trained_on = (
        "It was trained on phantoms, which are made up, and has seen no patient: it is for trying things out."
        if study.phantom
        else f"It was trained on {training['cases']} cases of {study.name}. On images of other scanners, protocols or "
        "patients, or prepared in another way, it can fail without a sign."
    )
    rarest, rate = max(training["missing_rates"].items(), key=lambda item: item[1])
    return [trained_on, *([f"{rate:.0%} of the training cases lacked {rarest}, its rarest modality."] if rate else [])]


def _limits_of_scores(name: CheckpointName, evaluation: Mapping[str, Any]) -> list[str]:
    part, cases, seen = evaluation["part"], evaluation["cases"], evaluation["trained_on"]
    limits = [f"Its scores on {part} are means over {cases} cases of one study."]
    if seen is None:
        limits.append(f"Whether it was trained on cases of {part} is not known.")
    elif seen:
        limits.append(f"It was trained on {seen} of the {cases} cases of {part}, which flatters the scores.")
    if name == "best" and part == "val":
        limits.append("The epoch was chosen by the scores on val, which flatters them.")
    return limits
