"""The command line: one function a command; its signature and docstring are its options and help."""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from passion import __version__
from passion.allocator import keep_freed_memory
from passion.errors import InputError, note
from passion.failures import report_failure

if TYPE_CHECKING:
    from passion.configuration import Configuration
    from passion.prediction import Predictor


class Terminated(SystemExit):
    """The process was asked to end: what is being written is cleaned up on the way out."""


Size = Literal["full"] | int
Checkpoint = Literal["last", "best"]
By = Literal["subject", "slice"]
Precision = Literal["trained", "fp32", "bf16"]
Part = Literal["val", "test"]
Rows = Literal["region", "subset"]
Metric = Literal["paper", "dice", "hd95_pooled", "hd95", "hd95_reference", "surface_dice", "lesion_dice"]
Blend = Literal["constant", "gaussian"]
Format = Literal["safetensors", "monai"]
Cluster = Literal["slurm", "local", "debug"]


def phantom_brain(out: Path, *, cases: int = 60, size: Size = 80, seed: int = 0) -> None:
    """Write a brain-tumour study with known truth, in BraTS2020's layout.

    Args:
        out: folder of the study; a study that was begun there with the same options is continued.
        cases: how many.
        size: voxels along each axis (the brain is the same: fewer are larger), or full: 240 x 240 x 155 at 1 mm.
        seed: of everything; the same seed gives the same bytes.
    """
    from passion.data.phantom.brain import write_study
    from passion.parallel import track

    write_study(out, cases, size, seed, lambda numbers: track(numbers, cases, "Writing phantoms"))
    say(f"{out}: {cases} cases")


def phantom_heart(out: Path, *, cases: int = 25, seed: int = 0) -> None:
    """Write a study of hearts with scar and edema and known truth, in MyoPS2020's layout.

    Args:
        out: folder of the study; a study that was begun there with the same options is continued.
        cases: how many.
        seed: of everything; the same seed gives the same bytes.
    """
    from passion.data.phantom.heart import write_study
    from passion.parallel import track

    write_study(out, cases, seed, lambda numbers: track(numbers, cases, "Writing phantoms"))
    say(f"{out}: {cases} cases")


def inspect(
    raw: Path, *, layout: str | None = None, resample: str | None = None, json: bool = False, workers: int = 2
) -> int:
    """Say what a raw study holds and every problem found in any file; exit code 2 when one would stop a later step.

    Args:
        raw: folder of the study, or CSV file that lists its cases.
        layout: name of the layout on disk, such as nnunet; found out by looking where it is not given.
        resample: as for prepare: files of a case on different grids are then no problem.
        json: print JSON instead of tables.
        workers: processes that read.
    """
    from passion.data.geometry import with_geometry
    from passion.data.inspection import inspect_study
    from passion.data.sources import read_study
    from passion.overview import print_inspection, print_json

    study, cases = read_study(raw, layout)
    found = inspect_study(with_geometry(study, resample), cases, raw, workers)
    if json:
        print_json(found.to_dict())
    else:
        print_inspection(found)
    return 2 if found.all_problems else 0


def convert(
    raw: Path,
    out: Path,
    *,
    to: str,
    layout: str | None = None,
    complete: bool = False,
    link: bool = False,
    workers: int = 2,
) -> None:
    """Write a raw study in another layout, for other programs or as a start for one's own: nnU-Net, a manifest, ...

    Args:
        raw: folder of the study, or CSV file that lists its cases.
        out: folder to write; a run that was stopped is continued.
        to: layout to write: brats, brats2023, decathlon, manifest, myops or nnunet.
        layout: name of the layout on disk, such as brats; found out by looking where it is not given.
        complete: leave out the cases that lack a modality.
        link: make symbolic links instead of copies, where a file needs no change.
        workers: processes.
    """
    from passion.data.conversion import convert as convert_study
    from passion.data.conversion import papers_in
    from passion.data.sources import read_study, source_named

    source = source_named(to, "--to")
    study, cases = read_study(raw, layout)
    kept = [case for case in cases if len(case.images) == len(study.modalities)] if complete else cases
    if not kept:
        raise InputError(f"{raw}: none of the {len(cases)} cases has every modality; leave out --complete")
    plan = convert_study(study, kept, source, out, papers_in(raw), link, workers)
    say(
        f"{out}: {len(kept)} of {len(cases)} cases, those with every modality"
        if complete
        else f"{out}: {len(kept)} cases"
    )
    for remark in plan.remarks:
        say(remark)


