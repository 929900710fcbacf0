"""One self-contained HTML page that compares runs: tables, figures, settings; no network requests."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from passion.experiments.states import EVALUATION
from passion.files import write_text
from passion.report.comparison import cautions, read_runs
from passion.report.pictures import RP_CAPTION, figure_view
from passion.report.results import Run
from passion.report.statistics import subset_frequencies
from passion.report.tables import METRICS, about_rows, common_metrics
from passion.report.templates import check_extras, render
from passion.report.views import by_subset, differences, overview

MOST_CASES = 4
"""Cases whose masks are shown."""

LOSSES = {
    "total": "Total loss",
    "segmentation": "Segmentation loss",
    "deep_supervision": "Deep supervision loss",
    "validation_dice": "Validation Dice (0 to 1)",
}
BETA_CAPTION = "Weight β of each modality's pixel-wise distillation; it grows for neglected modalities."
MODALITY_LOSSES = {
    "unimodal": "Uni-modal loss",
    "pixel": "Pixel-wise distillation loss",
    "semantic": "Semantic-wise distillation loss",
    "gap": "Semantic gap D",
    "delta": "Share of samples with δ = 1",
}


def write_report(runs: Sequence[Path], out: Path, notes: Sequence[str] = (), *, evaluation: str = EVALUATION) -> None:
    """Compare `runs` on one HTML page at `out`, written whole or not at all.

    Args:
        runs: run folders, evaluated, of one study.
        out: the HTML file.
        notes: what readers have to know; shown at the top.
        evaluation: which evaluation of each run, {split}-{checkpoint}.

    Raises:
        InputError: no run, runs of different studies, a file that is missing or does not fit, or no
            matplotlib or jinja2.
    """
    check_extras()
    read = read_runs(runs, evaluation)
    notes = [*notes, *cautions(read)]
    page = render("page.html", notes=notes, evaluation=evaluation, **_content(read))
    write_text(Path(out), page)


def _content(runs: Sequence[Run]) -> dict[str, Any]:
    """What the template shows, section by section."""
    metrics = common_metrics(runs)
    main = ("dice", "hd95_pooled")
    frequencies = subset_frequencies(runs[0].presence, runs[0].study)
    return {
        "study": runs[0].study,
        "names": [run.name for run in runs],
        "metrics": {name: METRICS[name] for name in metrics},
        "overview": overview(runs, main, "Averages over all subsets of modalities"),
        "overview_weighted": overview(runs, main, "Weighted averages", frequencies),
        "overview_more": overview(runs, [name for name in metrics if name not in main], "Other metrics"),
        "differences": differences(runs, main),
        "dice_table": by_subset(runs, "dice", frequencies),
        "metric_tables": [by_subset(runs, metric, frequencies) for metric in metrics if metric != "dice"],
        **_figures(runs),
        "runs": [_facts(run) for run in runs],
    }


def _figures(runs: Sequence[Run]) -> dict[str, Any]:
    # Imported here because matplotlib is optional.
    from passion.report import figures, masks

    names = ", ".join(run.name for run in runs)
    balance = [
        (figures.modality_curves(runs, "preference", "Relative preference RP", 0.0), RP_CAPTION),
        (figures.modality_curves(runs, "beta", "Gradient weight β", 1.0), BETA_CAPTION),
    ]
    losses = [(figures.run_curves(runs, LOSSES), "Loss terms over epochs, without a unit.")]
    losses += [
        (figures.modality_curves(runs, quantity, label), f"{label} of each modality.")
        for quantity, label in MODALITY_LOSSES.items()
    ]
    cases = masks.shared_cases(runs)[:MOST_CASES]
    return {
        "dice_figure": figure_view(
            figures.dice_by_subset(runs),
            f"Mean Dice in percent of {names} by what modalities are at hand.",
            f"Mean Dice over cases. {about_rows(runs[0].study)}. Averages at the bottom.",
        ),
        "balance": [figure_view(figure, f"{caption} Runs: {names}.", caption) for figure, caption in balance if figure],
        "losses": [figure_view(figure, f"{caption} Runs: {names}.", caption) for figure, caption in losses if figure],
        "masks": [
            figure_view(
                masks.mask_figure(runs, case),
                f"A slice of case {case}: image, reference and the masks of {names} from growing subsets.",
                f"Case {case}.",
            )
            for case in cases
        ],
        "rates_figure": figure_view(
            figures.missing_rates(runs),
            f"Bars of the share of training cases that lack each modality, for {names}.",
            "Share of the training cases in which each modality is missing.",
        ),
    }


def _facts(run: Run) -> dict[str, Any]:
    """What the template says about one run."""
    seconds = run.curve("seconds")
    epochs = run.history["epoch"].nunique()
    facts = {
        "Method": _named(run.config, "objective"),
        "Network": _named(run.config, "network"),
        "Training cases": str(len(run.presence)),
        "Epochs": str(epochs),
    }
    if "" in seconds:
        facts["Training time"] = f"{seconds[''].sum() / 60:.1f} min"
    counts, rates = run.presence.sum(), run.missing_rates
    return {
        "name": run.name,
        "facts": {name: value for name, value in facts.items() if value},
        "rates": [(name, int(counts[name]), f"{100 * rates[name]:.1f}") for name in run.study.modalities],
        "settings": {name: len(value) if isinstance(value, list) else value for name, value in run.settings.items()},
        "versions": run.versions,
        "config": yaml.safe_dump(dict(run.config), sort_keys=False, allow_unicode=True),
    }


def _named(config: Mapping[str, Any], part: str) -> str:
    """The `name` of a part of the configuration, "" where it has none."""
    section = config.get(part)
    return str(section.get("name", "")) if isinstance(section, Mapping) else str(section or "")
