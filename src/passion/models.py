"""Exported models: a folder that holds weights and a card that says all that is needed to use them.

    MODEL/card.json              what it is, how it is rebuilt, what it was trained on, how it scored
    MODEL/weights.safetensors    its parameters
    MODEL/README.md              the card, for people

Reading one executes nothing: the card is data, and so are the weights.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from passion.errors import InputError
from passion.files import replacing, write_json
from passion.networks import Segmenter, build
from passion.reading import read_json
from passion.run_files import MODEL_CARD

FORMAT = 1
WEIGHTS = "weights.safetensors"
CHECKSUMS = "sha256"
AGAIN = "get the model again, or export it again"
OF_CARD = "card"
"""Checksum of what the card says, itself left out; of files it is that of their bytes."""

MONAI_NETWORKS = (
    "AttentionUnet",
    "BasicUNet",
    "BasicUNetPlusPlus",
    "DynUNet",
    "SegResNet",
    "SwinUNETR",
    "UNet",
    "UNETR",
)
KNOWN_CLASSES = tuple(f"monai.networks.nets.{name}" for name in MONAI_NETWORKS)
"""Classes of ordinary networks that a card may name: they take numbers and names alone, and read no file."""

Card = Mapping[str, Any]


def is_model(folder: Path) -> bool:
    """Whether a folder holds an exported model."""
    return (folder / MODEL_CARD).exists()


def check_known(network: Mapping[str, Any], where: Path) -> None:
    """Refuse a network that can only be rebuilt by importing code from elsewhere.

    Raises:
        InputError: its class is neither one of this package nor one of `KNOWN_CLASSES`.
    """
    names = [str(network["name"]), str(network.get("class_path", "."))]
    foreign = [name for name in names if name.strip(".").count(".") and name not in KNOWN_CLASSES]
    if foreign:
        raise InputError(
            f"{where}: the network's class {foreign[0]!r} is code from elsewhere, which an exported model cannot hold; "
            "share the run together with that code"
        )


def write_model(folder: Path, card: Card, state: Mapping[str, Tensor]) -> Card:
    """Write weights and card into a folder.

    Args:
        folder: that exists.
        card: without checksums.
        state: parameters and buffers by name.

    Returns:
        The card with checksums, as it was written.
    """
    # Copies, since entries may share their memory, or lie in it in another order, which the format cannot say.
    content = save({name: value.detach().cpu().contiguous().clone() for name, value in state.items()})
    with replacing(folder / WEIGHTS) as beside:
        beside.write_bytes(content)
    checksums = {WEIGHTS: checksum(content), OF_CARD: _card_checksum(card)}
    whole = {**card, CHECKSUMS: checksums}
    write_json(folder / MODEL_CARD, whole)
    return whole


def read_model(folder: Path) -> tuple[Card, Segmenter]:
    """An exported model's card, and its network in evaluation mode.

    Raises:
        InputError: a file is missing, unreadable or not as it was exported, a newer version has written it, or card
            and weights do not fit.
    """
    path = folder / MODEL_CARD
    card = _read_card(path)
    state = _read_weights(folder / WEIGHTS, card)
    network = _build(card, path)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise _unfit(folder / WEIGHTS, f"does not fit the network of the card ({error!s:.200})") from error
    return card, network.eval()


def _build(card: Card, path: Path) -> Segmenter:
    try:
        check_known(card["network"], path)
        return build(**card["network"])
    except InputError as error:
        raise error if str(path) in str(error) else _unfit(path, f"does not describe a network: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise _unfit(path, f"does not describe a network ({error!r:.200})") from error


def _read_card(path: Path) -> Card:
    card = read_json(path, AGAIN)
    found = card.get("format") if isinstance(card, dict) else None
    if not isinstance(found, int):
        raise _unfit(path, "is not the card of an exported model")
    if found > FORMAT:
        raise InputError(f"{path}: has format {found}, this version of passion reads up to {FORMAT}; update passion")
    own = {key: value for key, value in card.items() if key != CHECKSUMS}
    checksums = card.get(CHECKSUMS)
    if not isinstance(checksums, dict) or checksums.get(OF_CARD) != _card_checksum(own):
        raise _unfit(path, "is not as it was exported: its checksum differs")
    for key in ("study", "network", "inference", "checkpoint"):
        if key not in card:
            raise _unfit(path, f"lacks {key!r}")
    return dict(card)


def _read_weights(path: Path, card: Card) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unfit(path, f"cannot be read ({error.strerror})") from error
    if checksum(content) != card[CHECKSUMS].get(WEIGHTS):
        raise _unfit(path, "is not as it was exported: its checksum differs from the card's")
    try:
        return load(content)
    except SafetensorError as error:
        raise _unfit(path, f"cannot be read as safetensors ({error})") from error


def checksum(content: bytes) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _card_checksum(card: Card) -> str:
    """The same whatever the layout of the file."""
    return checksum(json.dumps(card, sort_keys=True, separators=(",", ":")).encode())


def _unfit(path: Path, problem: str) -> InputError:
    return InputError(f"{path}: {' '.join(problem.split())}; {AGAIN}")
