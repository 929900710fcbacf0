"""Reading files of weights that somebody may have sent: nothing in them is executed, and damage is noticed."""

import hashlib
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from passion.errors import InputError


def read_weights(path: Path, remedy: str, allowed: Sequence[Any] = ()) -> Any:
    """What PyTorch stored: tensors, numbers, names and containers of them.

    Args:
        path: of the file.
        remedy: what to do if it cannot be read.
        allowed: harmless classes beside PyTorch's own.

    Raises:
        InputError: missing, damaged, or with anything else in it.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; {remedy}")
    try:
        if zipfile.is_zipfile(path):
            _check_archive(path)
        with torch.serialization.safe_globals(list(allowed)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path}: cannot be read as weights alone ({_reason(error)}); {remedy}") from error


def fingerprint(network: nn.Module) -> str:
    """A digest of all weights and buffers: the same for the same network, wherever its checkpoint lies."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    """In short, and without PyTorch's advice to load it all the same."""
    called = re.search(r"GLOBAL (\S+)", str(error))
    if called:
        is_name = all(part.isidentifier() for part in called[1].split("."))
        return f"it would execute {called[1]}" if is_name else "it is no file of PyTorch's"
    return str(error).splitlines()[0][:200] if isinstance(error, InputError) else type(error).__name__


def _check_archive(path: Path) -> None:
    """Refuse an archive that is damaged, or that is larger unpacked: PyTorch checks neither, and stores only."""
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise InputError("it is compressed, which PyTorch's files are not")
        damaged = archive.testzip()
    if damaged is not None:
        raise InputError("its checksum does not match")
