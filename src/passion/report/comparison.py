"""Several runs of one study: read, told apart, seeds and folds of one thing brought together, compared."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import pandas as pd
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

SCORED_APART = "The runs were scored on different cases or subsets; their averages are not comparable."
TINY = 1e-6
"""Of a case: what counts of cases that are worked out from rates may be off."""


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
    groups = groups_of(runs)
    answered = {run.name: _answered(run) for run in runs}
    by_group = [set[tuple[str, str]]().union(*(answered[run.name] for run in group)) for group in groups.values()]
    if any(other != by_group[0] for other in by_group):
        found.append(SCORED_APART)
    elif any(other != answered[runs[0].name] for other in answered.values()):
        found.append("Folds were scored on different cases; a run's averages are over its own, differences over all.")
    compared = set(shared_scores(groups)["run"])
    found += [
        f"{name} shares no seed and case with {next(iter(groups))}; nothing is compared."
        for name in groups
        if name not in compared
    ]
    frequencies = [subset_frequencies(run.presence, run.study) for run in runs]
    if any(not other.equals(frequencies[0]) for other in frequencies):
        found.append(
            f"Subsets occurred differently often in training; weighted averages of all runs weigh as in {runs[0].name}."
        )
    return [*phantom_notes(runs), *found, *_scoring_cautions(runs)]


def cell_cautions(runs: Sequence[Run]) -> list[str]:
    """As `cautions`, of the cells of a grid, of which it is known what they are; without the `phantom_notes`."""
    answered = [_answered(run) for run in runs]
    apart = any(other != answered[0] for other in answered)
    return [*([SCORED_APART] if apart else []), *_scoring_cautions(runs)]


def phantom_notes(runs: Sequence[Run]) -> list[str]:
    """A sentence for each study whose cases are phantoms."""
    names = dict.fromkeys(run.study.name for run in runs if run.study.phantom)
    return [f"The cases of {name} are phantoms, which are made up: nothing here is of a patient." for name in names]


def _answered(run: Run) -> set[tuple[str, str]]:
    return set(zip(run.scores["case"], run.scores["subset"], strict=True))


def _scoring_cautions(runs: Sequence[Run]) -> list[str]:
    found = []
    counts = [case_counts(run.scores, run.study) for run in runs]
    if any(of_run.max() > of_run.min() for of_run in counts):
        found.append("Not every case has every modality, so the subsets are averaged over different cases.")
    found += [
        f"The runs were evaluated with different settings of “{name}”."
        for name in ("split", "checkpoint", "overlap", "surface_tolerance")
        if len({str(run.settings.get(name)) for run in runs}) > 1
    ]
    return found


def groups_of(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by what they are, in order of appearance; a group is called by its first run.

    Runs of one thing have configurations that differ in the seed, the split and the presence matrix alone, and are

    - seeds of one another: trained on the same cases, of which as many lack each modality, or
    - folds of a cross-validation: scored on no case in common; rates that were drawn are equal within a case.
    """
    groups: list[list[Run]] = []
    for run in runs:
        fitting = (members for members in groups if all(_are_one(run, member) for member in members))
        members = next(fitting, None)
        if members is None:
            groups.append([run])
        else:
            members.append(run)
    return {_group_name(members): members for members in groups}


def _are_one(run: Run, other: Run) -> bool:
    """Whether two runs are seeds or folds of one thing."""
    if _kind(run) != _kind(other):
        return False
    apart = float((run.missing_rates - other.missing_rates).abs().max()) * min(len(run.presence), len(other.presence))
    if _are_folds(run, other):
        return not _section(run.config, "data").get("presence") or apart < 1.0 + TINY
    return seed_of(run) != seed_of(other) and set(run.presence.index) == set(other.presence.index) and apart < TINY


def _are_folds(run: Run, other: Run) -> bool:
    return run.cases.isdisjoint(other.cases)


def _kind(run: Run) -> dict[str, Any]:
    """What seeds and folds of one thing have in common: the configuration without what tells them apart."""
    training = {key: value for key, value in _section(run.config, "training").items() if key != "seed"}
    data = {key: value for key, value in _section(run.config, "data").items() if key not in ("presence", "split")}
    return {**run.config, "training": training, "data": data}


