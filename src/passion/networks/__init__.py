"""Networks that can be asked about any subset of modalities."""

import sys
from typing import Any

from passion.errors import InputError
from passion.networks.contract import Decoding, Encoding, Segmenter, all_subsets, one_hot
from passion.plugins import discover, import_class

NETWORKS: dict[str, type[Segmenter]] = discover(sys.modules[__name__], Segmenter)  # type: ignore[type-abstract]
"""Networks by the name that configurations use."""


def network_class(name: str) -> type[Segmenter]:
    """The class of that name, or that a dotted path such as `my_package.MySegmenter` leads to.

    Raises:
        InputError: no network has that name.
    """
    if "." in name:
        return import_class(name, Segmenter)  # type: ignore[type-abstract]
    if name not in NETWORKS:
        raise InputError(f"network {name!r} is unknown; there are: {', '.join(NETWORKS)}")
    return NETWORKS[name]


def build(name: str, **options: Any) -> Segmenter:
    """Build a network by name; `options` are the arguments of its class.

    Raises:
        InputError: an unknown name, or an option that the network has not or refuses.

    >>> network = build("mmformer", modalities=2, classes=3, spatial_dims=2, width=4, patch_size=32, token_dim=16)
    >>> network.patch_size
    (32, 32)
    """
    try:
        return network_class(name)(**options)
    except TypeError as error:
        raise InputError(f"network {name!r}: {error}") from error


__all__ = [
    "NETWORKS", "Decoding", "Encoding", "Segmenter", "all_subsets", "build", "network_class", "one_hot",
]  # fmt: skip