def split(
    raw: Path,
    *,
    out: Path,
    layout: str | None = None,
    seed: int = 0,
    sizes: str | None = None,
    folds: int | None = None,
    train: Path | None = None,
    val: Path | None = None,
    test: Path | None = None,
) -> None:
    """Divide the cases of a study into train, val and test: 219/50/100 for 369 cases, the same proportions otherwise.

    Args:
        raw: folder of the study, or CSV file that lists its cases.
        out: CSV file to write; with --folds, one a fold: split-1.csv, split-2.csv, ... for split.csv.
        layout: name of the layout on disk, such as nnunet; found out by looking where it is not given.
        seed: of the draw.
        sizes: how many for train, val and test, such as 20,0,5.
        folds: of a cross-validation, in which every case is for testing once.
        train: text file with a case name a line; given together with val and test, nothing is drawn.
        val: as train.
        test: as train.
    """
    from passion.data.sources import read_study
    from passion.data.split import (
        PARTS,
        Split,
        check_disjoint,
        draw_folds,
        draw_split,
        parse_sizes,
        read_list,
        write_split,
    )

    _, cases = read_study(raw, layout)
    labelled = [case.name for case in cases if case.target is not None]
    lists = dict(zip(PARTS, (train, val, test), strict=True))
    given = {part: path for part, path in lists.items() if path is not None}
    if given and len(given) < len(PARTS):
        forgotten = next(part for part in PARTS if part not in given)
        raise InputError(f"--{forgotten}: give all three lists, or none to draw a split")
    if folds is not None and (given or sizes):
        raise InputError(f"--folds {folds}: every part follows from it; leave out --sizes, --train, --val and --test")
    if given:
        divided = {part: read_list(path, labelled) for part, path in given.items()}
        check_disjoint(divided, "the given lists")
        splits: dict[Path, Split] = {out: divided}
    elif folds is not None:
        drawn = draw_folds(labelled, seed, folds)
        splits = {out.with_name(f"{out.stem}-{fold}{out.suffix}"): one for fold, one in enumerate(drawn, start=1)}
    else:
        splits = {out: draw_split(labelled, seed, parse_sizes(sizes) if sizes else None)}
    for path, one in splits.items():
        write_split(path, one)
        say(f"{path}: " + ", ".join(f"{len(one[part])} {part}" for part in PARTS))
    left_out = len(cases) - len(labelled)
    if left_out:
        say(f"{left_out} cases without a label file were left out")


def draw_missing(raw: Path, *, split: Path, rates: str, out: Path, layout: str | None = None, seed: int = 0) -> None:
    """Draw which training case is without which modality, once and for all: the presence matrix C.

    Args:
        raw: folder of the study, or CSV file that lists its cases.
        split: CSV file that `passion split` wrote.
        rates: missing rate of each modality, such as t1=0.2,t1c=0.4,flair=0.6,t2=0.8.
        out: CSV file to write.
        layout: name of the layout on disk, such as nnunet; found out by looking where it is not given.
        seed: of the draw.
    """
    from passion.data.sources import read_study
    from passion.data.split import read_split
    from passion.missingness import draw_presence, parse_rates, presence_of
    from passion.overview import print_rates

    study, cases = read_study(raw, layout)
    asked = parse_rates(rates, study.modalities)
    names = read_split(split, [case.name for case in cases])["train"]
    if not names:
        raise InputError(f"{split}: there is no training case")
    images = {case.name: list(case.images) for case in cases}
    own = presence_of({name: images[name] for name in names}, study.modalities)
    drawn = draw_presence(own, asked, seed)
    drawn.write(out)
    print_rates(asked.tolist(), drawn, out)