def seed_of(run: Run) -> int:
    """That it was trained with."""
    return int(_section(run.config, "training").get("seed", 0))


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def _group_name(runs: Sequence[Run]) -> str:
    if len(runs) == 1:
        return runs[0].name
    seeds = sum(not _are_folds(runs[0], run) for run in runs)
    folds = len(runs) // seeds
    parts = [f"{count} {what}" for count, what in ((folds, "folds"), (seeds, "seeds")) if count > 1]
    return f"{runs[0].name} ({', '.join(parts)})"


def shared_scores(groups: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """The scores of all groups, of masks that the first group has too.

    Returns:
        As `Run.scores`, with the group's name in `run`, and `seed`: 0 where no group has several, so that runs are
        paired whatever their seeds are.
    """
    several = any(not _are_folds(run, other) for runs in groups.values() for run, other in combinations(runs, 2))
    tables = [
        run.scores.assign(run=name, seed=seed_of(run) if several else 0)
        for name, runs in groups.items()
        for run in runs
    ]
    scores = pd.concat(tables, ignore_index=True)
    first = scores[scores["run"] == next(iter(groups))]
    return scores.merge(first[["seed", "case", "subset", "region"]].drop_duplicates())


def compare_runs(
    runs: Sequence[Run], metric: str = "dice", rows: Rows = "region", bootstrap: Bootstrap = USUAL
) -> pd.DataFrame:
    """Paired differences of runs to the first one, or of groups of seeds and folds to the first group.

    Where no group has several seeds, runs are paired whatever their seeds are; else each seed with itself. Groups
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
    study, groups = runs[0].study, groups_of(runs)
    scores = shared_scores(groups)
    if rows == "region":
        scores = with_average_region(scores, study)
        order = [*study.regions, AVERAGE_COLUMN]
    else:
        scores = scores[scores["region"].isin(study.averaged_regions)]
        order = subset_names(study)
    first = next(iter(groups))
    found = paired_differences(scores, "run", first, [rows], metric, bootstrap=bootstrap)
    found.insert(0, "metric", metric)
    found.insert(1, "reference", first)
    return found.sort_values(rows, key=lambda names: names.map(order.index), kind="stable", ignore_index=True)


def evidence(found: pd.DataFrame, bootstrap: Bootstrap = USUAL, comparisons: int | None = None) -> str:
    """What intervals and p-values of `compare_runs` rest on, in a few sentences.

    Args:
        found: rows of it.
        bootstrap: of the intervals.
        comparisons: how many p is corrected for, where `found` is a part of them.
    """
    return (
        f"{interval_evidence(found, bootstrap)} p: Wilcoxon's signed-rank test of the cases' means, which speaks of "
        f"other cases alone, Holm-corrected for {counted([comparisons or len(found)], 'comparison')}."
    )


def interval_evidence(found: pd.DataFrame, bootstrap: Bootstrap = USUAL) -> str:
    """What the intervals of means or differences rest on."""
    counts = ", ".join(counted(found[f"n_{what}s"], what) for what in ("case", "seed"))
    single = "; with one seed it does not say what another training would give" if found["n_seeds"].min() < 2 else ""
    return f"{counts}. In brackets: {100 * bootstrap.level:g} % interval for other cases and seeds{single}."


def counted(counts: Iterable[float], what: str) -> str:
    """How many there are of something, or from how many to how many.

    >>> counted([1], "case"), counted([1, 3], "seed")
    ('1 case', '1 to 3 seeds')
    """
    return f"{from_to(counts)} {what}{'' if max(counts) == 1 else 's'}"


def from_to(counts: Iterable[float]) -> str:
    """The smallest and the largest of them, or the one that they are.

    >>> from_to([2, 2]), from_to([3, 1])
    ('2', '1 to 3')
    """
    least, most = (int(pick(counts)) for pick in (min, max))
    return str(most) if least == most else f"{least} to {most}"


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
            f"{folders[0]}: shares no seed and case with another run that is not a seed or fold of it; add one"
        )
    console = Console()
    for caution in cautions(runs):
        console.print(Text(f"note: {caution}"))
    for table in tables:
        print_differences(table, console)
    if out:
        with replacing(out) as beside:
            pd.concat(tables).to_csv(beside, index=False)
