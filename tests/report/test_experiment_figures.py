import base64
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from grid_files import write_grid, write_many_modalities
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from passion.report import experiment_figures as figures
from passion.report import masks
from passion.report.bootstrap import Bootstrap
from passion.report.experiment_views import subset_tables
from passion.report.figures import MODALITY_DASHES, RUN_MARKERS, cycled, dice_by_subset, image_uri, legend, panels
from passion.report.folder import TableOfOne, read_experiment
from passion.report.results import subset_names
from passion.report.theme import CLASS_COLOURS, DARK, INK, MODALITY_COLOURS, PAPER, RUN_COLOURS, themed

FEW = Bootstrap(count=50)


@pytest.fixture(scope="module")
def second(grid: Path) -> TableOfOne:
    return read_experiment(grid).tables[0]


@pytest.fixture(scope="module")
def third(grid: Path) -> TableOfOne:
    return read_experiment(grid).tables[1]


def test_first_and_last_method_keep_their_colours(second: TableOfOne, third: TableOfOne) -> None:
    for table in (second, third):
        colours = figures.method_colours(table)
        assert (colours["Baseline"], colours["+PASSION"]) == RUN_COLOURS[:2]
        assert len(set(colours.values())) == len(table.methods)


def test_the_main_setting_has_the_most_methods(third: TableOfOne) -> None:
    assert figures.main_setting(third) == ("IDT", "rfnet")


def test_bars_are_as_high_as_the_means(third: TableOfOne) -> None:
    figure = figures.average_by_setting(third, FEW)
    [axes] = figure.axes
    heights = sorted(bar.get_height() for bar in axes.patches)
    found = third.scores.groupby(["setting", "network", "method"])["dice"].mean()
    assert heights == pytest.approx(sorted(100 * found))
    # Bars of one setting stand around its tick, however many there are.
    places = {bar.get_x() + bar.get_width() / 2: bar for bar in axes.patches}
    assert min(places, key=lambda place: abs(place - 0)) == pytest.approx(0)