def prepare(
    raw: Path,
    prepared: Path,
    *,
    layout: str | None = None,
    resample: str | None = None,
    spacing: str | None = None,
    orientation: str | None = None,
    skip_broken: bool = False,
    workers: int = 2,
) -> None:
    """Crop and normalise each modality of each case by itself and store it; a run that was stopped is continued.

    Args:
        raw: folder of the study, or CSV file that lists its cases.
        prepared: folder to write.
        layout: name of the layout on disk, such as nnunet; found out by looking where it is not given.
        resample: modality whose grid all files of a case are brought to; several, such as t1c,flair, for cases without
            the first. Not given, the files of a case must share a grid.
        spacing: voxel size in mm to bring all cases to, along each axis, such as 1,1,none; none keeps a case's own.
        orientation: sides that the voxel axes of all cases are turned to run to, such as LPS, to the left, back and up.
        skip_broken: leave out cases with a file that cannot be used, name them, and let the prepared study know.
        workers: processes.
    """
    from passion.data.geometry import with_geometry, without_reference
    from passion.data.inspection import check_every_modality_exists
    from passion.data.prepare import prepare as prepare_study
    from passion.data.sources import read_study

    study, cases = read_study(raw, layout)
    study = with_geometry(study, resample, spacing, orientation)
    check_every_modality_exists(study, cases, raw)
    made = prepare_study(study, cases, prepared, workers, skip_broken)
    for line in "\n".join(made.left_out.values()).splitlines():
        note(f"left out: {line}")
    left_out = f", {len(made.left_out)} left out" if made.left_out else ""
    say(f"{prepared}: {made.cases} cases, {made.done} of them prepared now{left_out}")
    others = without_reference(study, cases)
    if others:
        say(f"cases without {resample}: {len(others)}; they are on the grid of the first modality that they have")


