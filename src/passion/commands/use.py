"""Commands that use a run, or let others use it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from passion.errors import InputError, note, say

if TYPE_CHECKING:
    from passion.prediction import Predictor

Checkpoint = Literal["last", "best"]
Blend = Literal["constant", "gaussian"]
Format = Literal["safetensors", "monai"]


def predict(
    runs: Sequence[Path],
    images: Mapping[str, Path],
    *,
    out: Path,
    cases: Path | None = None,
    layout: str | None = None,
    skip_broken: bool = False,
    checkpoint: Checkpoint = "last",
    device: str = "auto",
    blend: Blend = "constant",
    mirror: bool = False,
    resample: str | None = None,
    probabilities: Path | None = None,
) -> None:
    """Segment one case from whichever modalities are given, or every case of a folder or list from those that it has.

    Args:
        runs: folder of a run or an exported model, or of several whose probabilities are averaged.
        images: see the options of the modalities.
        out: NIfTI file to write, in the input's shape and place, with the study's label codes, replaced if it is there;
            with --cases the folder for CASE.nii.gz and cases.csv, in which finished cases are kept.
        cases: folder of a study in any layout, or CSV file with a row a case, instead of the options of modalities.
        layout: name of the layout of --cases; found out by looking where it is not given. nnunet also takes a folder of
            files such as CASE_0000.nii.gz.
        skip_broken: segment the other cases where headers of files are broken, instead of none.
        checkpoint: last or best; an exported model has one only.
        device: auto, cpu, cuda, ...
        blend: how overlapping windows are averaged: constant, all alike, or gaussian, the middle counts most.
        mirror: average over all mirror images, which takes 8 times as long.
        resample: modality whose grid the others are brought to and the result is on, or several, such as t1c,flair, of
            which the first that is given counts; by default as the study was prepared that the run was trained on.
        probabilities: NIfTI file for the probabilities of the classes, which lie along the fourth axis; with --cases
            the folder for such files.
    """
    from passion.files import check_apart
    from passion.inference import InferenceSettings
    from passion.prediction import Predictor, predict_files

    if cases is None and not images:
        raise InputError("predict: give at least one modality, such as --t1c FILE, or many cases with --cases FOLDER")
    if cases is not None and images:
        raise InputError(f"--{next(iter(images))}: goes without --cases {cases}; leave one of them out")
    taken = {"--cases": cases, **{f"--{modality}": path for modality, path in images.items()}}
    check_apart({"--out": out, "--probabilities": probabilities}, taken)
    predictor = Predictor.load(runs, checkpoint, device, InferenceSettings(blend, mirror), resample)
    if cases is None:
        found = predict_files(predictor, images, out, probabilities)
        where = f", on the grid of {found.reference}" if found.study.resample else ""
        say(f"{out}: segmented from {found.modalities}{where}")
        for remark in found.remarks:
            note(remark)
    else:
        _predict_cases(predictor, cases, layout, out, probabilities, skip_broken)


def _predict_cases(
    predictor: "Predictor", raw: Path, layout: str | None, out: Path, probabilities: Path | None, skip_broken: bool
) -> None:
    from passion.data.new_cases import read_new_cases
    from passion.overview import note_unrecognised
    from passion.predicted_cases import TABLE, predict_cases

    cases = read_new_cases(raw, layout, predictor.study)
    note_unrecognised(cases, raw)
    outcome = predict_cases(predictor, cases, raw, out, probabilities, skip_broken)
    say(f"{out}: {outcome.done} cases segmented, {outcome.kept} kept; subsets and volumes in {out / TABLE}")
    if outcome.remarked:
        note(f"{outcome.remarked} cases have remarks that are worth reading before they are trusted, in {out / TABLE}")
    if outcome.broken:
        raise InputError("\n".join(outcome.broken))


def export(
    run: Path,
    *,
    out: Path,
    format: Format = "safetensors",  # noqa: A002
    checkpoint: Checkpoint = "last",
    title: str | None = None,
    authors: str | None = None,
    license: str | None = None,  # noqa: A002
    notes: str | None = None,
) -> None:
    """Make a run's weights ready to be shared: a folder with a card that says what they are, and nothing about cases.

    Args:
        run: folder of the run.
        out: folder to write; it must not exist yet.
        format: safetensors, a folder that predict and evaluate take in place of a run, or monai, a MONAI bundle.
        checkpoint: last or best.
        title: of the card; study, network and objective where it is not given.
        authors: who made it.
        license: of the weights, such as cc-by-4.0.
        notes: anything else that the card should say.
    """
    from passion.exporting.card import About

    about = About(title, authors, license, notes)
    if format == "monai":
        from passion.exporting.monai_bundle import export_bundle

        export_bundle(run, out, about, checkpoint)
        say(f"{out}: MONAI bundle; how it is run stands in {out / 'docs' / 'README.md'}")
    else:
        from passion.exporting.folder import export_model

        export_model(run, out, about, checkpoint)
        say(f"{out}: exported; read {out / 'README.md'} before you share it")
