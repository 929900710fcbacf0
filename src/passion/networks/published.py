"""Import of the checkpoints that the authors' code writes: their parameter names in, our networks out."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from passion.errors import InputError
from passion.networks.contract import Segmenter
from passion.networks.m2ftrans import M2FTrans
from passion.networks.mmformer import REDUCTION, MMFormer
from passion.networks.published_names import M2FTRANS, MMFORMER, RFNET, Table
from passion.networks.rfnet import RFNet

State = Mapping[str, Tensor]


def load(name: str, state_dict: State) -> Segmenter:
    """Build the network that `state_dict` belongs to and fill it.

    Width, patch size, classes, modalities and token widths follow from names and shapes; a leading `module.`, which
    `DataParallel` adds, is stripped. The modality axis is in the order of the published encoders (`modalities_of`).
    Kernels of depth 1, as in the published code for slices, make a network for slices.

    Args:
        name: "mmformer", "rfnet" or "m2ftrans".
        state_dict: parameters by their published names.

    Raises:
        InputError: an unknown network, or parameters that are missing, left over or of another shape.
    """
    options, state = translate(name, state_dict)
    try:
        network = _LOADERS[name][0](**options)
    except InputError as refused:
        raise InputError(f"the state dict is not a published {name}: {refused}") from refused
    fill(network, state, name)
    return network


def check_name(name: str) -> None:
    """Refuse what is no published network's name.

    Raises:
        InputError: see above.
    """
    if name not in _LOADERS:
        raise InputError(f"no published network is called {name!r}; there are: {', '.join(_LOADERS)}")


def translate(name: str, state_dict: State) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Arguments of our network's class, and the parameters by our names; see `load`, which says what it raises."""
    check_name(name)
    published = {key.removeprefix("module."): value for key, value in state_dict.items()}
    names = modalities_of(published)
    if not names:
        raise InputError(f"the state dict is not a published {name}: it has no encoder of a modality")
    try:
        return _translate(name, published, names)
    except KeyError as missing:
        raise InputError(f"the state dict is not a published {name}: it has no {missing}") from missing
    except (IndexError, RuntimeError) as error:
        raise InputError(f"the state dict is not a published {name}: {' '.join(str(error).split())}") from error


