"""Scoring a run folder."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd
import torch

from passion.data.split import read_split
from passion.data.store import PreparedStudy
from passion.data.study import Study
from passion.data.whole_cases import WholeCase, WholeCases
from passion.errors import InputError
from passion.evaluation.metrics import TOLERANCE_MM, check_tolerance
from passion.evaluation.subsets import By, evaluate
from passion.files import write_json
from passion.inference import choose_device
from passion.parallel import track
from passion.runs import CheckpointName, load_run, versions
from passion.windows import OVERLAP

Precision = Literal["trained", "fp32", "bf16"]
"""Of the network in evaluation; "trained": the one that it was trained in. Probabilities are always in fp32."""


def evaluate_run(
    run: Path,
    checkpoint: CheckpointName,
    part: Literal["val", "test"],
    prepared: Path | None,
    device: str,
    by: By = "subject",
    split: Path | None = None,
    precision: Precision = "trained",
    tolerance_mm: float = TOLERANCE_MM,
) -> tuple[pd.DataFrame, Study, Path]:
    """Score a run on every subset and write `evaluation/{part}-{checkpoint}`.

    Another way of scoring or another precision than the usual goes into a folder of its own, named after it.

    Args:
        run: folder of the run.
        checkpoint: "last" or "best".
        part: of the run's split.
        prepared: folder of the prepared study; None: where the run was trained.
        device: "auto", or a name that PyTorch knows.
        by: what is scored as one, "subject" or "slice".
        split: CSV file; None: the run's own.
        precision: see `Precision`.
        tolerance_mm: of the surface Dice (pixels by slice).

    Returns:
        The scores (see `passion.evaluation.subsets.evaluate`), the study and the folder written to.

    Raises:
        InputError: no such run, checkpoint, study or case, or an unsuitable tolerance.
    """
    check_tolerance(tolerance_mm)
    where = choose_device(device)
    trained = load_run(run, checkpoint, where)
    study = PreparedStudy.open(prepared or trained.configuration.data.prepared)
    if not same_but_for_order(study.study, trained.study):
        raise InputError(
            f"{study.folder}: holds {study.study.name} prepared with {study.study.geometry}, the run was trained on "
            f"{trained.study.name} with {trained.study.geometry}; prepare it alike"
        )
    names = read_split(split or run / "split.csv", study.cases)[part]
    crop = trained.configuration.data.crop
    cases = WholeCases(study, names, trained.study.modalities, crop, trained.network.patch_size)

    def scored() -> Iterator[WholeCase]:
        yield from track((cases[index] for index in range(len(cases))), len(cases), "Evaluating")

    unusual = ["by-slice"] * (by == "slice") + [precision] * (precision != "trained")
    folder = run / "evaluation" / "-".join([part, checkpoint, *unusual])
    own = "bf16" if trained.configuration.training.precision == "bf16-mixed" else "fp32"
    used = own if precision == "trained" else precision
    with torch.autocast(where.type, torch.bfloat16, enabled=used == "bf16"):
        scores = evaluate(trained.network, scored(), trained.study, where, folder, by, tolerance_mm)
    settings = {
        "split": part, "checkpoint": checkpoint, "epoch": trained.epoch, "overlap": OVERLAP, "cases": len(cases),
        "by": by, "distance_unit": "mm" if by == "subject" else "pixels", "surface_tolerance": tolerance_mm,
        "device": str(where), "precision": used, **versions(),
    }  # fmt: skip
    write_json(folder / "settings.json", settings)
    return scores, trained.study, folder


def same_but_for_order(prepared: Study, trained: Study) -> bool:
    """Whether a run can be scored on a study: order of modalities, slices or volumes, and how files were brought to
    one grid and orientation may differ.
    """
    free = {name: getattr(trained, name) for name in ("modalities", "spatial_dims", "resample", "orientation")}
    return replace(prepared, **free) == trained and set(prepared.modalities) == set(trained.modalities)
