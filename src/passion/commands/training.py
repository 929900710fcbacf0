"""Commands that make a run: by training, or of weights that others trained."""

from pathlib import Path
from typing import TYPE_CHECKING

from passion.errors import say

if TYPE_CHECKING:
    from passion.configuration import Configuration


def train(configuration: "Configuration", *, out: Path, resume: bool = False) -> None:
    """Train a network; every option stands in a configuration file or on the command line.

    Args:
        configuration: see the groups of options.
        out: the run folder; without --resume there must be nothing in it.
        resume: continue the run in --out after its last whole epoch, with its own configuration; where none is begun,
            begin it.
    """
    from passion.experiment import train as train_run
    from passion.parallel import is_rank_zero

    anything_left = train_run(configuration, out, resume)
    if is_rank_zero(configuration.training.devices):
        already = "" if anything_left else " already, for all its epochs"
        say(f"{out}: trained{already}; next: passion evaluate {out}")


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
