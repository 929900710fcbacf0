"""Commands that say how good runs are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from passion.errors import InputError, say

Checkpoint = Literal["last", "best"]
By = Literal["subject", "slice"]
Precision = Literal["trained", "fp32", "bf16"]
Part = Literal["val", "test"]
Rows = Literal["region", "subset"]
Metric = Literal["main", "dice", "hd95_pooled", "hd95", "hd95_reference", "surface_dice", "lesion_dice"]


def evaluate(
    run: Path,
    *,
    checkpoint: Checkpoint = "last",
    part: Part = "test",
    prepared: Path | None = None,
    split: Path | None = None,
    device: str = "auto",
    by: By = "subject",
    precision: Precision = "trained",
    tolerance: float = 1.0,
    skip_broken: bool = False,
) -> None:
    """Score a run on every subset of the modalities: Dice, HD95 and more of each case, subset and region.

    Args:
        run: folder of the run, or of an exported model.
        checkpoint: last, or best by validation Dice averaged over all subsets.
        part: of the split.
        prepared: folder of the prepared study, if it is no longer where the run was trained; for an exported model.
        split: CSV file of another split than the run's own, for what was imported or exported, or for other cases.
        device: auto, cpu, cuda, ...
        by: subject scores whole volumes in mm; slice each slice by itself in pixels, as the published 2D code does.
        precision: of the network: trained, the one it was trained in, fp32, or bf16, which is faster.
        tolerance: of the surface Dice, in mm (in pixels by slice).
        skip_broken: leave out cases of the prepared study that are damaged, and name them.
    """
    from passion.evaluation.run import evaluate_run
    from passion.report.results import read_training_presence
    from passion.report.statistics import subset_frequencies
    from passion.report.tables import METRICS, print_table, subset_table

    scores, study, folder = evaluate_run(
        run, checkpoint, part, prepared, device, by, split, precision, tolerance, skip_broken
    )
    presence = read_training_presence(run, study)
    frequencies = None if presence is None else subset_frequencies(presence, study)
    for metric in ("dice", "hd95_pooled"):
        label = METRICS[metric].label
        title = label if by == "subject" else label.replace("[mm]", "[pixels]")
        print_table(subset_table(scores, study, metric, frequencies), f"{run.name}: {title}", study)
    if frequencies is not None:
        say("Weighted: each subset by the share of training cases that have exactly its modalities")
    say(f"{folder}: scores of each case in scores.csv")


def compare(
    runs: Sequence[Path],
    *,
    metric: Metric = "main",
    rows: Rows = "region",
    evaluation: str = "test-last",
    out: Path | None = None,
) -> None:
    """Compare evaluated runs with the first of them, case by case: differences with intervals and corrected p-values.

    Args:
        runs: folders of evaluated runs; those that differ in nothing but their seed are taken together.
        metric: column of scores.csv, or main: dice and hd95_pooled.
        rows: region, over all subsets, or subset, over the averaged regions.
        evaluation: which one of each run, named by its folder in RUN/evaluation: PART-CHECKPOINT.
        out: CSV file for the numbers.
    """
    from passion.report.comparison import print_comparison

    print_comparison(runs, ["dice", "hd95_pooled"] if metric == "main" else [metric], rows, out, evaluation)
    if out:
        say(f"{out}: the numbers")


def report(runs: Sequence[Path], *, out: Path, evaluation: str = "test-last", serve: bool = False) -> None:
    """Write a page that compares runs, or that of an experiment: who wins, tables, figures, masks.

    Args:
        runs: folders of evaluated runs, or the one folder of an experiment.
        out: HTML file to write; of an experiment, a folder.
        evaluation: which one of each run, named by its folder in RUN/evaluation: PART-CHECKPOINT; not of an experiment.
        serve: show the page of an experiment at an address of this machine until Ctrl-C.
    """
    from passion.report.experiment_page import write_experiment_report
    from passion.report.folder import is_experiment
    from passion.report.page import write_report
    from passion.report.serving import serve as serve_folder

    experiments = [folder for folder in runs if is_experiment(folder)]
    if experiments and len(runs) > 1:
        raise InputError(f"{experiments[0]}: is the folder of an experiment; give it alone, or give runs in its runs/")
    if experiments and evaluation != "test-last":
        raise InputError(f"--evaluation {evaluation}: is for the page of runs; an experiment has test-last only")
    if serve and not experiments:
        raise InputError("--serve: is for the page of an experiment; that of runs is one file that any browser opens")
    if not experiments:
        write_report(runs, out, evaluation=evaluation)
        say(f"{out}: open it in a browser")
        return
    say(f"{write_experiment_report(runs[0], out)}: open it in a browser")
    if serve:
        serve_folder(out)
