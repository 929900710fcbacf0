"""The whole way in minutes: phantoms, preparation, two trainings, scores, a page."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passion.commands.phantoms import phantom_brain
from passion.commands.studies import draw_missing, prepare, split
from passion.configuration import Configuration, DataSettings
from passion.errors import say
from passion.evaluation.run import evaluate_run
from passion.experiment import train
from passion.experiments.states import is_evaluated
from passion.report.page import write_report
from passion.report.results import read_run
from passion.report.tables import comparison_table, print_table
from passion.training.settings import TrainingSettings

RATES = "t1=0.2,t1c=0.4,flair=0.6,t2=0.8"
METHODS = ("baseline", "passion")
NOTE = (
    "A demonstration of minutes: it shows the way from files to a page, not the effect. Both methods were trained for "
    "the same few steps, with one seed, on a few small phantoms; which of the two is ahead here means nothing."
)


@dataclass(frozen=True)
class Scale:
    """How large a demonstration is.

    Args:
        cases: phantoms.
        size: voxels along each axis.
        patch_size: of training and of the windows.
        epochs: passes over the training cases.
        network: its options.
    """

    cases: int
    size: int
    patch_size: int
    epochs: int
    network: dict[str, Any]


SCALES = {
    "small": Scale(
        cases=32, size=64, patch_size=48, epochs=20, network={"name": "mmformer", "token_dim": 96, "token_hidden": 192}
    ),
    "large": Scale(cases=120, size=80, patch_size=64, epochs=100, network={"name": "mmformer"}),
}


def run_demo(out: Path, scale: str, seed: int) -> None:
    """Compare PASSION with its baseline on a phantom study and write `report.html` in `out`.

    What is in `out` already is kept and continued.

    Args:
        out: folder of everything.
        scale: a key of `SCALES`.
        seed: of phantoms, split, draw and training.

    Raises:
        InputError: `out` holds something else.
    """
    chosen = SCALES[scale]
    raw, prepared, split_file, presence = (out / name for name in ("raw", "prepared", "split.csv", "presence.csv"))
    phantom_brain(raw, cases=chosen.cases, size=chosen.size, seed=seed)
    split(raw, out=split_file, seed=seed)
    draw_missing(raw, split=split_file, rates=RATES, out=presence, seed=seed)
    prepare(raw, prepared)
    data = DataSettings(prepared, split_file, presence, patch_size=chosen.patch_size, workers=1)
    settings = TrainingSettings(
        epochs=chosen.epochs,
        learning_rate=2e-3,
        precision="bf16-mixed",
        seed=seed,
        validate_every=chosen.epochs,
        preference_every=5,
    )
    runs = [out / method for method in METHODS]
    for run in runs:
        say(f"\n{run.name}: training for {chosen.epochs} epochs")
        sys.stdout.flush()
        configuration = Configuration(data, settings, chosen.network, {"name": run.name})
        if not is_evaluated(run):
            train(configuration, run, resume=True)
            evaluate_run(run)
    page = out / "report.html"
    write_report(runs, page, notes=[NOTE])
    print_table(comparison_table([read_run(run) for run in runs]), "Averages over all subsets")
    say(f"{NOTE}\nThe page: {page}")
