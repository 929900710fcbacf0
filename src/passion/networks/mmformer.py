"""mmFormer (Zhang et al., MICCAI 2022), as the PASSION authors use it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from passion.errors import InputError
from passion.networks.blocks import (
    PreNormConvolution,
    SharedFusion,
    TransformerBlock,
    convolution,
    normalise_and_activate,
)
from passion.networks.contract import Decoding, Encoding, ModalityAxis, ModalityList, PerModality
from passion.networks.modalitywise import DecoderStage, ModalityWise, Pairs, RowEncoding

STAGES = 5
REDUCTION = 2 ** (STAGES - 1)
"""How many voxels a side of a bottleneck's token spans."""

TokenLayout = Literal["published", "aligned"]


@dataclass(frozen=True)
class MMFormerEncoding(RowEncoding):
    """See `RowEncoding`.

    Args:
        summands: what each row adds to the fused features of the four finest levels, shapes as `features`.
        tokens: of two: tokens of the inter-modal transformer, after the modality's own one and with their positions,
            (R, T, token_dim), and their queries, keys and values in its first block, (R, T, 3 token_dim).
    """

    summands: tuple[Tensor, ...]
    tokens: tuple[Tensor, ...]


class FusionDecoder(nn.Module):
    """Fuses the modalities level by level on the way up, with a head at every level."""

    def __init__(self, spatial_dims: int, modalities: int, classes: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(STAGES)]
        self.fuse = nn.ModuleList(
            SharedFusion(spatial_dims, modalities, channels, channels) for channels in widths[:-1]
        )
        self.fuse_bottleneck = PreNormConvolution(
            spatial_dims, modalities * widths[-1], widths[-1], kernel=1, pad="zeros"
        )
        self.mix = nn.ModuleList(
            nn.Sequential(
                PreNormConvolution(spatial_dims, channels, channels, pad="zeros"),
                PreNormConvolution(spatial_dims, channels, channels, kernel=1, pad="zeros"),
            )
            for channels in widths
        )
        self.up = nn.ModuleList(DecoderStage(spatial_dims, channels, PreNormConvolution) for channels in widths[:-1])
        self.heads = nn.ModuleList(convolution(spatial_dims, channels, classes, kernel=1) for channels in widths)

    @property
    def fusions(self) -> list[SharedFusion]:
        """Of the four finest levels."""
        return cast(list[SharedFusion], list(self.fuse))

    def forward(self, fused: Sequence[Tensor], bottleneck: Tensor) -> Decoding:
        """Fused (P, C, *space) of the four finest levels and bottleneck (P, M C, *space / 16) -> P answers."""
        x = self.mix[-1](self.fuse_bottleneck(bottleneck))
        logits = [self.heads[-1](x)]
        for level in reversed(range(STAGES - 1)):
            x = self.up[level](x, self.mix[level](fused[level]))
            logits.append(self.heads[level](x))
        finest, *deep = reversed(logits)
        return Decoding(finest, tuple(deep), x)


