"""The page of a grid of runs: who wins, the paper's tables with the paper's numbers beside, figures, cases in 3D."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from passion.errors import InputError
from passion.experiments.states import State
from passion.files import write_text
from passion.parallel import track
from passion.report.bootstrap import USUAL, Bootstrap
from passion.report.comparison import cell_cautions, from_to, phantom_notes
from passion.report.experiment_views import (
    HONEST_DISTANCE,
    PAPER_DISTANCE,
    TITLES,
    region_tables,
    subset_tables,
    title_of,
)
from passion.report.folder import Experiment, TableOfOne, read_experiment
from passion.report.pictures import RP_CAPTION, FigureView, figure_view
from passion.report.results import Run
from passion.report.tables import AVERAGE_COLUMN, METRICS, about_rows
from passion.report.templates import check_extras, read, render
from passion.report.verdicts import verdicts
from passion.report.views import TableView

MOST_CASES = 2
"""Cases whose masks are shown, of each table and study."""
WITHOUT_PREFERENCE = "+pixel+semantic"
"""PASSION without what the relative preference does, in Table 2."""
BARS_CAPTION = (
    "Mean Dice over all subsets and regions, with 95 % intervals; diamonds: the paper (its Figure 3). "
    "The axis does not start at 0."
)
PAGE, VIEWER = "index.html", "viewer"


@dataclass(frozen=True)
class Section:
    """What the page shows of one table of one study."""

    key: str
    title: str
    tables: Sequence[TableView]
    more: Sequence[tuple[str, Sequence[TableView]]]
    bars: FigureView
    modalities: Sequence[FigureView]
    balance: Sequence[FigureView]
    masks: Sequence[FigureView]


def write_experiment_report(folder: Path, out: Path, bootstrap: Bootstrap = USUAL) -> Path:
    """Write the page of the grid of runs in `folder` to the folder `out`, finished cells or not.

    Nothing else in `out` is touched, and the page is written last.

    Args:
        folder: that `passion experiment` wrote.
        out: folder for index.html and viewer/.
        bootstrap: of all intervals.

    Returns:
        The page.

    Raises:
        InputError: see `read_experiment`; `out` cannot be such a folder; or no matplotlib or jinja2.
    """
    check_extras()
    if out.suffix in (".html", ".htm") or out.is_file():
        raise InputError(f"--out {out}: the page of an experiment is a folder; give one, such as {out.with_suffix('')}")
    if (out / VIEWER).exists() and not (out / VIEWER / "cases.js").exists():
        raise InputError(f"--out {out}: {out / VIEWER} is not a page's; choose another folder")
    experiment = read_experiment(folder)
    # Imported here because matplotlib is optional.
    from passion.report.viewer_data import pack_cases, write_viewer

    begun = [table for table in experiment.tables if table.study is not None]
    made = _made(begun, bootstrap)
    found = [verdict for parts in made for verdict in parts.pop("verdicts")]
    sections = [
        Section(_anchor(table), title_of(table), *parts.pop("tables"), **parts)
        for table, parts in zip(begun, made, strict=True)
    ]
    scripts = pack_cases(experiment)
    page = render(
        "experiment.html",
        experiment=folder.resolve().name,
        datasets=list(dict.fromkeys(table.dataset for table in begun)),
        tables=list(dict.fromkeys(TITLES.get(table.name, table.name) for table in begun)),
        notes=_notes(begun),
        verdicts=found,
        sections=sections,
        metrics={name: METRICS[name] for name in ("dice", HONEST_DISTANCE, PAPER_DISTANCE)},
        done=experiment.cells - len(experiment.unfinished),
        cells=experiment.cells,
        unfinished=_unfinished(experiment),
        trainings=[_training(table) for table in begun],
        viewer=bool(scripts),
        more_style=read("experiment.css"),
        sort=read("viewer/sort.js"),
    )
    write_viewer(scripts, out / VIEWER)
    write_text(out / PAGE, page)
    return out / PAGE


def _anchor(table: TableOfOne) -> str:
    """What links lead to its section by, whatever else is finished."""
    return re.sub(r"[^\w-]+", "-", f"{table.name}-{table.dataset}")


def _notes(tables: Sequence[TableOfOne]) -> list[str]:
    """What readers have to know of the cases and scores of each study."""
    of_studies: dict[str, dict[str, Run]] = {}
    for table in tables:
        of_studies.setdefault(table.dataset, {}).update(table.runs)
    return [
        note
        for dataset, runs in of_studies.items()
        for note in (
            *phantom_notes(list(runs.values())),
            *(f"{dataset}: {caution}" for caution in cell_cautions(list(runs.values()))),
        )
    ]


def _bars(table: TableOfOne, bootstrap: Bootstrap) -> FigureView:
    from passion.report.experiment_figures import average_by_setting

    return figure_view(average_by_setting(table, bootstrap), f"{title_of(table)}: {BARS_CAPTION}", BARS_CAPTION)


def _modalities(table: TableOfOne, bootstrap: Bootstrap) -> list[FigureView]:
    """Dice by subset, the gain of each modality, and how that goes with the relative preference."""
    from passion.report import experiment_figures as figures

    assert table.study is not None
    setting, network = figures.main_setting(table)
    first, last = table.methods[0], table.methods[-1]
    rows = about_rows(table.study)
    drawn = {
        f"{rows}; {setting}, {network}. Marks: the methods, with 95 % intervals.": figures.subset_matrix(
            table, setting, network, bootstrap
        ),
        f"What {last} gains over {first} with one modality alone, against how often that was missing in training; "
        "all settings, 95 % intervals.": figures.gain_by_rate(table, bootstrap),
        "Dice with one modality alone against its relative preference at the end of training. Empty marks: "
        f"{first}; full: {last}; lines join the two of one setting.": figures.preference_and_dice(table, bootstrap),
    }
    return [
        figure_view(figure, f"{title_of(table)}: {caption}", caption)
        for caption, figure in drawn.items()
        if figure is not None
    ]


def _tables(table: TableOfOne, bootstrap: Bootstrap) -> tuple[list[TableView], list[tuple[str, Sequence[TableView]]]]:
    """Those that are shown at once, and those behind a summary."""
    more: list[tuple[str, Sequence[TableView]]] = []
    if table.shape == "subsets":
        found = subset_tables(table, bootstrap)
        tables = found.pop(AVERAGE_COLUMN)
        more.append(("Dice of each region, by subset", [view for views in found.values() for view in views]))
    else:
        tables = region_tables(table, "dice", bootstrap)
    more += [
        (f"{METRICS[metric].label}: {what}", region_tables(table, metric, bootstrap))
        for metric, what in (
            (HONEST_DISTANCE, "empty predictions count as the diagonal of the image"),
            (PAPER_DISTANCE, "as the paper computes it, to be compared with its numbers only"),
        )
    ]
    return tables, more


def _balance(table: TableOfOne, _: Bootstrap) -> list[FigureView]:
    from passion.report.experiment_figures import main_setting, mean_runs
    from passion.report.figures import modality_curves

    setting, network = main_setting(table)
    runs = mean_runs(table, setting, network)
    chosen = [run for run in runs if run.name in (table.methods[0], WITHOUT_PREFERENCE, table.methods[-1])]
    figure = modality_curves(chosen, "preference", "Relative preference RP", 0.0)
    if figure is None:
        return []
    caption = f"{RP_CAPTION} {setting}, {network}, mean over seeds."
    alt = f"{title_of(table)}: {caption} {', '.join(run.name for run in chosen)}."
    return [figure_view(figure, alt, caption)]


def _masks(table: TableOfOne, _: Bootstrap) -> list[FigureView]:
    from passion.report.experiment_figures import main_setting
    from passion.report.masks import mask_figure, shared_cases

    setting, network = main_setting(table)
    seed, of_one_seed = table.of_one_seed(setting, network)
    runs = [replace(run, name=method) for method, run in of_one_seed.items()]
    names = ", ".join(of_one_seed)
    return [
        figure_view(
            mask_figure(runs, case),
            f"{title_of(table)}: a slice of case {case}: image, reference and the masks of {names}.",
            f"Case {case}, {setting}, {network}, seed {seed}.",
        )
        for case in shared_cases(runs)[:MOST_CASES]
    ]


PARTS: Mapping[str, Callable[[TableOfOne, Bootstrap], Any]] = {
    "verdicts": verdicts, "tables": _tables, "bars": _bars, "modalities": _modalities, "balance": _balance,
    "masks": _masks,
}  # fmt: skip
"""What is worked out of each table, one after another."""


def _made(tables: Sequence[TableOfOne], bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """The PARTS of each table."""
    made: list[dict[str, Any]] = [{} for _ in tables]
    work = [(parts, table, name) for parts, table in zip(made, tables, strict=True) for name in PARTS]
    for parts, table, name in track(work, len(work), "Writing tables and figures"):
        parts[name] = PARTS[name](table, bootstrap)
    return made


def _unfinished(experiment: Experiment) -> list[tuple[str, str, str]]:
    """Name, state and reason of each cell that is not done."""
    words = {State.BROKEN: "broken", State.BEGUN: "begun", State.NEW: "not begun"}
    return [(place.cell, words[place.state], place.reason) for place in experiment.unfinished]


def _training(table: TableOfOne) -> dict[str, Any]:
    """How the finished runs of a table were trained; values that differ between them stand side by side."""
    runs = table.runs.values()
    finished = [len(table.runs_of(*row)) for row in table.rows]
    facts: dict[str, list[object]] = {
        "Training cases": [len(run.presence) for run in runs],
        "Test cases": [len(run.cases) for run in runs],
        "Epochs": [f"{run.history['epoch'].max() + 1:g}" for run in runs],
        "Finished seeds": [f"{from_to(finished)} of {table.seeds}"],
        "Dimensions": [f"{run.study.spatial_dims}D" for run in runs],
        "Patch": [patch for run in runs if (patch := _patch(run)) is not None],
    }
    told = {name: ", ".join(dict.fromkeys(map(str, values))) for name, values in facts.items()}
    return {"title": title_of(table), "facts": {name: value for name, value in told.items() if value}}


def _patch(run: Run) -> object:
    """Size of the patches that a run was trained on; None where its configuration does not say."""
    data = run.config.get("data")
    return data.get("patch_size") if isinstance(data, dict) else None
