"""The four methods, Table 2's rows and the three networks on slices of the brain phantom.

    python benchmarks/quick_study.py OUT --study methods --seeds 5

Each cell (what is trained, with which seed) is a run folder; finished ones are kept, so the study can be stopped and
continued. A seed draws the presence matrix, the initial weights and the order of everything; all cells share phantoms,
split and test cases. Differences are paired by seed; the interval is Student's, over seeds.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy import stats

from passion.files import replacing

HERE = Path(__file__).parent
CONFIGURATION = HERE / "quick_study.yaml"
CASES, SIZES, EDGE = 100, "80,8,12", 64
RATES = "t1=0.2,t1c=0.4,flair=0.6,t2=0.8"
TABLE2 = HERE.parent / "configs/table2"


def options_of(configuration: Path) -> dict[str, object]:
    """What a configuration file sets, as options."""
    content = yaml.safe_load(configuration.read_text(encoding="utf-8"))
    return {f"{section}.{key}": value for section, values in content.items() for key, value in values.items()}


TOKENS = {"network.token_dim": 64, "network.token_hidden": 128}
"""Of mmFormer in every study, on top of the configuration."""

LAYOUT = {"network.token_layout": "aligned"}
"""Of mmFormer in every study but that of the layouts, which it was chosen by."""

STUDIES: dict[str, dict[str, dict[str, object]]] = {
    "methods": {
        **{method: {"objective.name": method, **LAYOUT} for method in ("baseline", "moddrop", "pmr", "passion")},
        "pdt": {"objective.name": "baseline", "data.setting": "pdt", **LAYOUT},
    },
    "ablations": {path.stem: {**options_of(path), **LAYOUT} for path in sorted(TABLE2.glob("*.yaml"))},
    "task": {
        "baseline": {"objective.name": "baseline", **LAYOUT},
        "without L_reg": {
            "objective.name": "passion",
            "objective.use_pixel": False,
            "objective.use_semantic": False,
            "objective.use_delta": False,
            "objective.use_beta": False,
            **LAYOUT,
        },
    },
    "precision": {
        "fp32": {"objective.name": "passion", "training.precision": "32-true", **LAYOUT},
        "bf16": {"objective.name": "passion", **LAYOUT},
    },
    "networks": {
        f"{network}-{method}": {"objective.name": method, **options}
        for network, options in (
            ("mmformer", LAYOUT),
            ("rfnet", {"network.name": "rfnet"}),
            ("m2ftrans", {"network.name": "m2ftrans"}),
        )
        for method in ("baseline", "passion")
    },
    "layouts": {
        layout: {"objective.name": "baseline", "network.token_layout": layout} for layout in ("published", "aligned")
    },
}


def passion(*words: object) -> None:
    """Run a command with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "passion.cli", *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-2000:]}")


def make_data(out: Path, seeds: list[int]) -> None:
    """Phantoms, split, prepared study and a presence matrix a seed."""
    passion("phantom", "brain", out / "raw", "--cases", CASES, "--size", EDGE, "--seed", 0)
    if not (out / "split.csv").exists():
        passion("split", out / "raw", "--sizes", SIZES, "-o", out / "split.csv")
    passion("prepare", out / "raw", out / "prepared")
    for seed in seeds:
        presence = out / f"presence-{seed}.csv"
        if not presence.exists():
            passion("draw-missing", out / "raw", "--split", out / "split.csv", "--rates", RATES, "--seed", seed,
                    "-o", presence)  # fmt: skip


def run_of(out: Path, options: dict[str, object], seed: int) -> Path:
    """Folder of a cell; cells of different studies that are the same share it."""
    name = "-".join(f"{key.split('.')[-1]}={value}" for key, value in sorted(options.items()))
    return out / "runs" / name / f"seed-{seed}"


