"""Record the phantom study: `python benchmarks/phantom_study.py STUDY`, after any call of its `passion experiment`.

The folder is made with the commands for small machines in docs/reproducing.md. Of what is finished, it writes beside
the other results

- study-table1.csv, 2 and 3: the score of every mask, Dice in four digits and distances in hundredths of a mm;
- study-summary.csv: means and differences to the first method with intervals, the paper's numbers beside them;
- study-single-modalities.csv: the differences with one modality alone, by how often that was missing in training;
- study-modality-counts.csv: the differences by how many modalities are at hand;
- study-seeds.csv: the differences of each seed by itself, with intervals for other cases;
- study-cells.csv: of each cell its tables, its state, and the seconds that training and scoring took;

and puts the tables of docs/does-it-work.md in their places (`study_page.py`).
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import study_page

from passion.experiments.scores import PLACE, SCORES
from passion.experiments.states import run_folder
from passion.experiments.work import seconds_by_epoch
from passion.experiments.workspace import TIMES
from passion.files import replacing, write_text
from passion.report.effects import (
    KEYS,
    by_setting_and_subset,
    compared_scores,
    overall_differences,
    overall_means,
    table_differences,
    table_means,
)
from passion.report.folder import Experiment, Place, TableOfOne, read_experiment
from passion.report.statistics import paired_differences
from passion.report.tables import AVERAGE_COLUMN

DIGITS = {"dice": 4, "hd95": 2, "hd95_pooled": 2, "hd95_reference": 2}
MEANS = ("mean", "low", "high", "seed_sd", "n_cases", "n_seeds", "paper")
DIFFERENCES = {**study_page.GAIN, "seed_sd": "gain_seed_sd", "n_seeds": "gain_seeds", "paper": "gain_paper"}


def write(table: pd.DataFrame, name: str) -> None:
    """Write a result as CSV."""
    with replacing(study_page.RESULTS / name) as beside:
        table.to_csv(beside, index=False)


def summary(table: TableOfOne) -> pd.DataFrame:
    """A row a setting, network, method and region, averaged over all subsets, then over all settings."""
    means = pd.concat([table_means(table), overall_means(table)])
    gains = pd.concat([table_differences(table), overall_differences(table)])
    gains = gains[[*KEYS, *DIFFERENCES]].rename(columns=DIFFERENCES)
    both = means[[*KEYS, *MEANS]].merge(gains, on=KEYS, how="left")
    both.insert(0, "table", table.name)
    both.insert(1, "dataset", table.dataset)
    return both.drop(columns="subset").infer_objects().round(6)


def single_modalities(table: TableOfOne) -> pd.DataFrame:
    """What each method gains with one modality alone, by its missing rate in training, over all settings of Table 1."""
    settings = {place.setting: place.rates or {} for place in table.places}
    rates = pd.DataFrame(
        [(setting, modality, rate) for setting, asked in settings.items() for modality, rate in asked.items()],
        columns=["setting", "subset", "rate"],
    )
    return differences_by("rate", table, compared_scores(table).merge(rates))


def modality_counts(table: TableOfOne) -> pd.DataFrame:
    """What each method gains by the number of modalities at hand, over all settings of Table 1."""
    scores = compared_scores(table)
    return differences_by("count", table, scores.assign(count=scores["subset"].str.count(r"\+") + 1))


def by_seed(table: TableOfOne) -> pd.DataFrame:
    """What each method gains in each cell with each seed, over all subsets, on the average of the regions."""
    scores = table.averaged_scores
    scores = scores[scores["region"] == AVERAGE_COLUMN]
    # A seed by itself is a cell: it is told apart by another column, so that it is not averaged over.
    scores = scores.assign(trained=scores["seed"])
    found = differences(table, scores, ["setting", "network", "trained"]).drop(columns="seed_sd")
    found.insert(0, "table", table.name)
    return found.rename(columns={"trained": "seed"})


def differences_by(column: str, table: TableOfOne, scores: pd.DataFrame) -> pd.DataFrame:
    """Differences to the first method by a column of the scores."""
    return differences(table, by_setting_and_subset(scores), [column]).sort_values(column, kind="stable")


def differences(table: TableOfOne, scores: pd.DataFrame, cells: Sequence[str]) -> pd.DataFrame:
    """To the first method, in the order of the methods, as they are recorded."""
    found = paired_differences(scores, "method", table.methods[0], cells)
    found = found.sort_values("method", key=lambda names: names.map(table.methods.index), kind="stable")
    found.insert(0, "dataset", table.dataset)
    return found.round(6)


def costs(experiment: Experiment) -> pd.DataFrame:
    """A row a cell: the tables that it is in, its state and seconds, as far as it has got."""
    tables: dict[str, list[str]] = {}
    places: dict[str, Place] = {}
    for table in experiment.tables:
        for place in table.places:
            places[place.cell] = place
            named = tables.setdefault(place.cell, [])
            named += [table.name] * (table.name not in named)
    rows = []
    for cell, place in places.items():
        times = experiment.folder / "cells" / cell / TIMES
        noted = json.loads(times.read_text()) if times.exists() else {}
        rows.append({
            "cell": cell, "tables": " ".join(tables[cell]), "dataset": place.dataset, "seed": place.seed,
            "state": place.state.name.lower(),
            "training_s": round(seconds_by_epoch(run_folder(experiment.folder, cell)).sum()),
            "scoring_s": round(noted.get("evaluation_seconds", 0)),
        })  # fmt: skip
    return pd.DataFrame(rows)


def main() -> None:
    """Write the results and the tables of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="folder that `passion experiment table1 table2 table3` filled")
    experiment = read_experiment(parser.parse_args().study)
    begun = [table for table in experiment.tables if table.study is not None]
    for name in dict.fromkeys(table.name for table in begun):
        scores = [table.scores.assign(dataset=table.dataset) for table in begun if table.name == name]
        write(pd.concat(scores)[[*PLACE, *SCORES]].round(DIGITS), f"study-{name}.csv")
    first = [table for table in begun if table.name == "table1"]
    write(pd.concat(map(summary, begun)), "study-summary.csv")
    write(pd.concat(map(single_modalities, first)), "study-single-modalities.csv")
    write(pd.concat(map(modality_counts, first)), "study-modality-counts.csv")
    write(pd.concat(map(by_seed, begun)), "study-seeds.csv")
    write(costs(experiment), "study-cells.csv")
    write_text(study_page.PAGE, study_page.filled(study_page.PAGE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
