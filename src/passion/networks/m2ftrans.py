"""M2FTrans (Shi et al., IEEE JBHI 2024), as the PASSION authors use it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passion.errors import InputError
from passion.networks.blocks import (
    PostNormConvolution,
    PostNormFusion,
    TransformerBlock,
    convolution,
    deep_head,
)
from passion.networks.channel_attention import CrossBlock, place
from passion.networks.contract import Decoding, Encoding, ModalityAxis, PerModality
from passion.networks.modalitywise import DecoderStage, ModalityWise, Pairs, RowEncoding

LEVELS = 5
FUSED_BY_CONVOLUTION = 3
"""The finest levels; the others are fused by attention over channels."""
REDUCTION = 2 ** (LEVELS - 1)
CROSS_LAYERS = 2


@dataclass(frozen=True)
class M2FTransEncoding(RowEncoding):
    """See `RowEncoding`.

    In the transformer a modality's tokens attend to themselves alone, so they do not depend on the subset.

    Args:
        summands: what each row adds to the first convolution of the fusion, one tensor each of the three finest levels.
        keys: of the modality's tokens, (R, heads, T, d) each block.
        values: the same.
        tokens: of one: (R, T, 16 width), after the last block.
    """

    summands: tuple[Tensor, ...]
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    tokens: tuple[Tensor, ...]


class M2FTrans(ModalityWise, PerModality):
    """Shi et al., "M2FTrans: Modality-Masked Fusion Transformer ...", IEEE JBHI, 2024.

    "... Modality-Masked Fusion Transformer for Incomplete Multi-Modality Brain Tumor Segmentation" in full.

    Learnt fusion tokens attend to the tokens of the modalities that are there. How much they attend to each place of
    a modality weighs its features at every level.

    Args:
        modalities: M.
        classes: K, the background included.
        spatial_dims: 2 or 3.
        width: channels of the finest level; a token has 16 times as many.
        patch_size: extent of a window, a multiple of 16, at least 32; one number or one a spatial axis.
        token_hidden: width of the transformer's feed-forward networks.
        heads: of the attention.
        depth: transformer blocks in a row, at least 1.
        dropout: rate in the transformer and in the channel attention.
        unimodal_decoder: build the second decoder. Without it `decode_alone` answers with the fusion decoder.

    Raises:
        InputError: a patch size, width, depth or number of heads that does not fit.

    >>> with torch.device("meta"):
    ...     network = M2FTrans(modalities=4, classes=4)
    >>> f"{sum(parameter.numel() for parameter in network.parameters()):,} parameters"
    '13,194,788 parameters'
    """

    ENCODING = M2FTransEncoding
    PARTS = (*ModalityWise.PARTS, PostNormFusion)
    TINY: ClassVar = {"width": 2, "token_hidden": 16, "heads": 2, "depth": 2}

    def __init__(
        self,
        modalities: int,
        classes: int,
        spatial_dims: int = 3,
        width: int = 8,
        patch_size: int | Sequence[int] = 80,
        token_hidden: int = 4096,
        heads: int = 8,
        depth: int = 3,
        dropout: float = 0.1,
        unimodal_decoder: bool = True,
    ) -> None:
        if depth < 1:
            raise InputError(f"depth {depth}: must be at least 1, the first block's attention weighs the features")
        super().__init__(
            modalities, classes, spatial_dims, width, patch_size, LEVELS, PostNormConvolution, unimodal_decoder
        )
        widths = [width * 2**level for level in range(LEVELS)]
        self.grid = [size // REDUCTION for size in self.patch_size]
        places, token_dim = math.prod(self.grid), widths[-1]
        self.fusion_tokens = nn.Parameter(torch.randn(places, token_dim))
        self.positions = nn.Parameter(torch.zeros(modalities, places, token_dim))
        self.fusion_positions = nn.Parameter(torch.zeros(places, token_dim))
        self.blocks = nn.ModuleList(TransformerBlock(token_dim, heads, token_hidden, dropout) for _ in range(depth))
        self.fuse = nn.ModuleList(
            PostNormFusion(spatial_dims, modalities, channels, channels, channels)
            for channels in widths[:FUSED_BY_CONVOLUTION]
        )
        self.cross = nn.ModuleList(
            nn.ModuleList(
                CrossBlock(spatial_dims, modalities, channels, dropout, last=layer == CROSS_LAYERS - 1)
                for layer in range(CROSS_LAYERS)
            )
            for channels in widths[FUSED_BY_CONVOLUTION:]
        )
        self.bottom = nn.Sequential(
            PostNormConvolution(spatial_dims, 2 * token_dim, token_dim),
            PostNormConvolution(spatial_dims, token_dim, token_dim, kernel=1),
        )
        self.up = nn.ModuleList(DecoderStage(spatial_dims, channels, PostNormConvolution) for channels in widths[:-1])
        self.deep_heads = nn.ModuleList(deep_head(spatial_dims, channels, classes) for channels in widths)
        self.head = convolution(spatial_dims, width, classes, kernel=1)

    def modality_axes(self) -> Mapping[str, Sequence[ModalityAxis]]:
        """See `PerModality`."""
        return {"positions": [ModalityAxis(0)]}

    def _encode_modality(self, image: Tensor, modality: int) -> tuple[Sequence[Tensor], ...]:
        features = self.encoders[modality](image)
        summands = [
            cast(PostNormFusion, fuse).fusion.summand(level, modality)
            for fuse, level in zip(self.fuse, features, strict=False)
        ]
        tokens = features[-1].flatten(2).transpose(1, 2) + self.positions[modality]
        keys, values = [], []
        for block in cast(Sequence[TransformerBlock], self.blocks):
            query, key, value = block.split_heads(block.project(tokens))
            tokens = block.finish(tokens, block.attend(query, key, value))
            keys.append(key)
            values.append(value)
        return features, summands, keys, values, [tokens]

    def decode(self, encoding: Encoding, case: Tensor, subset: Tensor) -> Decoding:
        """See `Segmenter.decode`."""
        assert isinstance(encoding, M2FTransEncoding)
        pairs = encoding.pairs(case, subset)
        tokens, attention = self._attend_to_modalities(encoding, pairs, len(case))
        fused = self._as_map(tokens)
        deepest = self._as_map(encoding.tokens[0][pairs.row]) * attention
        deep = [self.deep_heads[-1](fused)]
        x = self.bottom(torch.cat((self._fuse_by_attention(-1, fused, deepest, pairs), fused), dim=1))
        for level in reversed(range(LEVELS - 1)):
            stage = cast(DecoderStage, self.up[level])
            lifted = stage.lift(x)
            deep.insert(0, self.deep_heads[level](lifted))
            attention = F.interpolate(attention, scale_factor=2.0, mode="nearest")
            if level < FUSED_BY_CONVOLUTION:
                skip = self._fuse_by_convolution(level, encoding, attention, pairs, len(case))
            else:
                maps = encoding.features[level][pairs.row] * attention
                skip = self._fuse_by_attention(level - LEVELS, lifted, maps, pairs)
            x = stage.merge(lifted, skip)
        return Decoding(self.head(x), tuple(deep), x)

    def _attend_to_modalities(self, encoding: M2FTransEncoding, pairs: Pairs, answers: int) -> tuple[Tensor, Tensor]:
        """The fusion tokens (P, T, 16 width) after the transformer, and the first block's attention to each place of
        each pair's modality, summed over heads and queries, without gradient: (Q, 1, *grid).
        """
        tokens = (self.fusion_tokens + self.fusion_positions).expand(answers, -1, -1)
        places = tokens.shape[1]
        seen = torch.zeros(answers, len(self.positions) + 1, places, dtype=torch.bool, device=tokens.device)
        seen[pairs.answer, pairs.modality] = True
        seen[:, -1] = True
        allowed = seen.flatten(1)[:, None, None]
        attention = tokens
        for number, block in enumerate(cast(Sequence[TransformerBlock], self.blocks)):
            query, key, value = block.split_heads(block.project(tokens))
            keys = self._with_modalities(key, encoding.keys[number][pairs.row], pairs)
            values = self._with_modalities(value, encoding.values[number][pairs.row], pairs)
            if number == 0:
                attention = _attention_received(query, keys, allowed).view(*seen.shape)
            tokens = block.finish(tokens, block.attend(query, keys, values, allowed))
        return tokens, attention[pairs.answer, pairs.modality].view(-1, 1, *self.grid)

    def _with_modalities(self, own: Tensor, of_pairs: Tensor, pairs: Pairs) -> Tensor:
        """Keys or values of the modalities, (Q, heads, T, d), and the fusion tokens' own, (P, heads, T, d), joined."""
        dense = place(of_pairs, pairs, (len(own), len(self.positions), *own.shape[1:]))
        return torch.cat((dense.transpose(1, 2).flatten(2, 3), own), dim=2)

    def _as_map(self, tokens: Tensor) -> Tensor:
        """(P, T, C) -> (P, C, *grid)."""
        return tokens.transpose(1, 2).reshape(len(tokens), -1, *self.grid)

    def _fuse_by_attention(self, level: int, fused: Tensor, maps: Tensor, pairs: Pairs) -> Tensor:
        """`level` counts from the coarsest, -1: (P, C, *space) and (Q, C, *space) -> (P, C, *space)."""
        for block in cast(nn.ModuleList, self.cross[level]):
            fused, maps = block(fused, maps, pairs)
        return fused

    def _fuse_by_convolution(
        self, level: int, encoding: M2FTransEncoding, attention: Tensor, pairs: Pairs, answers: int
    ) -> Tensor:
        fuse = cast(PostNormFusion, self.fuse[level])
        weighted = encoding.summands[level][pairs.row] * attention
        total = weighted.new_zeros(answers, *weighted.shape[1:]).index_add(0, pairs.answer, weighted)
        out: Tensor = fuse(fuse.fusion.with_bias(total))
        return out


@torch.no_grad()
def _attention_received(query: Tensor, keys: Tensor, allowed: Tensor) -> Tensor:
    """Softmax attention that each key gets, summed over heads and queries: (P, keys)."""
    scores = query @ keys.transpose(2, 3) / math.sqrt(query.shape[-1])
    return scores.masked_fill(~allowed, -torch.inf).softmax(-1).sum((1, 2))
