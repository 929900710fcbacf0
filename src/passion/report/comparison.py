"""Several runs of one study: read, told apart, those that are seeds of one another brought together, compared."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from passion.errors import InputError
from passion.experiments.states import EVALUATION
from passion.files import replacing
from passion.report.bootstrap import USUAL, Bootstrap
from passion.report.results import Run, read_run, subset_names
from passion.report.statistics import paired_differences, subset_frequencies, with_average_region
from passion.report.tables import AVERAGE_COLUMN, METRICS, case_counts, format_difference, format_p, format_value

Rows = Literal["region", "subset"]
"""What a comparison has a row for: each region and their average, over all subsets; or each subset, of the average."""


def read_runs(folders: Sequence[Path], evaluation: str = EVALUATION) -> list[Run]:
    """Read runs of one study; those of equal names are called by as much of their folders as tells them apart.

    Args:
        folders: of evaluated runs.
        evaluation: which evaluation of each run, {split}-{checkpoint}.

    Raises:
        InputError: no run, one given twice, runs of different studies, scores by slice, or a file that is missing or
            does not fit.
    """
    runs = _named_apart([read_run(folder, evaluation) for folder in folders], folders)
    _check_one_study(runs, folders)
    for run in runs:
        if run.settings.get("by") == "slice":
            raise InputError(
                f"--evaluation {evaluation}: slices of a subject are not independent, so nothing can be said from them "
                "about others; give an evaluation by subject"
            )
    return runs


def _named_apart(runs: Sequence[Run], folders: Sequence[Path]) -> list[Run]:
    if not runs:
        raise InputError("no run is given; give at least one run folder")
    parts = [Path(folder).resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]
    places = [Path(folder).resolve() for folder in folders]
    twice = next(folder for folder, place in zip(folders, places, strict=True) if places.count(place) > 1)
    raise InputError(f"{twice}: is given twice; give each run once")


def _check_one_study(runs: Sequence[Run], folders: Sequence[Path]) -> None:
    first = runs[0].study
    for run, folder in zip(runs, folders, strict=True):
        for what in ("modalities", "classes", "regions"):
            if getattr(run.study, what) != getattr(first, what):
                raise InputError(
                    f"{folder}: its {what} ({', '.join(getattr(run.study, what))}) are not those of "
                    f"{folders[0]} ({', '.join(getattr(first, what))}); compare runs of one study"
                )


def cautions(runs: Sequence[Run]) -> list[str]:
    """Sentences on what makes the numbers of `runs` hard to compare; none where they are comparable."""
    found = []
    answered = [set(zip(run.scores["case"], run.scores["subset"], strict=True)) for run in runs]
    if any(other != answered[0] for other in answered):
        found.append("The runs were scored on different cases or subsets; their averages are not comparable.")
    if any(case_counts(run.scores, run.study).max() > case_counts(run.scores, run.study).min() for run in runs):
        found.append(
            "Not every case has every modality, so the subsets are averaged over different cases (see the "
            "column “Cases”)."
        )
    frequencies = [subset_frequencies(run.presence, run.study) for run in runs]
    if any(not other.equals(frequencies[0]) for other in frequencies):
        found.append(
            f"Subsets occurred differently often in training; weighted averages of all runs weigh as in {runs[0].name}."
        )
    found += [
        f"The runs were evaluated with different settings of “{name}”."
        for name in ("split", "checkpoint", "overlap", "surface_tolerance")
        if len({str(run.settings.get(name)) for run in runs}) > 1
    ]
    return found


def seed_groups(runs: Sequence[Run]) -> dict[str, dict[int, Run]]:
    """Runs by what they are, then by seed, in order of appearance.

    Runs are seeds of one another where their configurations differ in the seed and the presence matrix alone, and as
    many cases lack each modality. A group is called by its first run.
    """
    groups: list[tuple[object, dict[int, Run]]] = []
    for run in runs:
        kind, seed = _kind(run), int(_section(run.config, "training").get("seed", 0))
        fitting = (members for known, members in groups if known == kind and seed not in members)
        members = next(fitting, None)
        if members is None:
            members = {}
            groups.append((kind, members))
        members[seed] = run
    return {_group_name(list(members.values())): members for _, members in groups}


def _kind(run: Run) -> object:
    training = {key: value for key, value in _section(run.config, "training").items() if key != "seed"}
    data = {key: value for key, value in _section(run.config, "data").items() if key != "presence"}
    content = yaml.safe_dump({**run.config, "training": training, "data": data}, sort_keys=True)
    return content, tuple(run.missing_rates.round(6))


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def _group_name(runs: Sequence[Run]) -> str:
    return runs[0].name if len(runs) == 1 else f"{runs[0].name} ({len(runs)} seeds)"


def compare_runs(
    runs: Sequence[Run], metric: str = "dice", rows: Rows = "region", bootstrap: Bootstrap = USUAL
) -> pd.DataFrame:
    """Paired differences of runs to the first one, or of groups of seeds to the first group.

    Where every group is one run, the runs are paired whatever their seeds are; else each seed with itself. Groups
    that share no scored mask with the first are left out.

    Args:
        runs: of one study, named apart.
        metric: a column of the scores of all runs.
        rows: see `Rows`.
        bootstrap: of the intervals.

    Returns:
        Columns metric, reference (the first run or group), `rows`, run, and those of `statistics.paired_differences`.
        Empty where there is nothing to compare.

    Raises:
        InputError: a run was not scored by `metric`.
    """
    for run in runs:
        if metric not in run.scores:
            raise InputError(f"{run.name}: was not scored by {metric}; run `passion evaluate` on it again")
    study, groups = runs[0].study, seed_groups(runs)
    single = all(len(members) == 1 for members in groups.values())
    tables = [
        run.scores.assign(run=name, seed=0 if single else seed)
        for name, members in groups.items()
        for seed, run in members.items()
    ]
    first = next(iter(groups))
    scores = pd.concat(tables, ignore_index=True)
    shared = scores[scores["run"] == first][["seed", "case", "subset", "region"]]
    scores = scores.merge(shared.drop_duplicates())
    if rows == "region":
        scores = with_average_region(scores, study)
        order = [*study.regions, AVERAGE_COLUMN]
    else:
        scores = scores[scores["region"].isin(study.averaged_regions)]
        order = subset_names(study)
    found = paired_differences(scores, "run", first, [rows], metric, bootstrap=bootstrap)
    found.insert(0, "metric", metric)
    found.insert(1, "reference", first)
    return found.sort_values(rows, key=lambda names: names.map(order.index), kind="stable", ignore_index=True)


def evidence(found: pd.DataFrame, bootstrap: Bootstrap = USUAL) -> str:
    """What intervals and p-values of `compare_runs` rest on, in a few sentences."""
    counts = ", ".join(counted(found[f"n_{what}s"], what) for what in ("case", "seed"))
    single = "; with one seed it does not say what another training would give" if found["n_seeds"].min() < 2 else ""
    return (
        f"{counts}. In brackets: {100 * bootstrap.level:g} % interval for other cases and seeds{single}. p: Wilcoxon's "
        f"signed-rank test of the cases' means, which speaks of other cases alone, Holm-corrected for {len(found)} "
        f"comparison{'s' if len(found) > 1 else ''}."
    )


def counted(counts: Iterable[float], what: str) -> str:
    """How many there are of something, or from how many to how many.

    >>> counted([1], "case"), counted([1, 3], "seed")
    ('1 case', '1 to 3 seeds')
    """
    least, most = (int(pick(counts)) for pick in (min, max))
    return f"{most if least == most else f'{least} to {most}'} {what}{'' if most == 1 else 's'}"


def print_differences(found: pd.DataFrame, console: Console) -> None:
    """Print what `compare_runs` gives."""
    rows = str(found.columns[2])
    title = f"{METRICS[found['metric'].iloc[0]].label}: difference to {found['reference'].iloc[0]}"
    shown = Table(title=Text(title, style="bold"), title_justify="left")
    for column in (rows, "run"):
        shown.add_column(column, overflow="fold")
    for column in ("reference", "run", "difference", "p"):
        shown.add_column(column, justify="right", no_wrap=True)
    for name, block in found.groupby(rows, sort=False):
        for row in block.to_dict("records"):
            means = (format_value(row["mean_reference"]), format_value(row["mean"]))
            difference = Text(format_difference(row["difference"], row["low"], row["high"]))
            shown.add_row(str(name), Text(row["run"]), *means, difference, format_p(row["p_holm"]))
        if len(block) > 1:
            shown.add_section()
    console.print(shown)
    console.print(Text(evidence(found)))


def print_comparison(
    folders: Sequence[Path], metrics: Sequence[str], rows: Rows, out: Path | None, evaluation: str = EVALUATION
) -> None:
    """Print cautions and a table of differences for each metric, and write them as one table to the CSV file `out`.

    Raises:
        InputError: see `read_runs` and `compare_runs`, or there is nothing to compare.
    """
    runs = read_runs(folders, evaluation)
    tables = [compare_runs(runs, metric, rows) for metric in metrics]
    if any(table.empty for table in tables):
        raise InputError(
            f"{folders[0]}: shares no seed and case with another run that differs in more than the seed; add one"
        )
    console = Console()
    for caution in cautions(runs):
        console.print(Text(f"note: {caution}"))
    for table in tables:
        print_differences(table, console)
    if out:
        with replacing(out) as beside:
            pd.concat(tables).to_csv(beside, index=False)