def _translate(name: str, published: State, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    stem = _stem(published, names[0])
    if published[stem].shape[-1] == 1:
        published = {key: value.squeeze(-1) if value.ndim == 5 else value for key, value in published.items()}
    _, find_options, find_special, table = _LOADERS[name]
    options = {
        "modalities": len(names),
        "spatial_dims": published[stem].ndim - 2,
        "width": len(published[stem]),
        "unimodal_decoder": any(key.startswith("decoder_sep.") for key in published),
        **find_options(published, names),
    }
    renamed = {
        _rename(key, table, names): _skip_first(value) if _is_unimodal_join(key) else value
        for key, value in published.items()
        if not re.fullmatch(_SPECIAL, key)
    }
    return options, {**renamed, **find_special(published, names)}


def modalities_of(state_dict: State) -> tuple[str, ...]:
    """Published names of the modalities, in the order of their encoders: Flair, T1c, T1, T2 for the brain.

    >>> modalities_of({"module.flair_encoder.e1_c1.weight": torch.zeros(1)})
    ('flair',)
    """
    found = (re.match(r"(?:module\.)?(\w+)_encoder\.e1_c1", key) for key in state_dict)
    return tuple(dict.fromkeys(match[1] for match in found if match))


_SPECIAL = r"\w+_pos|pos|fusion|decoder_fuse\.RFM\d\.modal_fusion\..*"
"""Parameters that are not just renamed."""


def _stem(published: State, modality: str) -> str:
    plain = f"{modality}_encoder.e1_c1.weight"
    return plain if plain in published else f"{modality}_encoder.e1_c1.conv.weight"


def _side(places: int, published: State) -> int:
    """Places along each axis of the bottleneck's grid, which is a square or a cube."""
    dims = max(value.ndim for value in published.values()) - 2
    return round(math.pow(places, 1 / dims))


def _mmformer_options(published: State, names: Sequence[str]) -> dict[str, Any]:
    positions = published[f"{names[0]}_pos"]
    return {
        "classes": len(published["decoder_fuse.seg_layer.weight"]),
        "patch_size": _side(positions.shape[1], published) * REDUCTION,
        "token_dim": positions.shape[2],
        "token_hidden": len(published["multimodal_transformer.cross_ffn_list.0.fn.fn.net.0.weight"]),
        "depth": _depth(published, "multimodal_transformer"),
        "token_layout": "published",
    }


def _depth(published: State, transformer: str) -> int:
    pattern = rf"{transformer}\.cross_ffn_list\.(\d+)\."
    return len({match[1] for key in published if (match := re.match(pattern, key))})


def _mmformer_special(published: State, names: Sequence[str]) -> dict[str, Tensor]:
    return {"positions": torch.cat([published[f"{name}_pos"] for name in names])}


def _rfnet_options(published: State, _: Sequence[str]) -> dict[str, Any]:
    return {"classes": len(published["decoder_fuse.seg_layer.weight"])}


def _rfnet_special(published: State, _: Sequence[str]) -> dict[str, Tensor]:
    classes = len(published["decoder_fuse.seg_layer.weight"])
    levels = {match[1] for key in published if (match := re.match(r"decoder_fuse\.RFM(\d)\.modal_fusion", key))}
    special = {}
    for level in levels:
        for layer, ours in ((0, "hidden"), (2, "out")):
            for kind in ("weight", "bias"):
                key = f"decoder_fuse.RFM{level}.modal_fusion.{{}}.weight_layer.{layer}.{kind}"
                stacked = torch.stack([published[key.format(index)] for index in range(classes)])
                special[f"regions.{int(level) - 1}.weights.{ours}_{kind}"] = stacked.reshape(stacked.shape[:3])
    return special


def _m2ftrans_options(published: State, _: Sequence[str]) -> dict[str, Any]:
    return {
        "classes": len(published["decoder_fusion.seg_layer.weight"]),
        "patch_size": _side(published["fusion"].shape[1], published) * REDUCTION,
        "token_hidden": len(published["Bottleneck.trans_bottle.cross_ffn_list.0.fn.fn.net.0.weight"]),
        "depth": _depth(published, r"Bottleneck\.trans_bottle"),
    }


def _m2ftrans_special(published: State, names: Sequence[str]) -> dict[str, Tensor]:
    positions = published["pos"].view(len(names) + 1, *published["fusion"].shape[1:])
    return {
        "positions": positions[:-1],
        "fusion_positions": positions[-1],
        "fusion_tokens": published["fusion"].squeeze(0),
    }


def _evaluate(term: str, names: Sequence[str]) -> str:
    if term in names:
        return str(names.index(term))
    arithmetic = re.fullmatch(r"(\d)([+-])(\d)", term)
    if arithmetic is None:
        return f"<{term}>"
    number, sign, offset = arithmetic.groups()
    return str(int(number) + int(offset) * (1 if sign == "+" else -1))


def _rename(name: str, table: Table, names: Sequence[str]) -> str:
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"<([^>]+)>", lambda match: _evaluate(match[1], names), name)


def _is_unimodal_join(name: str) -> bool:
    return re.fullmatch(r"decoder_sep\.d\d_c2\.conv\.weight", name) is not None


def _skip_first(weight: Tensor) -> Tensor:
    """The published uni-modal decoder joins (below, skip), its fusion decoder (skip, below) as ours do."""
    below, skip = weight.chunk(2, dim=1)
    return torch.cat((skip, below), dim=1)


def fill(network: Segmenter, state: Mapping[str, Tensor], what: str) -> None:
    """Load parameters by our names.

    Raises:
        InputError: parameters that are missing, left over or of another shape.
    """
    expected = network.state_dict()
    odd = sorted(set(expected) ^ set(state)) + sorted(
        name for name in set(expected) & set(state) if expected[name].shape != state[name].shape
    )
    if odd:
        raise InputError(
            f"the state dict is not a published {what}: {len(odd)} parameters do not fit, the first is {odd[0]!r}"
        )
    network.load_state_dict(state)


Loader = tuple[
    Callable[..., Segmenter],
    Callable[[State, Sequence[str]], dict[str, Any]],
    Callable[[State, Sequence[str]], dict[str, Tensor]],
    Table,
]
"""The class, its options and its unusual parameters from a published state, and the names of the others."""

_LOADERS: dict[str, Loader] = {
    "mmformer": (MMFormer, _mmformer_options, _mmformer_special, MMFORMER),
    "rfnet": (RFNet, _rfnet_options, _rfnet_special, RFNET),
    "m2ftrans": (M2FTrans, _m2ftrans_options, _m2ftrans_special, M2FTRANS),
}
