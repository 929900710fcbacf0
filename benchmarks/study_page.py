"""The tables of docs/does-it-work.md, from what `phantom_study.py` has recorded: `python benchmarks/study_page.py`.

On the page a table lies between `<!-- its name -->` and `<!-- end -->`; what stands there is replaced.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from passion.experiments.grid import PERFECT, read_grid
from passion.files import write_text
from passion.report.effects import EVERY
from passion.report.tables import AVERAGE_COLUMN, format_difference, format_interval, format_p
from passion.report.views import is_sure

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs/does-it-work.md"
PART = re.compile(r"(<!-- (?P<name>\w[\w ]*) -->\n)(?:(?!<!--).)*(<!-- end -->)", re.DOTALL)
STUDIES = {"brains": "BraTS2020", "hearts": "MyoPS2020"}
FIRST = "Baseline"
"""What the others are compared with."""

ROWS = list(read_grid("table2").methods)
"""Of Table 2, as it numbers them."""

GAIN = {"difference": "gain", "low": "gain_low", "high": "gain_high", "p_holm": "gain_p_holm"}
"""Columns of `paired_differences`, as the summary calls them."""


def recorded(name: str) -> pd.DataFrame:
    """A table of the results."""
    return pd.read_csv(RESULTS / f"study-{name}.csv", keep_default_na=False, na_values=[""])


def averages(dataset: str, table: str) -> pd.DataFrame:
    """Means over subsets and regions of one of the paper's tables."""
    found = recorded("summary")
    return found[(found["table"] == table) & (found["dataset"] == dataset) & (found["region"] == AVERAGE_COLUMN)]


def gain(row: pd.Series) -> str:
    """A difference with its interval, bold where it is sure; nothing where there is none."""
    if pd.isna(row["gain"]):
        return ""
    text = format_difference(row["gain"], row["gain_low"], row["gain_high"])
    return f"**{text}**" if is_sure({name: row[own] for name, own in GAIN.items()}) else text


def seeds_of(rows: pd.DataFrame) -> list[int]:
    """How many seeds the differences rest on, or the means of what has none."""
    return list(rows["gain_seeds"].fillna(rows["n_seeds"]).astype(int))


def paper(value: float, sign: str = "") -> str:
    """A number of the paper in brackets."""
    return "" if pd.isna(value) else f" ({value:{sign}.1f})"


def lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table in Markdown, or that there is none yet."""
    if not rows:
        yield "None of it is finished."
        return
    for words in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(words)} |"


def by_method(found: pd.DataFrame, label: str, heading: str) -> Iterator[str]:
    """A row for each value of the column `label`: seeds, the first method's mean, and what the others add to it."""
    others = [method for method in dict.fromkeys(found["method"]) if method != FIRST]
    rows = []
    for name, of in found.groupby(label, sort=False):
        own = of.set_index("method")
        seeds = sorted(set(seeds_of(own)))
        mean = f"{own.loc[FIRST, 'mean']:.1f}{paper(own.loc[FIRST, 'paper'])}" if FIRST in own.index else ""
        gains = [
            gain(own.loc[method]) + paper(own.loc[method, "gain_paper"], "+") if method in own.index else ""
            for method in others
        ]
        rows.append([str(name), " to ".join(map(str, seeds[:1] + seeds[1:][-1:])), mean, *gains])
    yield from lines([heading, "seeds", FIRST.lower(), *others], rows)


def table1(dataset: str) -> Iterator[str]:
    """A row for each setting."""
    found = averages(dataset, "table1")
    yield from by_method(found.replace({"setting": {PERFECT: "perfect data"}}), "setting", "rates")


def table2(dataset: str) -> Iterator[str]:
    """A row for each method."""
    found = averages(dataset, "table2")
    rows = [
        [
            f"{number} {row['method']}", str(seeds), format_interval(row["mean"], row["low"], row["high"]),
            f"{row['paper']:.1f}", gain(row), "" if pd.isna(row["gain"]) else format_p(row["gain_p_holm"]),
            "" if pd.isna(row["gain_paper"]) else f"{row['gain_paper']:+.1f}",
        ]
        for number, method in enumerate(ROWS, 1)
        for own in [found[(found["setting"] != EVERY) & (found["method"] == method)]]
        for seeds, (_, row) in zip(seeds_of(own), own.iterrows(), strict=True)
    ]  # fmt: skip
    yield from lines(["row", "seeds", "Dice [%]", "paper", "difference", "p", "paper"], rows)


