"""Learning curves on validation cases: how long the cells of `--scale small` must train.

    passion phantom brain pilot/raw/brain --cases 91 --size 48 --seed 7
    passion phantom heart pilot/raw/heart --cases 46 --seed 7
    passion prepare pilot/raw/brain pilot/brain
    passion prepare pilot/raw/heart pilot/heart --spacing 2.5,2.5,none
    passion experiment benchmarks/learning_curves/grid.yaml --study pilot/brain pilot/heart --out pilot/1000 \
        --scale pilot/1000.yaml --seeds 1
    python benchmarks/learning_curves/curves.py pilot --steps 500 1000 2000

Each length is a scale of its own, which this script writes where it is not there yet, since the learning rate falls to
the end: that a run of 2000 steps is no better than one of 1000 is what makes 1000 enough, not that a curve is flat. The
phantoms are others than those of the study, and the one test case that a grid must have is not looked at.
"""

import argparse
from pathlib import Path

import pandas as pd
import yaml

from passion.data.study import read_run_study
from passion.experiments.grid import read_scale
from passion.files import replacing, write_text

VALIDATIONS = 4
"""In a run."""


def scale_of(steps: int) -> dict[str, object]:
    """The small scale at another length, validated on the way; one case is scored at the end."""
    content: dict[str, object] = {}
    for kind, scale in read_scale("small").items():
        epochs = steps * int(scale.data["batch_size"]) // int(scale.data["samples_per_epoch"])
        training = {**scale.training, "epochs": epochs, "validate_every": max(1, epochs // VALIDATIONS)}
        train, val, _ = scale.split
        content[kind] = {
            "split": [train, val, 1], "data": dict(scale.data), "training": training,
            "networks": {name: dict(options) for name, options in scale.networks.items()},
        }  # fmt: skip
    return content


def curve(run: Path, steps: int) -> pd.DataFrame:
    """Steps and validation Dice in % of a run, averaged over the regions that its study averages, and its seconds."""
    study, _, objective = run.name.split("_")[:3]
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    history = pd.read_csv(run / "history.csv", keep_default_na=False)
    averaged = history["part"].isin(read_run_study(run).averaged_regions)
    dice = history[(history["quantity"] == "validation_dice") & averaged].groupby("epoch")["value"].mean()
    columns = {
        "study": study,
        "trained": "pdt" if config["data"]["setting"] == "pdt" else objective,
        "length": steps,
        "step": (dice.index + 1) * steps // config["training"]["epochs"],
        "dice": (100 * dice).round(1),
        "seconds": round(history[history["quantity"] == "seconds"]["value"].sum()),
    }
    return pd.DataFrame(columns)


def main() -> None:
    """Write the scales, and the curves of what is trained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pilot", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--out", type=Path, help="CSV file")
    arguments = parser.parse_args()
    tables = []
    for steps in arguments.steps:
        write_text(arguments.pilot / f"{steps}.yaml", yaml.safe_dump(scale_of(steps), sort_keys=False))
        tables += [curve(path.parent, steps) for path in arguments.pilot.glob(f"{steps}/runs/*/history.csv")]
    if tables:
        curves = pd.concat(tables).sort_values(["study", "length", "trained", "step"])
        print(curves.to_string(index=False))
        if arguments.out:
            with replacing(arguments.out) as beside:
                curves.to_csv(beside, index=False)


if __name__ == "__main__":
    main()