def hidden_labels(figure: Figure) -> list[str]:
    """Those of legends that are not whole on the figure."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    found = []
    for text in (text for one in figure.legends for text in one.get_texts()):
        bounds = text.get_window_extent(renderer)
        if bounds.x0 < 0 or bounds.x1 > figure.bbox.x1 or bounds.y0 < 0 or bounds.y1 > figure.bbox.y1:
            found.append(text.get_text())
    return found


def test_legends_are_whole(second: TableOfOne, third: TableOfOne) -> None:
    for table in (second, third):
        drawn = [
            figures.average_by_setting(table, FEW),
            figures.subset_matrix(table, *figures.main_setting(table), FEW),
            figures.gain_by_rate(table, FEW),
            figures.preference_and_dice(table, FEW),
        ]
        assert [hidden_labels(figure) for figure in drawn if figure is not None] == [[], [], [], []]


def test_a_legend_takes_what_room_it_needs() -> None:
    for names in (["a", "b"], ["a method whose name is rather long"] * 9, ["a run " * 30] * 2):
        figure, [[axes]] = panels(1, 1, (5.0, 3.0))
        legend(figure, [Line2D([], [], label=name) for name in names])
        assert hidden_labels(figure) == []
        assert axes.get_position().height * figure.get_figheight() > 2
    figure, _ = panels(1, 1, (5.0, 3.0))
    legend(figure, [Line2D([], [], label=name) for name in "ab"])
    assert figure.get_size_inches().tolist() == [5.0, 3.0]


def test_more_subsets_than_anybody_looks_through_are_shown_by_size(tmp_path: Path) -> None:
    [table] = read_experiment(write_many_modalities(tmp_path / "out")).tables
    baseline, passion = table.runs.values()
    for figure in (figures.subset_matrix(table, "IDT", "mmformer", FEW), dice_by_subset([baseline, passion])):
        assert figure.get_figheight() < 6
        assert [text.get_text() for text in figure.axes[0].texts][1:] == [f"{size} of 7" for size in range(1, 8)]
    sizes = baseline.scores["subset"].str.count(r"\+") + 1
    figure = figures.subset_matrix(table, "IDT", "mmformer", FEW)
    drawn = sorted(float(x) for line in figure.axes[1].lines for x in line.get_xdata())
    expected = 100 * pd.concat([run.scores.groupby(sizes)["dice"].mean() for run in (baseline, passion)])
    assert drawn == pytest.approx(sorted(expected))
    view, *_ = subset_tables(table, FEW)["WT"]
    assert [row.name for row in view.rows] == [*(f"{size} of 7" for size in range(1, 8)), "Average", "Weighted"]
    own = baseline.scores[(sizes == 3) & (baseline.scores["region"] == "WT")]["dice"].mean()
    assert view.rows[2].cells[0].text.startswith(f"{100 * own:.1f} [")


def test_dots_are_two_collections(second: TableOfOne) -> None:
    left, *_ = figures.subset_matrix(second, *figures.main_setting(second), FEW).axes
    assert len(left.lines) == 0
    full, empty = (collection.get_offsets().tolist() for collection in left.collections)
    names = subset_names(second.study)
    assert sorted(full) == [
        [x, y] for x in range(4) for y in range(15) if second.study.modalities[x] in names[y].split("+")
    ]
    assert len(full) + len(empty) == 15 * 4


def test_gains_stand_at_the_missing_rates(second: TableOfOne) -> None:
    figure = figures.gain_by_rate(second, FEW)
    assert figure is not None
    points = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    at = [float(line.get_xdata()[0]) for line in points]
    assert at == pytest.approx([20 - 1.5, 40 - 0.5, 60 + 0.5, 80 + 1.5])
    alone = second.scores[(second.scores["subset"] == "t2")].groupby("method")["dice"].mean()
    assert points[3].get_ydata()[0] == pytest.approx(100 * (alone["+PASSION"] - alone["Baseline"]))


def test_what_is_missing_is_not_drawn(tmp_path: Path) -> None:
    out = write_grid(tmp_path / "out", ["table2"], seeds=1, cases=2, unfinished=["baseline"])
    for path in out.glob("runs/*/history.csv"):
        path.write_text("epoch,quantity,part,value\n0,total,,1\n")
    [table] = read_experiment(out).tables
    assert figures.gain_by_rate(table, FEW) is None
    assert figures.preference_and_dice(table, FEW) is None
    assert len(figures.subset_matrix(table, *figures.main_setting(table), FEW).axes) == 2


def test_histories_are_means_over_seeds(second: TableOfOne) -> None:
    setting, network = figures.main_setting(second)
    run = figures.mean_runs(second, setting, network)[0]
    seeds = second.runs_of(setting, network, "Baseline")
    assert run.name == "Baseline"
    expected = (seeds[0].curve("preference") + seeds[1].curve("preference")) / 2
    assert run.curve("preference").to_numpy() == pytest.approx(expected.to_numpy())


def test_figures_go_with_dark_pages(second: TableOfOne) -> None:
    uri = image_uri(figures.average_by_setting(second, FEW))
    svg = base64.b64decode(uri.partition(",")[2]).decode()
    rules, drawing = svg.split("</style>", 1)
    assert "prefers-color-scheme: dark" in rules
    assert not any(colour in drawing for colour in DARK)
    assert f"fill: {PAPER}" not in drawing
    used = set(re.findall(r"var\((--\w+)\)", drawing))
    assert used <= set(re.findall(r"(--\w+):", rules))


def test_what_looks_alike_is_one_thing() -> None:
    assert len({(cycled(RUN_COLOURS, n), cycled(RUN_MARKERS, n)) for n in range(50)}) == 50
    assert len({(cycled(MODALITY_COLOURS, n), cycled(RUN_MARKERS, n)) for n in range(50)}) == 50
    assert len({(cycled(MODALITY_COLOURS, n), str(cycled(MODALITY_DASHES, n))) for n in range(28)}) == 28


# What eyes without one kind of cones make of linear red, green and blue.
# Source: Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision deficiency",
# IEEE Transactions on Visualization and Computer Graphics 2009.
EYES = {
    "all": np.eye(3),
    "no long": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "no middle": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "no short": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9309, 0.1476], [0.0047, 0.6914, 0.3039]],
}


@pytest.mark.parametrize("eye", EYES)
def test_classes_are_told_apart_by_all_eyes(eye: str) -> None:
    shades = np.array([[int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] for colour in CLASS_COLOURS])
    linear = np.where(shades <= 0.04045, shades / 12.92, ((shades + 0.055) / 1.055) ** 2.4)
    seen = (linear @ np.transpose(EYES[eye])).clip(0, 1)
    # CIELAB: two neighbouring patches whose distance is 2 are just told apart.
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(seen @ to_xyz.T / (0.9505, 1, 1.089)).T
    lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
    apart = np.linalg.norm(lab[:, None] - lab, axis=-1)
    assert apart[np.triu_indices(len(lab), 1)].min() > 15


def test_all_that_is_written_on_masks_goes_with_dark_pages(second: TableOfOne) -> None:
    _, runs = second.of_one_seed(*figures.main_setting(second))
    uri = image_uri(masks.mask_figure(list(runs.values())[:2], "case000"))
    svg = base64.b64decode(uri.partition(",")[2]).decode()
    # Matplotlib writes no colour for what is black, and so none that a dark page could replace.
    written = re.findall(r'<g id="text_\d+">.*?<g (.*?)>', svg, re.DOTALL)
    assert len(written) > 10
    assert all("fill: var(" in style for style in written)
    assert "#000000" not in RUN_COLOURS


def test_every_dark_colour_stands_out_from_dark_paper_and_every_light_one_from_white() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        high, low = sorted((luminance(one), luminance(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for colour in RUN_COLOURS:
        assert contrast(DARK.get(colour, colour), "#171c23") > 3
    assert contrast(INK, PAPER) > 7
    assert contrast(DARK[INK], "#171c23") > 7
    assert themed("<defs>") != "<defs>"
