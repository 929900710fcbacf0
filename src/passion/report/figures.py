"""The paper's figures from run folders; every run and every modality keeps its colour throughout."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from passion.data.study import Study
from passion.report.results import Run
from passion.report.tables import AVERAGE_COLUMN, AVERAGE_ROW, has_row_per_subset, subset_rows, subset_table
from passion.report.theme import FAINT, GRID, INK, LINK, MODALITY_COLOURS, PAPER, RUN_COLOURS, themed

if TYPE_CHECKING:
    from matplotlib.typing import LegendLocType

WHOLE = ""
"""What the history calls a quantity that has no parts."""

RUN_MARKERS = ("o", "D", "s", "^", "v", "P", "X", "*")
"""Not as many as there are colours, and no multiple: so a colour comes back with another marker."""
MODALITY_DASHES: tuple[Any, ...] = ("-", (0, (6, 1.5)), (0, (3, 1.2, 1, 1.2)), (0, (1.2, 1.2)))
TEXT_SIZE = 10
MOST_COLUMNS = 3
MOST_LABELS = 6
"""Of a legend, in a line."""
LINE_INCHES = 1.6 * TEXT_SIZE / 72
IMAGE_DPI = 130
"""Of what is drawn as pixels."""


def image_uri(figure: Figure) -> str:
    """`figure` as a data URI, an SVG that is the same at every call and goes with light and dark pages."""
    buffer = io.StringIO()
    _settle(figure)
    # Printed directly, because `savefig` draws twice.
    figure.set_dpi(IMAGE_DPI)
    with rc_context({"svg.hashsalt": "passion"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})  # type: ignore[no-untyped-call]
    return f"data:image/svg+xml;base64,{base64.b64encode(themed(buffer.getvalue()).encode()).decode()}"


def _settle(figure: Figure) -> None:
    """Round what the layout solver found: its last digits, and names made from them, vary from call to call."""
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(edge, 5) for edge in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


def cycled(values: Sequence[Any], index: int) -> Any:
    """The `index`-th of `values`, which start over when they run out."""
    return values[index % len(values)]


def panels(rows: int, columns: int, size: tuple[float, float], **share: Any) -> tuple[Figure, list[list[Axes]]]:
    """A white figure of `size` inches with a grid of plain axes."""
    figure = Figure(figsize=size, layout="constrained", facecolor=PAPER)
    grid = figure.subplots(rows, columns, squeeze=False, **share)
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FAINT)
        axes.tick_params(labelsize=TEXT_SIZE, colors=INK, length=3)
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
    return figure, grid.tolist()


def curve_panels(count: int, **share: Any) -> tuple[Figure, list[Axes]]:
    """`count` axes for curves over epochs, at most MOST_COLUMNS side by side."""
    columns = min(count, MOST_COLUMNS)
    rows = -(-count // columns)
    figure, grid = panels(rows, columns, (max(3.6 * columns, 5.0), 2.7 * rows + 0.4), **share)
    flat = [axes for row in grid for axes in row]
    for axes in flat[count:]:
        axes.set_visible(False)
    for place, axes in enumerate(flat[:count]):
        if place + columns >= count:
            axes.set_xlabel("Epoch", fontsize=TEXT_SIZE, color=INK)
            axes.tick_params(labelbottom=True)
    return figure, flat[:count]


def legend(figure: Figure, handles: Sequence[Any], place: "LegendLocType" = "outside upper left") -> None:
    """Beside the axes, in as few lines as the labels leave; the figure grows where it is too small for them."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    for columns in range(min(len(handles), MOST_LABELS), 0, -1):
        shown = figure.legend(
            handles=list(handles),
            loc=place,
            ncols=columns,
            frameon=False,
            handlelength=2.6,
            fontsize=TEXT_SIZE,
            labelcolor=INK,
        )
        width = shown.get_window_extent(renderer).width / figure.dpi + TEXT_SIZE / 72
        if width <= figure.get_figwidth():
            break
        if columns > 1:
            shown.remove()
    further_lines = -(-len(handles) // columns) - 1
    figure.set_size_inches(max(figure.get_figwidth(), width), figure.get_figheight() + further_lines * LINE_INCHES)


def _run_dashes(index: int) -> Any:
    """Of the line of the `index`-th run: others each time the colours start over."""
    return cycled(MODALITY_DASHES, index // len(RUN_COLOURS))


def _run_handles(runs: Sequence[Run], marked: bool) -> list[Line2D]:
    return [
        Line2D(
            [],
            [],
            color=cycled(RUN_COLOURS, index),
            marker=cycled(RUN_MARKERS, index) if marked else "",
            linestyle="" if marked else _run_dashes(index),
            label=run.name,
        )
        for index, run in enumerate(runs)
    ]


def modality_curves(runs: Sequence[Run], quantity: str, label: str, level: float | None = None) -> Figure | None:
    """A panel a run on shared axes, a line a modality (the paper's Figure 6).

    None where no run logged `quantity`.

    Args:
        runs: those that did not log `quantity` get no panel.
        quantity: its name in the history.
        label: of the vertical axis.
        level: where to draw the line that balance would lie on, such as 0 for the relative preference.
    """
    logged = [(run, curve) for run in runs if not (curve := run.curve(quantity)).empty]
    if not logged:
        return None
    figure, flat = curve_panels(len(logged), sharex=True, sharey=True)
    modalities = runs[0].study.modalities
    styles = {
        name: {
            "color": cycled(MODALITY_COLOURS, i),
            "linestyle": cycled(MODALITY_DASHES, i),
            "linewidth": 1.8,
        }
        for i, name in enumerate(modalities)
    }
    for place, (axes, (run, curve)) in enumerate(zip(flat, logged, strict=True)):
        if level is not None:
            axes.axhline(level, color=INK, linewidth=1.0)
        for name in modalities:
            if name in curve:
                axes.plot(curve.index, curve[name], **styles[name])
        axes.set_title(run.name, fontsize=TEXT_SIZE + 1, color=INK, loc="left")
        if place % MOST_COLUMNS == 0:
            axes.set_ylabel(label, fontsize=TEXT_SIZE, color=INK)
    legend(figure, [Line2D([], [], label=name, **style) for name, style in styles.items()])
    return figure


def run_curves(runs: Sequence[Run], quantities: Mapping[str, str]) -> Figure | None:
    """A panel a quantity, a line a run; None where no run logged any.

    Args:
        runs: in the order of their colours.
        quantities: names in the history and their labels, with units; only those of the whole, without parts.
    """
    logged = [name for name in quantities if any(WHOLE in run.curve(name) for run in runs)]
    if not logged:
        return None
    figure, flat = curve_panels(len(logged), sharex=True)
    for axes, name in zip(flat, logged, strict=True):
        for index, run in enumerate(runs):
            curve = run.curve(name)
            if WHOLE in curve:
                style = {"color": cycled(RUN_COLOURS, index), "linestyle": _run_dashes(index)}
                axes.plot(curve.index, curve[WHOLE], linewidth=1.6, **style)
        axes.set_title(quantities[name], fontsize=TEXT_SIZE + 1, color=INK, loc="left")
    legend(figure, _run_handles(runs, marked=False))
    return figure


def dice_by_subset(runs: Sequence[Run]) -> Figure:
    """Dice in % by `subset_rows` and their average: panels regions, marks runs (Table 3)."""
    study = runs[0].study
    tables = [_by_rows(subset_table(run.scores, study), study) for run in runs]
    count = len(tables[0])
    rows = [*range(count - 1), count - 0.4]
    regions = [*study.regions, AVERAGE_COLUMN]
    figure, [[names, *columns]] = panels(
        1,
        1 + len(regions),
        (2.0 + 2.1 * len(regions), 0.27 * count + 1.3),
        sharey=True,
        width_ratios=[0.36 * len(study.modalities), *[2.1] * len(regions)],
    )
    name_rows(names, study, AVERAGE_ROW)
    for axes, region in zip(columns, regions, strict=True):
        _dumbbells(axes, np.array([table[region] for table in tables]), np.array(rows))
        axes.axhline(count - 1.2, color=FAINT, linewidth=0.8)
        axes.set_title(region, fontsize=TEXT_SIZE + 1, color=INK, loc="left")
        axes.set_xlabel("Dice [%]", fontsize=TEXT_SIZE, color=INK)
    names.set_yticks(rows)
    names.set_ylim(count, -0.7)
    legend(figure, _run_handles(runs, marked=True))
    return figure


def _by_rows(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """A `subset_table` with the `subset_rows`."""
    rows = pd.Series(subset_rows(study), name="row")
    means = table.drop(index=AVERAGE_ROW).groupby(rows, sort=False).mean()
    return pd.concat([means, table.loc[[AVERAGE_ROW]]])


def _dumbbells(axes: Axes, values: NDArray[np.float64], rows: NDArray[np.float64]) -> None:
    """Marks at `values` (runs, rows), joined along each row."""
    known = np.isfinite(values).any(axis=0)
    least, most = np.nanmin(values[:, known], axis=0), np.nanmax(values[:, known], axis=0)
    axes.hlines(rows[known], least, most, color=LINK, lw=2)
    for index, row in enumerate(values):
        colour, marker = cycled(RUN_COLOURS, index), cycled(RUN_MARKERS, index)
        axes.plot(row, rows, marker, color=colour, markersize=6, alpha=0.9)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(4))


def name_rows(axes: Axes, study: Study, last: str = "") -> None:
    """What the `subset_rows` are: the modalities of each as the paper's filled and empty dots, or their number.

    Args:
        axes: beside those with the rows.
        study: has the subsets.
        last: what is written beside a further row below.
    """
    names = list(dict.fromkeys(subset_rows(study).values()))
    axes.set_xlim(-0.6, len(study.modalities) - 0.4)
    axes.tick_params(length=0, labeltop=True, labelbottom=False, labelleft=False)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.text(-0.4, len(names) + 0.6, last, va="center", fontsize=TEXT_SIZE, color=INK, weight="bold")
    if not has_row_per_subset(study):
        axes.set_xticks([])
        for row, name in enumerate(names):
            axes.text(-0.4, row, name, va="center", fontsize=TEXT_SIZE, color=INK)
        return
    axes.set_xticks(range(len(study.modalities)), study.modalities, rotation=90)
    inside = np.array([[modality in name.split("+") for modality in study.modalities] for name in names])
    for chosen, fill in ((inside, INK), (~inside, PAPER)):
        at_rows, at_columns = chosen.nonzero()
        # One collection of all dots: each by itself would make a figure of megabytes.
        axes.scatter(at_columns, at_rows, 6.5**2, fill, edgecolors=INK, linewidths=0.8)


def missing_rates(runs: Sequence[Run]) -> Figure:
    """Bars of the share in % of training cases that lack each modality; runs with equal rates share bars."""
    groups: dict[tuple[float, ...], list[int]] = {}
    for index, run in enumerate(runs):
        groups.setdefault(tuple(run.missing_rates), []).append(index)
    modalities = runs[0].study.modalities
    figure, [[axes]] = panels(1, 1, (1.2 + 1.1 * len(modalities) * (0.6 + 0.4 * len(groups)), 2.9))
    width = 0.7 / len(groups)
    for place, (rates, members) in enumerate(groups.items()):
        colour = FAINT if len(groups) == 1 else cycled(RUN_COLOURS, members[0])
        at = np.arange(len(modalities)) + (place - (len(groups) - 1) / 2) * width
        label = "all runs" if len(groups) == 1 else ", ".join(runs[index].name for index in members)
        bars = axes.bar(at, 100 * np.array(rates), width * 0.92, color=colour, label=label)
        axes.bar_label(bars, fmt="%.0f", fontsize=TEXT_SIZE, color=INK, padding=2)
    axes.set_xticks(range(len(modalities)), modalities)
    axes.set_ylim(0, 100)
    axes.set_ylabel("Missing in training [%]", fontsize=TEXT_SIZE, color=INK)
    axes.grid(visible=False, axis="x")
    if len(groups) > 1:
        legend(figure, axes.get_legend_handles_labels()[0])
    return figure