def table3(dataset: str) -> Iterator[str]:
    """Two rows for each network: perfect data and, where modalities are missing, the gain."""
    found = averages(dataset, "table3")
    found = found[found["setting"] != EVERY].sort_values(["network", "setting"], ascending=[True, False])
    perfect = found["setting"].map({PERFECT: ", perfect data"}).fillna("")
    yield from by_method(found.assign(label=found["network"] + perfect), "label", "network")


def alone(dataset: str) -> Iterator[str]:
    """A row for each missing rate."""
    yield from differences(dataset, "single-modalities", "rate", "missing in training", "{:.0%}")


def counts(dataset: str) -> Iterator[str]:
    """A row for each number of modalities at hand."""
    yield from differences(dataset, "modality-counts", "count", "modalities at hand", "{:.0f}")


def seeds(dataset: str, table: str, label: str, heading: str) -> Iterator[str]:
    """A row for each value of the column `label`, a column for each seed: differences, with intervals for other cases.

    Where the rows are not methods they are the last method's.
    """
    found = recorded("seeds")
    found = found[(found["table"] == table) & (found["dataset"] == dataset)]
    if label != "method":
        found = found[found["method"] == ROWS[-1]]
    gains = {
        (row[label], row["seed"]): format_difference(row["difference"], row["low"], row["high"])
        for row in found.to_dict("records")
    }
    numbers = sorted(set(found["seed"]))
    rows = [[name, *(gains.get((name, seed), "") for seed in numbers)] for name in dict.fromkeys(found[label])]
    yield from lines([heading, *(f"seed {seed}" for seed in numbers)], rows)


def differences(dataset: str, name: str, label: str, heading: str, form: str) -> Iterator[str]:
    """A row for each value of the column `label`, of results with the first method's mean beside each difference."""
    found = recorded(name).rename(columns=GAIN)
    found = found.assign(gain_seeds=found["n_seeds"], paper=float("nan"), gain_paper=float("nan"))
    found = found[found["dataset"] == dataset]
    first = found.drop_duplicates(label).assign(method=FIRST, mean=lambda rows: rows["mean_reference"])
    both = pd.concat([first, found]).sort_values(label, kind="stable")
    yield from by_method(both.assign(**{label: both[label].map(form.format)}), label, heading)


def progress() -> Iterator[str]:
    """A row for each table of each study: how many of its cells are done, and how long they took."""
    cells = recorded("cells")
    rows = []
    for name, dataset in STUDIES.items():
        own = cells[cells["dataset"] == dataset]
        for number in (1, 2, 3) if name == "brains" else (1, 2):
            inside = own[own["tables"].str.contains(str(number))]
            done = inside[inside["state"] == "done"]
            by_seed = done.groupby("seed").size()
            seeds = ", ".join(f"{count} of seed {seed}" for seed, count in by_seed.items())
            hours = (done["training_s"] + done["scoring_s"]).sum() / 3600
            rows.append([f"{name}, Table {number}", f"{len(done)} of {len(inside)}", seeds, f"{hours:.1f}"])
    yield from lines(["", "cells done", "of which", "core hours"], rows)


TABLES: dict[str, Callable[[str], Iterator[str]]] = {
    "table 1": table1, "table 2": table2, "table 3": table3, "alone": alone, "counts": counts,
    "seeds of table 1": partial(seeds, table="table1", label="setting", heading="rates"),
    "seeds of table 2": partial(seeds, table="table2", label="method", heading="method"),
    "seeds of table 3": partial(seeds, table="table3", label="network", heading="network"),
}  # fmt: skip


def part(name: str) -> str:
    """A table of the page by its name, "progress" or "brains" or "hearts" and a name of `TABLES`."""
    if name == "progress":
        return "\n".join(progress())
    study, _, table = name.partition(" ")
    return "\n".join(TABLES[table](STUDIES[study]))


def filled(page: str) -> str:
    """The page with its tables as they are recorded."""
    return PART.sub(lambda match: f"{match[1]}\n{part(match['name'])}\n\n{match[3]}", page)


if __name__ == "__main__":
    write_text(PAGE, filled(PAGE.read_text(encoding="utf-8")))
