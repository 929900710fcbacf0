"""Every test case through every subset of its modalities: a tidy table."""

from collections.abc import Mapping, Sequence
from types import EllipsisType
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from passion.data.study import Study
from passion.data.whole_cases import WholeCase, WholeCases
from passion.evaluation.display import displayed
from passion.evaluation.metrics import TOLERANCE_MM
from passion.evaluation.scored import ScoredCases
from passion.evaluation.scoring import predicted_region, region_truth, score_mask
from passion.inference import answerable, segment
from passion.missingness import SLICE_MARK
from passion.networks.contract import Segmenter, all_subsets
from passion.parallel import track

By = Literal["subject", "slice"]
"""What is scored as one: a subject's volume, or each of its slices, as the published 2D code does."""

PIXELS = (1.0, 1.0)
"""Spacing of a slice that is scored by itself."""


def subset_name(subset: Sequence[bool] | NDArray[np.bool_] | Tensor, study: Study) -> str:
    """Names of the modalities of a subset, joined by `+`.

    >>> from passion.data.sources.brats import BRATS2020
    >>> subset_name([False, True, True, False], BRATS2020)
    't1c+flair'
    """
    return "+".join(name for name, member in zip(study.modalities, subset, strict=True) if member)


def score_case(
    whole: WholeCase,
    study: Study,
    predictions: Mapping[str, NDArray[np.uint8]],
    by: By,
    tolerance_mm: float = TOLERANCE_MM,
) -> list[dict[str, object]]:
    """Rows of case, subset and region, scored on the grid of the files.

    Args:
        whole: the case.
        study: its regions.
        predictions: class indices (*box) of `whole`, by subset.
        by: "subject" scores the volume, in mm; "slice" each slice along the last axis by itself, in pixels. A region
            that is too small to count is so in the volume; of a slice every lesion is scored.
        tolerance_mm: of the surface Dice (pixels by slice).
    """
    case = whole.case
    reference, spacing_mm = case.read_reference(), case.own_grid.spacing_mm
    parts = _parts(case.name, reference, by)
    regions = {name: (study.region_classes(name), region.minimum_mm3) for name, region in study.regions.items()}
    truths = {
        (name, region): region_truth(reference[part], classes, minimum_mm3, spacing_mm)
        if by == "subject"
        else region_truth(reference[part], classes, 0.0, PIXELS, smallest_lesion_mm3=0.0)
        for name, part in parts.items()
        for region, (classes, minimum_mm3) in regions.items()
    }
    rows: list[dict[str, object]] = []
    for subset, labels in predictions.items():
        prediction = case.to_own_grid(labels, whole.box)
        masks = {region: predicted_region(prediction, *about, spacing_mm) for region, about in regions.items()}
        for name, part in parts.items():
            for region, mask in masks.items():
                scores = score_mask(mask[part], truths[name, region], tolerance_mm)
                rows.append({"case": name, "subset": subset, "region": region, **vars(scores)})
    return rows


def _parts(name: str, volume: NDArray[np.uint8], by: By) -> dict[str, tuple[int | EllipsisType, ...]]:
    """What is scored as one, by its name: the volume, or each of its slices."""
    if by == "subject":
        return {name: (...,)}
    return {f"{name}{SLICE_MARK}{position}": (..., position) for position in range(volume.shape[-1])}


def predict_subsets(
    network: Segmenter, whole: WholeCase, study: Study, device: torch.device
) -> dict[str, NDArray[np.uint8]]:
    """Class indices (*box) for every subset that the case can answer."""
    subsets = answerable(all_subsets(len(study.modalities)), whole.present[0])
    labels = segment(network, whole.images.to(device), whole.present, subsets).numpy()
    return {subset_name(subset, study): label for subset, label in zip(subsets, labels, strict=True)}


def evaluate(
    network: Segmenter,
    cases: WholeCases,
    study: Study,
    device: torch.device,
    scored: ScoredCases,
    by: By = "subject",
    tolerance_mm: float = TOLERANCE_MM,
) -> None:
    """Score through all subsets the cases that are not scored yet.

    Args:
        network: in evaluation mode, on `device`.
        cases: to score.
        study: names and regions.
        device: to compute on.
        scored: what is there already, and where the rest is put: rows of case, subset, region and what
            `passion.evaluation.scoring.RegionScore` has.
        by: see `score_case`.
        tolerance_mm: see `score_case`.
    """
    for number in track(range(len(cases)), len(cases), "Evaluating"):
        name = cases.names[number]
        if name not in scored:
            whole = cases[number]
            predictions = predict_subsets(network, whole, study, device)
            rows = score_case(whole, study, predictions, by, tolerance_mm)
            scored.add(name, rows, displayed(number, whole, predictions))
