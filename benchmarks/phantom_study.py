"""Record the phantom study: `python benchmarks/phantom_study.py STUDY`, after any call of its `passion experiment`.

The folder is made with the commands for small machines in docs/reproducing.md. Of what is finished, it writes beside
the other results

- study-table1.csv, 2 and 3: the score of every mask, Dice in four digits and distances in hundredths of a mm;
- study-summary.csv: means and differences to the first method with intervals, the paper's numbers beside them;
- study-single-modalities.csv: the differences with one modality alone, by how often that was missing in training;
- study-cells.csv: of each cell its state, and the seconds that training and scoring took;

and prints the tables of docs/does-it-work.md.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from passion.experiments.scores import PLACE, SCORES
from passion.experiments.states import State, run_folder
from passion.experiments.work import seconds_by_epoch
from passion.experiments.workspace import TIMES
from passion.files import replacing
from passion.report.effects import EVERY, KEYS, overall_differences, overall_means, table_differences, table_means
from passion.report.folder import Experiment, Place, TableOfOne, read_experiment
from passion.report.statistics import paired_differences
from passion.report.tables import AVERAGE_COLUMN, format_difference, format_interval, format_p, format_value

RESULTS = Path(__file__).parent / "results"
DIGITS = {"dice": 4, "hd95": 2, "hd95_pooled": 2, "hd95_reference": 2}
MEANS = ("mean", "low", "high", "seed_sd", "n_cases", "n_seeds", "paper")
DIFFERENCES = {
    "difference": "gain", "low": "gain_low", "high": "gain_high", "p_holm": "gain_p_holm", "paper": "gain_paper",
}  # fmt: skip


def write(table: pd.DataFrame, name: str) -> None:
    """Write a result as CSV."""
    with replacing(RESULTS / name) as beside:
        table.to_csv(beside, index=False)


def summary(table: TableOfOne) -> pd.DataFrame:
    """A row a setting, network, method and region, averaged over all subsets, then over all settings."""
    means = pd.concat([table_means(table), overall_means(table)])
    gains = pd.concat([table_differences(table), overall_differences(table)])
    gains = gains[[*KEYS, *DIFFERENCES]].rename(columns=DIFFERENCES)
    both = means[[*KEYS, *MEANS]].merge(gains, on=KEYS, how="left")
    both.insert(0, "table", table.name)
    both.insert(1, "dataset", table.dataset)
    return both.drop(columns="subset").infer_objects().round(3)


def single_modalities(table: TableOfOne) -> pd.DataFrame:
    """What each method gains with one modality alone, by its missing rate in training, over all settings of Table 1."""
    settings = {place.setting: place.rates or {} for place in table.places}
    rates = pd.DataFrame(
        [(setting, modality, rate) for setting, asked in settings.items() for modality, rate in asked.items()],
        columns=["setting", "subset", "rate"],
    )
    scores = table.averaged_scores.merge(rates)
    scores = scores[scores["region"] == AVERAGE_COLUMN]
    # A modality in another setting is another item to average over.
    scores = scores.assign(subset=scores["setting"] + " " + scores["subset"])
    found = paired_differences(scores, "method", table.methods[0], ["rate"]).sort_values(["rate", "method"])
    found.insert(0, "dataset", table.dataset)
    return found.round(3)


def costs(experiment: Experiment, places: dict[str, Place]) -> pd.DataFrame:
    """A row a cell: its state and seconds, as far as it has got."""
    rows = []
    for cell, place in places.items():
        times = experiment.folder / "cells" / cell / TIMES
        noted = json.loads(times.read_text()) if times.exists() else {}
        rows.append({
            "cell": cell, "state": place.state.name.lower(),
            "training_s": round(seconds_by_epoch(run_folder(experiment.folder, cell)).sum()),
            "scoring_s": round(noted.get("evaluation_seconds", 0)),
        })  # fmt: skip
    return pd.DataFrame(rows)


def markdown(found: pd.DataFrame) -> Iterator[str]:
    """The averages over the regions of one table of one study: ours and the paper's, and the differences."""
    yield "| rates | network | method | seeds | Dice [%] | paper | difference | p | paper |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for _, row in found[found["region"] == AVERAGE_COLUMN].iterrows():
        gain = format_difference(row["gain"], row["gain_low"], row["gain_high"])
        mean = format_interval(row["mean"], row["low"], row["high"])
        paper, paper_gain = format_value(row["paper"]), format_value(row["gain_paper"])
        seeds = "" if row["setting"] == EVERY else f"{row['n_seeds']:.0f}"
        words = (
            row["setting"],
            row["network"],
            row["method"],
            seeds,
            mean,
            paper,
            gain,
            format_p(row["gain_p_holm"]),
            paper_gain,
        )
        yield f"| {' | '.join(words)} |"


def main() -> None:
    """Write the results and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="folder that `passion experiment table1 table2 table3` filled")
    experiment = read_experiment(parser.parse_args().study)
    begun = [table for table in experiment.tables if table.study is not None]
    for name in dict.fromkeys(table.name for table in begun):
        scores = [table.scores.assign(dataset=table.dataset) for table in begun if table.name == name]
        write(pd.concat(scores)[[*PLACE, *SCORES]].round(DIGITS), f"study-{name}.csv")
    summaries = [summary(table) for table in begun]
    alone = pd.concat([single_modalities(table) for table in begun if table.name == "table1"])
    write(alone, "study-single-modalities.csv")
    write(pd.concat(summaries), "study-summary.csv")
    places = {place.cell: place for table in experiment.tables for place in table.places}
    cells = costs(experiment, places)
    write(cells, "study-cells.csv")
    print(alone.to_string(index=False))
    for table, found in zip(begun, summaries, strict=True):
        own = cells[cells["cell"].isin({place.cell for place in table.places})]
        seconds = own["training_s"].sum() + own["scoring_s"].sum()
        done = (own["state"] == State.DONE.name.lower()).sum()
        print(f"\n**{table.name}, {table.dataset}**, {done} of {len(own)} cells, {seconds / 3600:.1f} core hours\n")
        print("\n".join(markdown(found)))


if __name__ == "__main__":
    main()
