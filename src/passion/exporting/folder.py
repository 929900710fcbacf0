"""A run as a folder of weights with a card."""

from pathlib import Path

from passion import __version__
from passion.configuration import Configuration
from passion.data.study import read_run_study
from passion.errors import InputError
from passion.exporting.card import About, card_of
from passion.exporting.page import page_of
from passion.files import replacing_folder, write_text
from passion.models import Card, check_known, is_model, write_model
from passion.networks import Segmenter, build
from passion.run_files import CONFIGURATION
from passion.runs import CheckpointName, load_run

HOW = """\
With `passion` {version} or newer:

    $ passion predict MODEL {options} -o seg.nii.gz
    $ passion evaluate MODEL --prepared PREPARED --split SPLIT.csv

`MODEL` is this folder. A modality that is not at hand is left out. Nothing in the folder is executed, and weights or a
card that were changed are refused."""


def prepare_export(run: Path, out: Path, checkpoint: CheckpointName, about: About) -> tuple[Card, Segmenter]:
    """What is written of a run, whatever the format: its card, and its network without what only training needs.

    Raises:
        InputError: `out` exists, no such run or checkpoint, or a network that is not data alone.
    """
    if out.exists():
        raise InputError(f"--out {out}: exists; choose another folder")
    if is_model(run):
        raise InputError(f"{run}: is an exported model already; give the run that it was exported from")
    read_run_study(run)
    check_known(Configuration.from_file(run / CONFIGURATION).network, run)
    trained = load_run(run, checkpoint)
    card = card_of(run, checkpoint, trained, about)
    network = build(**card["network"])
    whole = trained.network.state_dict()
    network.load_state_dict({name: whole[name] for name in network.state_dict()})
    return card, network.eval()


def export_model(run: Path, out: Path, about: About, checkpoint: CheckpointName = "last") -> Card:
    """Write a run's checkpoint as a folder that `predict` and `evaluate` need nothing beside.

    The second decoder, which answers for one modality in training, is left out: no prediction needs it.

    Args:
        run: folder of the run.
        out: the folder to write; must not exist.
        about: what only the user can say.
        checkpoint: "last" or "best".

    Returns:
        The card.

    Raises:
        InputError: see `prepare_export`.
    """
    card, network = prepare_export(run, out, checkpoint, about)
    options = " ".join(f"--{modality} {modality}.nii.gz" for modality in card["study"]["modalities"])
    with replacing_folder(out) as beside:
        card = write_model(beside, card, network.state_dict())
        write_text(beside / "README.md", page_of(card, HOW.format(version=__version__, options=options)))
    return card
