"""Import of the checkpoints that the authors' code writes: their parameter names in, our networks out."""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from passion.errors import InputError
from passion.networks.contract import Segmenter
from passion.networks.mmformer import REDUCTION, MMFormer

MODALITIES = ("flair", "t1ce", "t1", "t2")
"""Order of the modality axis in the published networks."""

_MODALITY = "|".join(MODALITIES)


def load(name: str, state_dict: Mapping[str, Tensor]) -> Segmenter:
    """Build the network that `state_dict` belongs to and fill it.

    Width, patch size, classes and token widths follow from the shapes; a leading `module.`, which
    `DataParallel` adds, is stripped. The modality axis is in the published order: Flair, T1c, T1, T2.

    Args:
        name: "mmformer".
        state_dict: parameters by their published names.

    Raises:
        InputError: an unknown network, or parameters that are missing, left over or of another shape.
    """
    if name not in _LOADERS:
        raise InputError(f"no published network is called {name!r}; there are: {', '.join(_LOADERS)}")
    stripped = {key.removeprefix("module."): value for key, value in state_dict.items()}
    return _LOADERS[name](stripped)


_MMFORMER_NAMES: tuple[tuple[str, str], ...] = (
    (rf"({_MODALITY})_encoder\.e1_c1", r"encoders.<\1>.stem"),
    (rf"({_MODALITY})_encoder\.e(\d)_c1\.conv", r"encoders.<\1>.down.<\2-2>.convolution"),
    (rf"({_MODALITY})_encoder\.e(\d)_c([23])\.conv", r"encoders.<\1>.refine.<\2-1>.<\3-2>.convolution"),
    (rf"({_MODALITY})_encode_conv", r"to_tokens.<\1>"),
    (rf"({_MODALITY})_transformer", r"intra.<\1>"),
    (r"multimodal_transformer", "inter"),
    (r"multimodal_decode_conv", "from_tokens"),
    (r"cross_attention_list\.(\d+)\.fn\.norm", r"\1.attention_norm"),
    (r"cross_attention_list\.(\d+)\.fn\.fn\.qkv", r"\1.query_key_value"),
    (r"cross_attention_list\.(\d+)\.fn\.fn\.proj", r"\1.projection"),
    (r"cross_ffn_list\.(\d+)\.fn\.norm", r"\1.feed_forward.0"),
    (r"cross_ffn_list\.(\d+)\.fn\.fn\.net\.(\d)", r"\1.feed_forward.<\2+1>"),
    (r"decoder_fuse\.RFM5\.fusion_layer\.0\.conv", "fusion_decoder.fuse_bottleneck.convolution"),
    (r"decoder_fuse\.RFM(\d)\.fusion_layer\.0\.conv", r"fusion_decoder.fuse.<\1-1>.convolution"),
    (r"decoder_fuse\.RFM(\d)\.fusion_layer\.(\d)\.conv", r"fusion_decoder.mix.<\1-1>.<\2-1>.convolution"),
    (r"decoder_fuse\.seg_d(\d)", r"fusion_decoder.heads.\1"),
    (r"decoder_fuse\.seg_layer", "fusion_decoder.heads.0"),
    (r"decoder_sep\.seg_layer", "unimodal_decoder.head"),
    (r"decoder_fuse\.d", "fusion_decoder.d"),
    (r"decoder_sep\.d", "unimodal_decoder.d"),
    (r"decoder\.d(\d)_c1\.conv", r"decoder.up.<\1-1>.rise.convolution"),
    (r"decoder\.d(\d)_c2\.conv", r"decoder.up.<\1-1>.join.convolution"),
    (r"decoder\.d(\d)_out\.conv", r"decoder.up.<\1-1>.out.convolution"),
)
"""Published name -> our name, applied one after the other; `<a>` is then worked out by `_evaluate`."""


def _evaluate(match: re.Match[str]) -> str:
    term = match[1]
    if term in MODALITIES:
        return str(MODALITIES.index(term))
    number, sign, offset = re.fullmatch(r"(\d)([+-])(\d)", term).groups()  # type: ignore[union-attr]
    return str(int(number) + int(offset) * (1 if sign == "+" else -1))


def _rename(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"<([^>]+)>", _evaluate, name)


def _load_mmformer(published: Mapping[str, Tensor]) -> MMFormer:
    try:
        stem = published["flair_encoder.e1_c1.weight"]
        positions = torch.cat([published[f"{modality}_pos"] for modality in MODALITIES])
        hidden = published["multimodal_transformer.cross_ffn_list.0.fn.fn.net.0.weight"].shape[0]
        classes = published["decoder_fuse.seg_layer.weight"].shape[0]
    except KeyError as missing:
        raise InputError(f"the state dict is not a published mmFormer: it has no {missing}") from None
    side = round(positions.shape[1] ** (1 / 3))
    depths = {name.split(".")[2] for name in published if name.startswith("multimodal_transformer.cross_ffn")}
    network = MMFormer(
        modalities=len(MODALITIES),
        classes=classes,
        width=stem.shape[0],
        patch_size=side * REDUCTION,
        token_dim=positions.shape[2],
        token_hidden=hidden,
        depth=len(depths),
        token_layout="published",
        unimodal_decoder=any(name.startswith("decoder_sep.") for name in published),
    )
    ours = {"positions": positions}
    for name, value in published.items():
        if not name.endswith("_pos"):
            ours[_rename(name, _MMFORMER_NAMES)] = _skip_first(value) if _is_unimodal_join(name) else value
    _fill(network, ours, "mmFormer")
    return network


def _is_unimodal_join(name: str) -> bool:
    return re.fullmatch(r"decoder_sep\.d\d_c2\.conv\.weight", name) is not None


def _skip_first(weight: Tensor) -> Tensor:
    """The published uni-modal decoder joins (below, skip), its fusion decoder (skip, below) as ours do."""
    below, skip = weight.chunk(2, dim=1)
    return torch.cat((skip, below), dim=1)


def _fill(network: Segmenter, state: dict[str, Tensor], what: str) -> None:
    expected = network.state_dict()
    odd = sorted(set(expected) ^ set(state)) + sorted(
        name for name in set(expected) & set(state) if expected[name].shape != state[name].shape
    )
    if odd:
        raise InputError(
            f"the state dict is not a published {what}: {len(odd)} parameters do not fit, the first is {odd[0]!r}"
        )
    network.load_state_dict(state)


_LOADERS: dict[str, Callable[[Mapping[str, Tensor]], Segmenter]] = {"mmformer": _load_mmformer}
