"""From the weights of one network to those of another that has other modalities or classes."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from passion.errors import InputError
from passion.networks.contract import ModalityAxis, ModalityList, PerModality, Segmenter


def adopt(network: Segmenter, source: Segmenter, shared: Sequence[tuple[int, int]], own: Collection[str]) -> None:
    """Copy to `network` what `source` has learnt; what belongs to other modalities stays as it is.

    Args:
        network: to fill, on the CPU.
        source: on the CPU too, of the same class and options, but for the number of modalities and classes.
        shared: modalities that both have: its place in `network`, its place in `source`.
        own: names of the parameters that `network` keeps.

    Raises:
        InputError: a parameter that has no counterpart, or one of another shape.
    """
    here, there = [pair[0] for pair in shared], [pair[1] for pair in shared]
    axes, theirs = _modality_axes(network), source.state_dict()
    for name, value in network.state_dict().items():
        counterpart = _counterpart(name, network, dict(shared))
        if name in own or counterpart is None:
            continue
        if counterpart not in theirs:
            raise InputError(f"it has no {counterpart}")
        known = theirs[counterpart]
        into = _places(value, axes.get(name, []), network.modalities, here)
        taken = _places(known, axes.get(name, []), source.modalities, there)
        if [len(places) for places in into] != [len(places) for places in taken]:
            raise InputError(f"its {counterpart} has shape {tuple(known.shape)}, not {tuple(value.shape)}")
        value.numpy()[np.ix_(*into)] = known.numpy()[np.ix_(*taken)]


def _modality_axes(network: Segmenter) -> Mapping[str, Sequence[ModalityAxis]]:
    """Of all parameters that stand along the modality axis, by their full names."""
    return {
        f"{path}.{name}".lstrip("."): axes
        for path, module in network.named_modules()
        if isinstance(module, PerModality)
        for name, axes in module.modality_axes().items()
    }


def _counterpart(name: str, network: Segmenter, shared: Mapping[int, int]) -> str | None:
    """How a parameter of `network` is called in the source; None where it is of a modality that is not shared."""
    words = name.split(".")
    for depth in range(1, len(words)):
        if isinstance(network.get_submodule(".".join(words[:depth])), ModalityList):
            place = shared.get(int(words[depth]))
            return None if place is None else ".".join([*words[:depth], str(place), *words[depth + 1 :]])
    return name


def _places(value: Tensor, axes: Sequence[ModalityAxis], modalities: int, order: Sequence[int]) -> list[Tensor]:
    """Along each axis of a parameter, the entries that are copied."""
    by_axis = {axis.axis: axis for axis in axes}
    return [
        by_axis[axis].places(extent, modalities, order) if axis in by_axis else torch.arange(extent)
        for axis, extent in enumerate(value.shape)
    ]