def train(configuration: "Configuration", *, out: Path, resume: bool = False) -> None:
    """Train a network; every option stands in a configuration file or on the command line.

    Args:
        configuration: see the groups of options.
        out: the run folder; without --resume there must be nothing in it.
        resume: continue the run in --out after its last whole epoch, with its own configuration; where none is begun,
            begin it.
    """
    from passion.experiment import train as train_run
    from passion.parallel import leads

    anything_left = train_run(configuration, out, resume)
    if leads():
        already = "" if anything_left else " already, for all its epochs"
        say(f"{out}: trained{already}; next: passion evaluate {out}")


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
        precision: of the network: trained, the one it was trained in, fp32, or bf16, about twice as fast.
        tolerance: of the surface Dice, in mm (in pixels by slice).
        skip_broken: leave out cases of the prepared study that are damaged, and name them.
    """
    from passion.evaluation.run import evaluate_run
    from passion.report.results import read_training_presence
    from passion.report.statistics import subset_frequencies
    from passion.report.tables import print_table, subset_table

    scores, study, folder = evaluate_run(
        run, checkpoint, part, prepared, device, by, split, precision, tolerance, skip_broken
    )
    presence = read_training_presence(run, study)
    frequencies = None if presence is None else subset_frequencies(presence, study)
    for metric, title in (
        ("dice", "Dice in %"),
        ("hd95_pooled", "HD95 in mm, pooled as in the paper, honest where empty"),
    ):
        print_table(subset_table(scores, study, metric, frequencies), f"{run.name}: {title}", study)
    if frequencies is not None:
        say("Weighted: each subset by the share of training cases that have exactly its modalities")
    say(f"{folder}: scores of each case in scores.csv")


def compare(runs: Sequence[Path], *, metric: Metric = "paper", rows: Rows = "region", out: Path | None = None) -> None:
    """Compare evaluated runs with the first of them, case by case: differences with intervals and corrected p-values.

    Args:
        runs: folders of evaluated runs; those that differ in nothing but their seed are taken together.
        metric: column of scores.csv, or paper: dice and hd95_pooled.
        rows: region, over all subsets, or subset, over the averaged regions.
        out: CSV file for the numbers.
    """
    from passion.report.comparison import print_comparison

    print_comparison(runs, ["dice", "hd95_pooled"] if metric == "paper" else [metric], rows, out)
    if out:
        say(f"{out}: the numbers")


def import_weights(network: str, checkpoint: Path, *, out: Path, study: str = "BraTS2020") -> None:
    """Make a run folder of a checkpoint of the authors' code, for `evaluate` and `predict`.

    Args:
        network: mmformer, rfnet or m2ftrans.
        checkpoint: file that the published code wrote, such as model_last.pth; no code in it is executed.
        out: the run folder; it must not exist yet.
        study: the study that it was trained on, BraTS2020 or MyoPS2020.
    """
    from passion.importing import import_weights as write_run

    own = write_run(network, checkpoint, out, study)
    say(f"{out}: {network} for {', '.join(own.modalities)}; next: passion evaluate {out} --prepared ... --split ...")


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
        out: NIfTI file to write, in the input's shape and place, with the study's label codes; with --cases the folder
            for one such file a case and cases.csv; what is there already is kept.
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
    from passion.inference import InferenceSettings
    from passion.prediction import Predictor, predict_files

    if cases is None and not images:
        raise InputError("predict: give at least one modality, such as --t1c FILE, or many cases with --cases FOLDER")
    if cases is not None and images:
        raise InputError(f"--{next(iter(images))}: goes without --cases {cases}; leave one of them out")
    predictor = Predictor.load(runs, checkpoint, device, InferenceSettings(blend, mirror), resample)
    if cases is None:
        found = predict_files(predictor, images, out, probabilities)
        where = f", on the grid of {found.reference}" if found.study.resample else ""
        say(f"{out}: segmented from {found.modalities}{where}")
    else:
        _predict_cases(predictor, cases, layout, out, probabilities, skip_broken)


def _predict_cases(
    predictor: "Predictor", raw: Path, layout: str | None, out: Path, probabilities: Path | None, skip_broken: bool
) -> None:
    from passion.data.new_cases import read_new_cases, unrecognised
    from passion.predicted_cases import TABLE, predict_cases

    cases = read_new_cases(raw, layout, predictor.study)
    others = unrecognised(cases)
    if others:
        note(f"{len(others)} files in the folders of cases are taken for no modality, the first is {others[0]}")
    outcome = predict_cases(predictor, cases, raw, out, probabilities, skip_broken)
    say(f"{out}: {outcome.done} cases segmented, {outcome.kept} kept; subsets and volumes in {out / TABLE}")
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

        export_bundle(run, out, checkpoint, about)
        say(f"{out}: MONAI bundle; how it is run stands in {out / 'docs' / 'README.md'}")
    else:
        from passion.exporting.folder import export_model

        export_model(run, out, checkpoint, about)
        say(f"{out}: exported; read {out / 'README.md'} before you share it")


def report(runs: Sequence[Path], *, out: Path, serve: bool = False) -> None:
    """Write a page that compares runs, or that of an experiment: who wins, tables, figures, masks.

    Args:
        runs: folders of evaluated runs, or the one folder of an experiment.
        out: HTML file to write; of an experiment, a folder.
        serve: show the page of an experiment at an address of this machine until Ctrl-C.
    """
    from passion.report.experiment_page import write_experiment_report
    from passion.report.folder import is_experiment
    from passion.report.page import write_report
    from passion.report.serving import serve as serve_folder

    experiments = [folder for folder in runs if is_experiment(folder)]
    if experiments and len(runs) > 1:
        raise InputError(f"{experiments[0]}: is the folder of an experiment; give it alone, or give runs in its runs/")
    if serve and not experiments:
        raise InputError("--serve: is for the page of an experiment; that of runs is one file that any browser opens")
    if not experiments:
        write_report(runs, out)
        say(f"{out}: open it in a browser")
        return
    say(f"{write_experiment_report(runs[0], out)}: open it in a browser")
    if serve:
        serve_folder(out, say)


def experiment(
    tables: Sequence[str],
    study: Sequence[Path],
    *,
    out: Path,
    scale: str = "paper",
    seeds: int = 3,
    jobs: int = 2,
    split: Sequence[Path] = (),
    cluster: Cluster | None = None,
    options: str = "",
    dry_run: bool = False,
    retry: bool = False,
) -> int:
    """Fill tables of the paper, run by run; what was stopped is continued, and nothing is done twice.

    Exit code 1 where runs are broken.

    Args:
        tables: table1, table2, table3, or YAML files of your own.
        study: folders of prepared studies.
        out: folder of all runs, and of TABLE.csv, the scores of those that are finished.
        scale: paper, small (minutes a run on one core), quick (seconds, scores mean nothing), or a YAML file.
        seeds: how many; a seed draws the presence matrix, the initial weights and the order.
        jobs: runs at a time, each on one core where there is no GPU.
        split: CSV file for each study; drawn if not given.
        cluster: submit to SLURM, or to its stand-ins on this machine, local and debug.
        options: of submitit for the cluster, such as timeout_min=720,slurm_partition=gpu,gpus_per_node=1.
        dry_run: say what there is to do and how long it will take; nothing is trained.
        retry: try broken runs again.
    """
    from passion.experiments.command import close, describe, run_here, run_on_cluster
    from passion.experiments.plan import make_plan
    from passion.report.experiments import print_tables

    if jobs < 1:
        raise InputError(f"--jobs {jobs}: must be at least 1")
    plan = make_plan(tables, study, out, scale, seeds, split)
    if dry_run:
        describe(plan, jobs, say)
    elif cluster is None:
        run_here(plan, jobs, retry)
    else:
        run_on_cluster(plan, jobs, retry, cluster, options, say)
    print_tables(plan.collect(), plan.layout, seeds)
    return close(plan, say)


def demo(*, out: Path = Path("demo"), scale: Literal["small", "large"] = "small", seed: int = 0) -> None:
    """Compare PASSION with its baseline on a phantom study, from NIfTI files to a page.

    Args:
        out: folder of everything that is written; what is there already is continued.
        scale: small for two cores in minutes; large for a GPU.
        seed: of phantoms, split, draw and training.
    """
    from passion.demo import run_demo

    run_demo(out, scale, seed)


COMMANDS: dict[str, Callable[..., int | None]] = {
    "phantom brain": phantom_brain,
    "phantom heart": phantom_heart,
    "inspect": inspect,
    "convert": convert,
    "split": split,
    "draw-missing": draw_missing,
    "prepare": prepare,
    "train": train,
    "import-weights": import_weights,
    "evaluate": evaluate,
    "compare": compare,
    "predict": predict,
    "export": export,
    "report": report,
    "experiment": experiment,
    "demo": demo,
}


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command that `arguments` (default: those of the process) name, and exit.

    Exit code 0, or 2 for a mistake in what was given, which is said in one line; 1 for a mistake of ours, whose
    traceback goes into a file; 130 when interrupted, 143 when terminated.
    """
    # Names of files need not be text.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if arguments is None else arguments)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        sys.exit(run(words))
    except InputError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"passion: error: {line}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write(f"passion: interrupted; {_continuing(words)}\n")
        sys.exit(130)
    except Terminated:
        sys.stderr.write(f"passion: terminated; {_continuing(words)}\n")
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        sys.exit(report_failure(error))
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, _: object) -> NoReturn:
    raise Terminated(128 + number)


