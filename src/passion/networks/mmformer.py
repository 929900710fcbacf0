"""mmFormer (Zhang et al., MICCAI 2022), as the PASSION authors use it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from passion.errors import InputError
from passion.networks.blocks import (
    DecoderStage,
    PreNormConvolution,
    SharedFusion,
    TransformerBlock,
    convolution,
)
from passion.networks.contract import Decoding, Encoding, Segmenter

STAGES = 5
REDUCTION = 2 ** (STAGES - 1)
"""How many voxels a side of a bottleneck's token spans."""

TokenLayout = Literal["published", "aligned"]


@dataclass(frozen=True)
class MMFormerEncoding(Encoding):
    """One row for each (case, modality) pair that is present: R rows.

    Args:
        present: (B, M) bool.
        row: (B, M) int64, the row of a pair; meaningless where absent.
        features: five levels, (R, 2^i width, *space / 2^i).
        summands: what each row adds to the fused features of the four finest levels, same shapes.
        tokens: (R, T, token_dim), after the modality's own transformer.
    """

    row: Tensor
    features: tuple[Tensor, ...]
    summands: tuple[Tensor, ...]
    tokens: Tensor


class Encoder(nn.Module):
    """The convolutional encoder of one modality: five levels, each a residual pair of convolutions."""

    def __init__(self, spatial_dims: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(STAGES)]
        self.stem = convolution(spatial_dims, 1, width, pad="reflect")
        self.down = nn.ModuleList(
            PreNormConvolution(spatial_dims, channels // 2, channels, stride=2) for channels in widths[1:]
        )
        self.refine = nn.ModuleList(
            nn.Sequential(*[PreNormConvolution(spatial_dims, channels, channels) for _ in range(2)])
            for channels in widths
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """(R, 1, *space) -> five levels (R, 2^i width, *space / 2^i)."""
        x = self.stem(image)
        levels = [x + self.refine[0](x)]
        for down, refine in zip(self.down, self.refine[1:], strict=True):
            x = down(levels[-1])
            levels.append(x + refine(x))
        return levels


class FusionDecoder(nn.Module):
    """Fuses the modalities level by level on the way up, with a head at every level."""

    def __init__(self, spatial_dims: int, modalities: int, classes: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(STAGES)]
        self.fuse = nn.ModuleList(SharedFusion(spatial_dims, modalities, channels) for channels in widths[:-1])
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
        self.up = nn.ModuleList(DecoderStage(spatial_dims, channels) for channels in widths[:-1])
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


class UnimodalDecoder(nn.Module):
    """The second decoder, shared by the modalities, that L_reg trains."""

    def __init__(self, spatial_dims: int, classes: int, width: int) -> None:
        super().__init__()
        self.up = nn.ModuleList(DecoderStage(spatial_dims, width * 2**level) for level in range(STAGES - 1))
        self.head = convolution(spatial_dims, width, classes, kernel=1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Five levels (P, 2^i width, *space / 2^i) -> logits (P, K, *space)."""
        x = features[-1]
        for level in reversed(range(STAGES - 1)):
            x = self.up[level](x, features[level])
        out: Tensor = self.head(x)
        return out


class MMFormer(Segmenter):
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
        depth: transformer blocks in a row.
        dropout: rate in the transformers.
        token_layout: how the inter-modal tokens are laid out for the bottleneck. "aligned" joins the M tokens of
            one place. "published" reads the modality-major sequence as if modalities came last, as the published
            code does, which joins tokens of different places.
        unimodal_decoder: build the second decoder. Without it `decode_alone` answers with the fusion decoder.

    Raises:
        InputError: a patch size that is not a multiple of 16 or under 32.
    """

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
        token_layout: TokenLayout = "published",
        unimodal_decoder: bool = True,
    ) -> None:
        sizes = [patch_size] * spatial_dims if isinstance(patch_size, int) else list(patch_size)
        check_patch_size(sizes, spatial_dims)
        super().__init__(modalities, classes, spatial_dims, sizes)
        self.token_layout = token_layout
        self.grid = [size // REDUCTION for size in sizes]
        deepest = width * REDUCTION

        def transformer() -> nn.ModuleList:
            return nn.ModuleList(TransformerBlock(token_dim, heads, token_hidden, dropout) for _ in range(depth))

        self.encoders = nn.ModuleList(Encoder(spatial_dims, width) for _ in range(modalities))
        self.to_tokens = nn.ModuleList(
            convolution(spatial_dims, deepest, token_dim, kernel=1) for _ in range(modalities)
        )
        self.positions = nn.Parameter(torch.zeros(modalities, int(torch.tensor(self.grid).prod()), token_dim))
        self.intra = nn.ModuleList(transformer() for _ in range(modalities))
        self.inter = transformer()
        self.from_tokens = convolution(spatial_dims, modalities * token_dim, modalities * deepest, kernel=1)
        self.fusion_decoder = FusionDecoder(spatial_dims, modalities, classes, width)
        self.unimodal_decoder = UnimodalDecoder(spatial_dims, classes, width) if unimodal_decoder else None

    def encode(self, images: Tensor, present: Tensor) -> MMFormerEncoding:
        """See `Segmenter.encode`."""
        rows = []
        for modality in present.any(0).nonzero().flatten().tolist():
            image = images[present[:, modality].to(images.device), modality, None]
            rows.append(self._encode_modality(image, modality))
        # Rows run modality by modality, within a modality case by case.
        row = (present.T.flatten().cumsum(0) - 1).view(present.T.shape).T
        features, summands, tokens = zip(*rows, strict=True)
        return MMFormerEncoding(
            present=present,
            row=row.contiguous(),
            features=tuple(torch.cat(level) for level in zip(*features, strict=True)),
            summands=tuple(torch.cat(level) for level in zip(*summands, strict=True)),
            tokens=torch.cat(tokens),
        )

    def _encode_modality(self, image: Tensor, modality: int) -> tuple[list[Tensor], list[Tensor], Tensor]:
        features = self.encoders[modality](image)
        tokens = self.to_tokens[modality](features[-1]).flatten(2).transpose(1, 2)
        for block in cast(nn.ModuleList, self.intra[modality]):
            tokens = block(tokens + self.positions[modality])
        fusions = self.fusion_decoder.fusions
        summands = [fuse.summand(level, modality) for fuse, level in zip(fusions, features[:-1], strict=True)]
        return features, summands, tokens

    def decode(self, encoding: Encoding, case: Tensor, subset: Tensor) -> Decoding:
        """See `Segmenter.decode`."""
        assert isinstance(encoding, MMFormerEncoding)
        answer, modality = (subset & encoding.present[case]).nonzero(as_tuple=True)
        row = encoding.row[case[answer], modality]
        device = encoding.tokens.device
        selection = torch.zeros(len(case), len(encoding.tokens))
        selection[answer, row] = 1
        selection = selection.to(device)
        fused = [
            fuse.total(summands, selection)
            for fuse, summands in zip(self.fusion_decoder.fusions, encoding.summands, strict=True)
        ]
        tokens = encoding.tokens.new_zeros(len(case), *self.positions.shape)
        tokens[answer.to(device), modality.to(device)] = encoding.tokens[row.to(device)]
        out: Decoding = self.fusion_decoder(fused, self._mix_modalities(tokens))
        return out

    def _mix_modalities(self, tokens: Tensor) -> Tensor:
        """Tokens (P, M, T, token_dim) -> the bottleneck (P, M 16 width, *space / 16)."""
        answers, _, places, _ = tokens.shape
        sequence = tokens.flatten(1, 2)
        for block in self.inter:
            sequence = block(sequence + self.positions.flatten(0, 1))
        if self.token_layout == "aligned":
            sequence = sequence.view(tokens.shape).transpose(1, 2)
        joined = sequence.reshape(answers, places, -1).transpose(1, 2)
        out: Tensor = self.from_tokens(joined.reshape(answers, -1, *self.grid))
        return out

    def decode_alone(self, encoding: Encoding, case: Tensor, modality: Tensor) -> Tensor:
        """See `Segmenter.decode_alone`."""
        if self.unimodal_decoder is None:
            return super().decode_alone(encoding, case, modality)
        assert isinstance(encoding, MMFormerEncoding)
        row = encoding.row[case, modality].to(encoding.tokens.device)
        out: Tensor = self.unimodal_decoder([level[row] for level in encoding.features])
        return out


def check_patch_size(sizes: Sequence[int], spatial_dims: int) -> None:
    """Refuse a patch that cannot be halved four times.

    Raises:
        InputError: a wrong number of axes, or a size that is not a multiple of 16 or under 32.
    """
    if len(sizes) != spatial_dims:
        raise InputError(f"patch_size {list(sizes)}: give one number or {spatial_dims} of them")
    wrong = [size for size in sizes if size % REDUCTION or size < 2 * REDUCTION]
    if wrong:
        raise InputError(f"patch_size {wrong[0]}: must be a multiple of {REDUCTION} and at least {2 * REDUCTION}")
