"""Every test case through every subset of its modalities: a tidy table."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from passion.data.loading import WholeCase
from passion.data.store import Box, copy_overlap
from passion.data.study import Study
from passion.evaluation.metrics import score
from passion.files import replacing
from passion.inference import answerable, segment
from passion.networks.contract import Segmenter, all_subsets

DISPLAYED = 3
"""Cases whose middle slice is kept for the report."""


def subset_name(subset: Sequence[bool] | NDArray[np.bool_] | Tensor, study: Study) -> str:
    """Names of the modalities of a subset, joined by `+`.

    >>> from passion.data.sources.brats import BRATS2020
    >>> subset_name([False, True, True, False], BRATS2020)
    't1c+flair'
    """
    return "+".join(name for name, member in zip(study.modalities, subset, strict=True) if member)


def on_original_grid(labels: NDArray[np.uint8], box: Box, shape: Sequence[int]) -> NDArray[np.uint8]:
    """Labels of a box put back in place; background elsewhere."""
    whole = Box((0,) * len(shape), tuple(shape))
    out = np.zeros(whole.shape, dtype=np.uint8)
    copy_overlap(labels, box, out, whole)
    return out


def score_case(whole: WholeCase, study: Study, predictions: dict[str, NDArray[np.uint8]]) -> list[dict[str, object]]:
    """Rows of case, subset and region, scored on the original grid in mm.

    Args:
        whole: the case.
        study: its regions.
        predictions: class indices on the original grid, by subset.
    """
    reference = whole.case.read_whole_target()
    return [
        {
            "case": whole.case.name,
            "subset": subset,
            "region": name,
            **vars(
                score(
                    labels,
                    reference,
                    study.region_classes(name),
                    region.minimum_mm3,
                    whole.case.spacing_mm,
                )
            ),
        }
        for subset, labels in predictions.items()
        for name, region in study.regions.items()
    ]


def predict_subsets(
    network: Segmenter, whole: WholeCase, study: Study, device: torch.device, rows_at_once: int
) -> dict[str, NDArray[np.uint8]]:
    """Class indices on the original grid for every subset that the case can answer."""
    subsets = answerable(all_subsets(len(study.modalities)), whole.present[0])
    labels = segment(network, whole.images.to(device), whole.present, subsets, rows_at_once).numpy()
    return {
        subset_name(subset, study): on_original_grid(label, whole.box, whole.case.shape)
        for subset, label in zip(subsets, labels, strict=True)
    }


def display_slices(whole: WholeCase, predictions: dict[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.generic]]:
    """The slice with most foreground, of images, reference and predictions, turned as it is looked at."""
    case = whole.case
    reference = case.read_whole_target()
    axis = reference.ndim - 1
    position = int((reference > 0).sum(axis=tuple(range(axis))).argmax())
    window = Box((*(0,) * axis, position), (*case.shape[:axis], position + 1))

    def turned(values: NDArray[np.generic]) -> NDArray[np.generic]:
        # Voxels run to the left and to the back (LPS): transposed, rows run from front to back.
        return np.ascontiguousarray(values[..., 0].T)

    name = case.name
    entries = {f"{name}/reference": turned(reference[window.slices])}
    for modality in case.boxes:
        entries[f"{name}/image/{modality}"] = turned(case.read_image(modality, window))
    for subset, labels in predictions.items():
        entries[f"{name}/prediction/{subset}"] = turned(labels[window.slices])
    entries[f"{name}/pixel_mm"] = np.array([case.spacing_mm[1], case.spacing_mm[0]])
    return entries


def evaluate(
    network: Segmenter,
    cases: Iterable[WholeCase],
    study: Study,
    device: torch.device,
    rows_at_once: int,
    out: Path,
) -> pd.DataFrame:
    """Score all cases through all subsets and write `scores.csv` and `examples.npz`.

    Args:
        network: in evaluation mode, on `device`.
        cases: to score.
        study: names and regions.
        device: to compute on.
        rows_at_once: subsets decoded together.
        out: folder of the two files.

    Returns:
        The scores: columns case, subset, region, dice, hd95, hd95_pooled, hd95_reference (mm), prediction_empty,
        reference_empty.
    """
    rows: list[dict[str, object]] = []
    examples: dict[str, NDArray[np.generic]] = {}
    for number, whole in enumerate(cases):
        predictions = predict_subsets(network, whole, study, device, rows_at_once)
        rows += score_case(whole, study, predictions)
        if number < DISPLAYED:
            examples |= display_slices(whole, predictions)
    scores = pd.DataFrame(rows)
    with replacing(out / "examples.npz") as beside:
        np.savez_compressed(beside, **examples)  # type: ignore[arg-type]
    with replacing(out / "scores.csv") as beside:
        scores.to_csv(beside, index=False)
    return scores