def _continuing(words: Sequence[str]) -> str:
    if "train" in words[:1] and "--resume" not in words:
        return "the same command with --resume continues after the last whole epoch"
    return "the same command continues where it can"


def run(words: list[str]) -> int:
    """Run a command and return its exit code.

    Raises:
        InputError: a mistake in what was given.
    """
    if not words or words[0] in ("-h", "--help", "help"):
        say(overview())
        return 0
    if words[0] == "--version":
        say(f"passion {__version__}")
        return 0
    name = next((name for name in COMMANDS if words[: name.count(" ") + 1] == name.split()), None)
    if name is None:
        raise InputError(f"{words[0]!r} is not a command; there are: {', '.join(COMMANDS)}")
    rest = words[name.count(" ") + 1 :]
    from passion.options import parse

    keep_freed_memory()
    return COMMANDS[name](**parse(name, COMMANDS[name], rest)) or 0


def overview() -> str:
    """What `passion --help` prints."""
    lines = ["usage: passion COMMAND [OPTION ...]", "", "Segmentation when modalities are missing, unevenly.", ""]
    for name, function in COMMANDS.items():
        summary = (function.__doc__ or "").splitlines()[0]
        lines.append(f"  {name:<15}{summary}")
    return "\n".join([*lines, "", "`passion COMMAND --help` explains a command."])


if __name__ == "__main__":
    main()