class MMFormer(ModalityWise, PerModality):
    """Zhang et al., "mmFormer: Multimodal Medical Transformer for Incomplete Multimodal Learning", MICCAI 2022.

    A convolutional encoder and a transformer for each modality, a transformer over the tokens of all of them, and
    a decoder that fuses their features at every level. The tokens of an absent modality are zeros, to which the
    inter-modal transformer adds their positions: so positions alone learn from a modality's absence.

    Args:
        modalities: M.
        classes: K, the background included.
        spatial_dims: 2 or 3.
        width: channels of the finest level.
        patch_size: extent of a window, a multiple of 16, at least 32; one number or one a spatial axis.
        token_dim: width of a token.
        token_hidden: width of the feed-forward networks.
        heads: of the attention.
        depth: transformer blocks in a row, at least 1.
        dropout: rate in the transformers.
        token_layout: how the inter-modal tokens are laid out for the bottleneck. "aligned" joins the M tokens of
            one place. "published" reads the modality-major sequence as if modalities came last, as the published
            code does, which joins tokens of different places. On phantoms the two score alike (see
            `benchmarks/results/quick-study-layouts.csv`); aligned is the default because with it the order of the
            modalities does not matter.
        unimodal_decoder: build the second decoder. Without it `decode_alone` answers with the fusion decoder.

    Raises:
        InputError: a patch size, width, depth or number of heads that does not fit.

    >>> with torch.device("meta"):
    ...     network = MMFormer(modalities=4, classes=4)
    >>> f"{sum(parameter.numel() for parameter in network.parameters()):,} parameters"
    '35,599,184 parameters'
    """

    ENCODING = MMFormerEncoding
    PARTS = (*ModalityWise.PARTS, FusionDecoder, TransformerBlock)
    TINY: ClassVar = {"width": 4, "token_dim": 16, "token_hidden": 16, "heads": 2}

    def __init__(
        self,
        modalities: int,
        classes: int,
        spatial_dims: int = 3,
        width: int = 8,
        patch_size: int | Sequence[int] = 80,
        token_dim: int = 512,
        token_hidden: int = 4096,
        heads: int = 8,
        depth: int = 1,
        dropout: float = 0.1,
        token_layout: TokenLayout = "aligned",
        unimodal_decoder: bool = True,
    ) -> None:
        super().__init__(
            modalities, classes, spatial_dims, width, patch_size, STAGES, PreNormConvolution, unimodal_decoder
        )
        if depth < 1:
            raise InputError(f"depth {depth}: must be at least 1")
        self.token_layout = token_layout
        self.grid = [size // REDUCTION for size in self.patch_size]
        deepest = width * REDUCTION

        def transformer() -> nn.ModuleList:
            return nn.ModuleList(TransformerBlock(token_dim, heads, token_hidden, dropout) for _ in range(depth))

        self.to_tokens = ModalityList(
            convolution(spatial_dims, deepest, token_dim, kernel=1) for _ in range(modalities)
        )
        self.positions = nn.Parameter(torch.zeros(modalities, math.prod(self.grid), token_dim))
        self.intra = ModalityList(transformer() for _ in range(modalities))
        self.inter = transformer()
        self.from_tokens = convolution(spatial_dims, modalities * token_dim, modalities * deepest, kernel=1)
        self.fusion_decoder = FusionDecoder(spatial_dims, modalities, classes, width)

    def modality_axes(self) -> Mapping[str, Sequence[ModalityAxis]]:
        """See `PerModality`; reordering is exact with the aligned token layout only.

        The channels between the last two belong to no modality, and there are as many blocks of them.
        """
        return {
            "positions": [ModalityAxis(0)],
            "from_tokens.weight": [ModalityAxis(0), ModalityAxis(1)],
            "from_tokens.bias": [ModalityAxis(0)],
            "fusion_decoder.fuse_bottleneck.convolution.weight": [ModalityAxis(1)],
        }

    def _encode_modality(self, image: Tensor, modality: int) -> tuple[Sequence[Tensor], ...]:
        features = self.encoders[modality](image)
        tokens = self.to_tokens[modality](features[-1]).flatten(2).transpose(1, 2)
        for block in cast(nn.ModuleList, self.intra[modality]):
            tokens = block(tokens + self.positions[modality])
        summands = [
            fuse.summand(normalise_and_activate(level), modality)
            for fuse, level in zip(self.fusion_decoder.fusions, features[:-1], strict=True)
        ]
        placed = tokens + self.positions[modality]
        return features, summands, [placed, self._first.project(placed)]

    @property
    def _first(self) -> TransformerBlock:
        return cast(TransformerBlock, self.inter[0])

    def decode(self, encoding: Encoding, case: Tensor, subset: Tensor) -> Decoding:
        """See `Segmenter.decode`."""
        assert isinstance(encoding, MMFormerEncoding)
        pairs = encoding.pairs(case, subset)
        fused = [
            fuse.total(summands, pairs.selection)
            for fuse, summands in zip(self.fusion_decoder.fusions, encoding.summands, strict=True)
        ]
        out: Decoding = self.fusion_decoder(fused, self._mix_modalities(encoding, pairs, len(case)))
        return out

    def _mix_modalities(self, encoding: MMFormerEncoding, pairs: Pairs, answers: int) -> Tensor:
        """What P answers see -> the bottleneck (P, M 16 width, *space / 16).

        The tokens of a row, and those of an absent modality, are the same in every answer; so is what the first block
        makes of each by itself.
        """
        rows, modalities = len(encoding.tokens[0]), self.modalities
        absent = self.positions, self._first.project(self.positions)
        which = torch.arange(rows, rows + modalities, device=pairs.row.device).repeat(answers, 1)
        which[pairs.answer, pairs.modality] = pairs.row
        sequence, projected = (
            torch.cat(tokens).index_select(0, which.flatten()).view(answers, -1, tokens[0].shape[-1])
            for tokens in zip(encoding.tokens, absent, strict=True)
        )
        sequence = self._first.mix(sequence, projected)
        for block in self.inter[1:]:
            sequence = block(sequence + self.positions.flatten(0, 1))
        sequence = sequence.view(answers, *self.positions.shape)
        if self.token_layout == "aligned":
            sequence = sequence.transpose(1, 2)
        joined = sequence.reshape(answers, math.prod(self.grid), -1).transpose(1, 2)
        out: Tensor = self.from_tokens(joined.reshape(answers, -1, *self.grid))
        return out
