"""Scoring a run folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd
import torch

from passion import run_files
from passion.data.split import read_split
from passion.data.store import PreparedStudy
from passion.data.study import Study
from passion.data.whole_cases import WholeCases
from passion.errors import InputError, note
from passion.evaluation.metrics import TOLERANCE_MM, check_tolerance
from passion.evaluation.scored import ScoredCases
from passion.evaluation.subsets import By, evaluate
from passion.files import alone_in
from passion.inference import choose_device
from passion.models import is_model
from passion.reading import read_json
from passion.run_folder import surroundings
from passion.runs import CheckpointName, load_run, versions
from passion.weights import fingerprint
from passion.windows import OVERLAP

Precision = Literal["trained", "fp32", "bf16"]
"""Of the network in evaluation; "trained": the one that it was trained in. Probabilities are always in fp32."""


def evaluate_run(
    run: Path,
    checkpoint: CheckpointName = "last",
    part: Literal["val", "test"] = "test",
    prepared: Path | None = None,
    device: str = "auto",
    by: By = "subject",
    split: Path | None = None,
    precision: Precision = "trained",
    tolerance_mm: float = TOLERANCE_MM,
    skip_broken: bool = False,
) -> tuple[pd.DataFrame, Study, Path]:
    """Score a run, or an exported model, on every subset and write `evaluation/{part}-{checkpoint}`.

    Another way of scoring or another precision than the usual goes into a folder of its own, named after it. Scores of
    an exported model, which name cases, go beside it and not into it: `MODEL-evaluation/{part}`. An evaluation that was
    stopped continues with the cases that are not scored yet, if nothing has changed since.

    Args:
        run: folder of the run, or of an exported model.
        checkpoint: "last" or "best"; an exported model has one only.
        part: of the split.
        prepared: folder of the prepared study; None: where the run was trained. An exported model needs it.
        device: "auto", or a name that PyTorch knows.
        by: what is scored as one, "subject" or "slice".
        split: CSV file; None: the run's own. An exported model needs it.
        precision: see `Precision`.
        tolerance_mm: of the surface Dice (pixels by slice).
        skip_broken: leave out the cases whose arrays are damaged, instead of refusing them.

    Returns:
        The scores of case, subset and region (see `passion.evaluation.scoring`), the study and the folder written to.

    Raises:
        InputError: no such run, checkpoint, study or case, an unsuitable tolerance, or another process evaluates the
            same.
    """
    check_tolerance(tolerance_mm)
    exported = is_model(run)
    for option, given in (("prepared", prepared), ("split", split)):
        if exported and given is None:
            raise InputError(f"--{option}: is needed with an exported model, which holds no case; name one")
    where = choose_device(device)
    trained = load_run(run, checkpoint, where)
    source = prepared or trained.prepared
    assert source is not None
    if prepared is None and not source.exists():
        raise InputError(f"{run}: was trained on {source}, which is not here; say where it is with --prepared")
    study = PreparedStudy.open(source)
    if not same_but_for_order(study.study, trained.study):
        raise InputError(
            f"{study.folder}: holds {study.study.name} prepared with {study.study.geometry}, the run was trained on "
            f"{trained.study.name} with {trained.study.geometry}; prepare it alike"
        )
    asked = read_split(split or run / run_files.SPLIT, study.cases, study.left_out)[part]
    seen = _seen_in_training(study, asked, run)
    if seen and split:
        note(
            f"{split}: {len(seen)} of its {len(asked)} cases were trained or validated on, the first is {seen[0]}; the "
            "scores say nothing of new cases"
        )
    broken = study.check(asked)
    if broken and not (skip_broken and len(broken) < len(asked)):
        raise InputError("\n".join(broken.values()))
    for line in broken.values():
        note(f"left out: {line}")
    names = [name for name in asked if name not in broken]
    cases = WholeCases(study, names, trained.study.modalities, trained.crop, trained.network.patch_size)

    unusual = ["by-slice"] * (by == "slice") + [precision] * (precision != "trained")
    folder = _folder_beside(run) if exported else run / "evaluation"
    folder /= "-".join([part, *([] if exported else [checkpoint]), *unusual])
    own = "bf16" if trained.precision == "bf16-mixed" else "fp32"
    used = own if precision == "trained" else precision
    settings = {
        "split": part, "checkpoint": checkpoint, "epoch": trained.epoch, "overlap": OVERLAP, "cases": len(cases),
        "by": by, "distance_unit": "mm" if by == "subject" else "pixels", "surface_tolerance": tolerance_mm,
        "device": str(where), "precision": used, "left_out": broken, **versions(),
        "seen_in_training": None if seen is None else len(seen),
    }  # fmt: skip
    made_of = {
        **settings, **surroundings(), "study": trained.study.to_dict(), "prepared": study.study.to_dict(),
        "crop": trained.crop, "weights": fingerprint(trained.network),
        "files": {name: study.case(name).source for name in names},
    }  # fmt: skip
    with alone_in(folder, f"{folder}: another process is evaluating there; wait for it"):
        scored = ScoredCases(folder, made_of)
        with torch.autocast(where.type, torch.bfloat16, enabled=used == "bf16"):
            evaluate(trained.network, cases, trained.study, where, scored, by, tolerance_mm)
        return scored.write(names, settings), trained.study, folder


def _seen_in_training(study: PreparedStudy, names: Sequence[str], run: Path) -> list[str] | None:
    """Those cases that the run was trained on or chosen by; None where it does not say, as exported models do not."""
    path = run / run_files.DATA
    if not path.exists():
        return None
    digests = read_json(path, "give the run as `passion train` left it")
    return sorted(name for name in names if digests.get(name) == study.case(name).digest)


def _folder_beside(model: Path) -> Path:
    place = model if model.name not in ("", "..") else model.resolve()
    return place.with_name(f"{place.name}-evaluation")


def same_but_for_order(prepared: Study, trained: Study) -> bool:
    """Whether a run can be scored on a study: order of modalities, slices or volumes, how files were brought to one
    grid and orientation, and whether they are phantoms may differ.
    """
    names = ("modalities", "spatial_dims", "resample", "orientation", "phantom")
    free = {name: getattr(trained, name) for name in names}
    return replace(prepared, **free) == trained and set(prepared.modalities) == set(trained.modalities)