def run_cell(out: Path, options: dict[str, object], seed: int) -> None:
    """Train and score a cell, or what is left of it."""
    run = run_of(out, options, seed)
    if (run / "evaluation/test-last/settings.json").exists():
        return
    if not (run / "checkpoints/last.ckpt").exists():
        subprocess.run(["rm", "-rf", str(run)], check=True)
        presence = [] if options.get("data.setting") == "pdt" else ["--data.presence", out / f"presence-{seed}.csv"]
        tokens = {} if "network.name" in options else TOKENS
        chosen = [word for key, value in (options | tokens).items() for word in (f"--{key}", str(value).lower())]
        passion("train", "--config", CONFIGURATION, "--data.prepared", out / "prepared", "--data.split",
                out / "split.csv", *presence, "--training.seed", seed, *chosen, "--out", run)  # fmt: skip
    else:
        passion("train", "--out", run, "--resume")
    passion("evaluate", run, "--device", "cpu")
    print(f"done: {run.relative_to(out)}", flush=True)


def collect(out: Path, study: str, seeds: list[int]) -> pd.DataFrame:
    """All scores of the cells that are finished: the columns of `scores.csv`, and `label` and `seed`."""
    tables = []
    for label, options in STUDIES[study].items():
        for seed in seeds:
            scores = run_of(out, options, seed) / "evaluation/test-last/scores.csv"
            if scores.exists():
                tables.append(pd.read_csv(scores).assign(label=label, seed=seed))
    return pd.concat(tables, ignore_index=True)


def interval(values: np.ndarray) -> float:
    """Half the width of the 95 % interval of the mean."""
    return float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)) if len(values) > 1 else float("nan")


def compare(scores: pd.DataFrame, by: str | None, labels: list[str]) -> pd.DataFrame:
    """Dice in % of every label, and its paired difference to the first one with a 95 % interval over seeds."""
    scores = scores.assign(part="all" if by is None else scores[by])
    means = 100 * scores.pivot_table(index=["part", "seed"], columns="label", values="dice")
    rows = []
    for part in scores["part"].unique():
        for label in [label for label in labels if label in means.columns]:
            values = means.loc[part, label].dropna()
            row = {"part": part, "label": label, "seeds": len(values), "dice": values.mean()}
            if label != labels[0]:
                difference = (means.loc[part, label] - means.loc[part, labels[0]]).dropna().to_numpy()
                row |= {"difference": difference.mean(), "interval": interval(difference),
                        "seeds_better": int((difference > 0).sum())}  # fmt: skip
            rows.append(row)
    return pd.DataFrame(rows)


def report(scores: pd.DataFrame, study: str, results: Path) -> None:
    """Print the tables and write `quick-study-STUDY.csv`, `.json` and the per-case scores."""
    labels = list(STUDIES[study])
    tables = {by or "all": compare(scores, by, labels) for by in (None, "region", "subset")}
    for by, table in tables.items():
        print(f"\n{study} by {by}: Dice [%], difference to {labels[0]} (paired by seed, +- 95 %)")
        print(table.to_string(index=False, float_format=lambda value: f"{value:.2f}"))
    with replacing(results / f"quick-study-{study}.csv") as beside:
        pd.concat([table.assign(by=by) for by, table in tables.items()]).round(3).to_csv(beside, index=False)
    described = {
        "configuration": CONFIGURATION.read_text(encoding="utf-8"), "tokens": TOKENS,
        "cells": STUDIES[study], "rates": RATES,
        "cases": CASES, "sizes": SIZES, "voxels_an_edge": EDGE, "seeds": sorted(map(int, scores["seed"].unique())),
    }  # fmt: skip
    with replacing(results / f"quick-study-{study}.json") as beside:
        beside.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Train what is not trained yet, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--study", choices=STUDIES, default="methods")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    seeds = list(range(arguments.seeds))
    arguments.out.mkdir(parents=True, exist_ok=True)
    make_data(arguments.out, seeds)
    cells = [(options, seed) for seed in seeds for options in STUDIES[arguments.study].values()]
    cells.sort(key=lambda cell: "data.setting" in cell[0])
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda cell: run_cell(arguments.out, *cell), cells))
    report(collect(arguments.out, arguments.study, seeds), arguments.study, arguments.results)


if __name__ == "__main__":
    main()
