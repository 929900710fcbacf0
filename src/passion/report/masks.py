"""Predicted masks over slices for growing subsets (the paper's Figures 4 and 5)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from passion.report.figures import TEXT_SIZE, cycled, legend
from passion.report.results import Example, Run, subset_names
from passion.report.theme import CLASS_COLOURS, FAINT, INK, PAPER

MOST_SUBSETS = 5
OPACITY = 0.6
MARGIN_PIXELS = 4


def chosen_subsets(runs: Sequence[Run], case: str) -> list[str]:
    """Subsets that every run answered for `case`, one of each size: the one that was rarest in training.

    With missing rates that rise along the study, these are the paper's: the rarest modality alone, then the
    two rarest, and so on to all. Of more than MOST_SUBSETS sizes, evenly spaced ones are kept.
    """
    study = runs[0].study
    rates = runs[0].missing_rates
    answered = [
        name
        for name in subset_names(study)
        if all(name in run.examples[case].predictions for run in runs)
        and set(name.split("+")) <= runs[0].examples[case].images.keys()
    ]
    rarest: dict[int, str] = {}
    for name in sorted(answered, key=lambda name: -float(rates[name.split("+")].sum())):
        rarest.setdefault(name.count("+"), name)
    sizes = sorted(rarest)
    if not sizes:
        return []
    kept = np.unique(np.linspace(0, len(sizes) - 1, min(len(sizes), MOST_SUBSETS)).round().astype(int))
    return [rarest[sizes[place]] for place in kept]


def shared_cases(runs: Sequence[Run]) -> list[str]:
    """Cases of which every run stored a slice and answered a common subset."""
    shared = [case for case in runs[0].examples if all(case in run.examples for run in runs)]
    return [case for case in shared if chosen_subsets(runs, case)]


def mask_figure(runs: Sequence[Run], case: str) -> Figure:
    """Columns: growing subsets over one of their modalities. Rows: the slice, the reference, and each run.

    A white line around a prediction is the outline of the reference, all classes together; below it stands
    the mean Dice in % over the regions of the whole case. A column's image is the modality of the subset that
    was least often missing in training.
    """
    study = runs[0].study
    subsets = chosen_subsets(runs, case)
    example = runs[0].examples[case]
    window = _window(example)
    height, width = example.reference[window].shape
    cell = 2.0
    rise = cell * (height * example.pixel_mm[0]) / (width * example.pixel_mm[1])
    rows = ["Image", "Reference", *(run.name for run in runs)]
    figure = Figure(
        figsize=(cell * len(subsets) + 0.5, (rise + 0.24) * len(rows) + 0.9),
        layout="constrained",
        facecolor=PAPER,
    )
    grid = figure.subplots(len(rows), len(subsets), squeeze=False)
    rates = runs[0].missing_rates
    for column, subset in zip(grid.T, subsets, strict=True):
        shown = min((name for name in subset.split("+") if name in example.images), key=lambda name: rates[name])
        for axes in column:
            _slice(axes, example.images[shown][window], example.pixel_mm)
        column[0].set_title(" + ".join(subset.split("+")), fontsize=TEXT_SIZE, color=INK)
        column[0].set_xlabel(f"shown on {shown}", fontsize=TEXT_SIZE - 1, color=FAINT, labelpad=3)
        _overlay(column[1], example.reference[window])
        for axes, run in zip(column[2:], runs, strict=True):
            _overlay(axes, run.examples[case].predictions[subset][window])
            _outline(axes, run.examples[case].reference[window])
            axes.set_xlabel(_dice_label(run, case, subset), fontsize=TEXT_SIZE - 1, color=INK, labelpad=3)
    for axes, label in zip(grid[:, 0], rows, strict=True):
        axes.set_ylabel(label, fontsize=TEXT_SIZE, color=INK)
    classes = list(study.classes)[1:]
    handles = [Patch(color=cycled(CLASS_COLOURS, index), label=name) for index, name in enumerate(classes)]
    legend(figure, handles, "outside lower left")
    return figure


def _window(example: Example) -> tuple[slice, slice]:
    """The box of what is not background in any image or mask, and a margin."""
    content = np.any([example.reference > 0, *(image != 0 for image in example.images.values())], axis=0)
    window = []
    for axis in (1, 0):
        hits = np.flatnonzero(content.any(axis=axis)) if content.any() else np.arange(content.shape[1 - axis])
        window.append(slice(max(int(hits[0]) - MARGIN_PIXELS, 0), int(hits[-1]) + 1 + MARGIN_PIXELS))
    return window[0], window[1]


def _slice(axes: Axes, image: NDArray[np.float32], pixel_mm: tuple[float, float]) -> None:
    inside = image[image != 0]
    low, high = np.percentile(inside, (1, 99.5)) if inside.size else (0.0, 1.0)
    # Normalised images have zero background in the middle of their range: it belongs at the dark end.
    axes.imshow(np.where(image == 0, low, image), cmap="gray", vmin=low, vmax=high, aspect=pixel_mm[0] / pixel_mm[1])
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _overlay(axes: Axes, mask: NDArray[np.uint8]) -> None:
    colours: list[Any] = [(0.0, 0.0, 0.0, 0.0)]
    colours += [to_rgba(cycled(CLASS_COLOURS, index), OPACITY) for index in range(int(mask.max(initial=0)))]
    axes.imshow(np.array(colours)[mask], aspect=axes.get_aspect(), interpolation="nearest")


def _outline(axes: Axes, reference: NDArray[np.uint8]) -> None:
    inside = reference > 0
    if inside.any() and not inside.all():
        axes.contour(inside, levels=[0.5], colors="white", linewidths=1.0)


def _dice_label(run: Run, case: str, subset: str) -> str:
    scores = run.scores
    shown = scores["region"].isin(run.study.averaged_regions)
    dice = scores.loc[(scores["case"] == case) & (scores["subset"] == subset) & shown, "dice"]
    return f"Dice {100 * dice.mean():.1f} %" if len(dice) else "not scored"
