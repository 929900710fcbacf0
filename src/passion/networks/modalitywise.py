"""What the published networks share: an encoder a modality, and a second decoder that sees one modality."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from passion.errors import InputError
from passion.networks.blocks import Layer, PreNormConvolution, convolution, double
from passion.networks.contract import Encoding, ModalityList, Segmenter

COMPILATIONS = 4096
"""How often PyTorch may compile the same code before it gives up."""


class Encoder(nn.Module):
    """The convolutional encoder of one modality: levels of twice the channels and half the extent of the one before.

    Each level is one layer, and a residual pair of layers. With pre-norm layers the first is a plain convolution.

    Args:
        spatial_dims: 2 or 3.
        width: channels of the finest level.
        levels: how many.
        layer: what it is built of.
    """

    def __init__(self, spatial_dims: int, width: int, levels: int, layer: Layer) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        first = convolution if layer is PreNormConvolution else layer
        self.stem = first(spatial_dims, 1, width, pad="reflect")
        self.down = nn.ModuleList(layer(spatial_dims, channels // 2, channels, stride=2) for channels in widths[1:])
        self.refine = nn.ModuleList(
            nn.Sequential(*[layer(spatial_dims, channels, channels) for _ in range(2)]) for channels in widths
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """(R, 1, *space) -> levels (R, 2^i width, *space / 2^i)."""
        x = self.stem(image)
        levels = [x + self.refine[0](x)]
        for down, refine in zip(self.down, self.refine[1:], strict=True):
            x = down(levels[-1])
            levels.append(x + refine(x))
        return levels


class DecoderStage(nn.Module):
    """One step up: double and convolve; join with the skip connection of that level, convolve twice.

    Args:
        spatial_dims: 2 or 3.
        channels: C of the skip connection and of the result; it takes 2 C channels from below.
        layer: what it is built of.
    """

    def __init__(self, spatial_dims: int, channels: int, layer: Layer) -> None:
        super().__init__()
        self.rise = layer(spatial_dims, 2 * channels, channels)
        self.join = layer(spatial_dims, 2 * channels, channels)
        self.out = layer(spatial_dims, channels, channels, kernel=1)

    def lift(self, below: Tensor) -> Tensor:
        """(B, 2 C, *space / 2) -> (B, C, *space)."""
        out: Tensor = self.rise(double(below))
        return out

    def merge(self, lifted: Tensor, skip: Tensor) -> Tensor:
        """Twice (B, C, *space) -> (B, C, *space)."""
        out: Tensor = self.out(self.join(skip, lifted))
        return out

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """Below (B, 2 C, *space / 2), skip (B, C, *space) -> (B, C, *space)."""
        return self.merge(self.lift(below), skip)


class UnimodalDecoder(nn.Module):
    """The second decoder, shared by the modalities, that L_reg trains; the arguments are those of `Encoder`."""

    def __init__(self, spatial_dims: int, classes: int, width: int, levels: int, layer: Layer) -> None:
        super().__init__()
        self.up = nn.ModuleList(DecoderStage(spatial_dims, width * 2**level, layer) for level in range(levels - 1))
        self.head = convolution(spatial_dims, width, classes, kernel=1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Levels (P, 2^i width, *space / 2^i) -> logits (P, K, *space)."""
        x = features[-1]
        for stage, skip in zip(reversed(self.up), reversed(features[:-1]), strict=True):
            x = stage(x, skip)
        out: Tensor = self.head(x)
        return out


@dataclass(frozen=True)
class Pairs:
    """Which encoded rows the answers see: Q pairs of an answer and a modality; all but `seen` where the features are.

    Args:
        seen: (P, M) bool, on the CPU: True for each pair.
        answer: (Q,) int64, which of the P answers.
        modality: (Q,) int64.
        row: (Q,) int64, which of the R rows.
        selection: (P, R) of 0 and 1, the same as a matrix.
    """

    seen: Tensor
    answer: Tensor
    modality: Tensor
    row: Tensor
    selection: Tensor

    @cached_property
    def groups(self) -> tuple[Tensor, ...]:
        """Which of the pairs have modality 0, 1, ...: M tensors, int64."""
        order = self.seen.nonzero()[:, 1].argsort(stable=True).to(self.row.device, non_blocking=True)
        return torch.split(order, self.seen.sum(0).tolist())

    @cached_property
    def place(self) -> Tensor:
        """(Q,) int64, where each pair stands in all groups joined."""
        return torch.cat(self.groups).argsort()


@dataclass(frozen=True)
class RowEncoding(Encoding):
    """One row for each (case, modality) pair that is present: R rows, modality by modality, in it case by case.

    Args:
        present: (B, M) bool.
        row: (B, M) int64, the row of a pair; meaningless where absent.
        features: levels, (R, 2^i width, *space / 2^i).
    """

    row: Tensor
    features: tuple[Tensor, ...]

    def pairs(self, case: Tensor, subset: Tensor) -> Pairs:
        """What `case` (P,) seen through `subset` (P, M) is made of."""
        seen = subset & self.present[case]
        answer, modality = seen.nonzero(as_tuple=True)
        row = self.row[case[answer], modality]
        selection = torch.zeros(len(case), len(self.features[0]))
        selection[answer, row] = 1
        device = self.features[0].device
        there = (tensor.to(device, non_blocking=True) for tensor in (answer, modality, row, selection))
        return Pairs(seen, *there)


class ModalityWise(Segmenter):
    """A network with an encoder a modality.

    Args:
        modalities: M.
        classes: K, the background included.
        spatial_dims: 2 or 3.
        width: channels of the finest level.
        patch_size: extent of a window, a multiple of 2^(levels - 1), at least twice that; one number or one an axis.
        levels: of the encoders.
        layer: what encoders and decoders are built of.
        unimodal_decoder: build the second decoder. Without it `decode_alone` answers with the fusion decoder.

    Raises:
        InputError: a patch size or width that does not fit.
    """

    ENCODING: ClassVar[type[RowEncoding]]
    """Its fields after `row` are what `_encode_modality` returns, rows of all modalities joined."""

    def __init__(
        self,
        modalities: int,
        classes: int,
        spatial_dims: int,
        width: int,
        patch_size: int | Sequence[int],
        levels: int,
        layer: Layer,
        unimodal_decoder: bool,
    ) -> None:
        sizes = [patch_size] * spatial_dims if isinstance(patch_size, int) else list(patch_size)
        super().__init__(modalities, classes, spatial_dims, sizes)
        check_patch_size(sizes, 2 ** (levels - 1))
        if width < 1:
            raise InputError(f"width {width}: must be at least 1")
        self.encoders = ModalityList(Encoder(spatial_dims, width, levels, layer) for _ in range(modalities))
        self.unimodal_decoder = (
            UnimodalDecoder(spatial_dims, classes, width, levels, layer) if unimodal_decoder else None
        )

    def recompute_activations(self) -> None:
        """See `Segmenter.recompute_activations`; each layer keeps its input alone."""
        for layer in self.modules():
            if isinstance(layer, PreNormConvolution):
                layer.recompute = True

    PARTS: ClassVar[tuple[type[nn.Module], ...]] = (Encoder, UnimodalDecoder, PreNormConvolution)
    """What `compile_parts` compiles; a part inside another is compiled with it."""

    def compile_parts(self, backend: str = "inductor", **options: Any) -> None:
        """See `Segmenter.compile_parts`."""
        # Parts of one class share their code, and each shape of each of them is a compilation of it.
        torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = COMPILATIONS
        for part in self.modules():
            if isinstance(part, self.PARTS):
                part.compile(backend=backend, dynamic=False, **options)

    @abstractmethod
    def _encode_modality(self, image: Tensor, modality: int) -> tuple[Sequence[Tensor], ...]:
        """(R, 1, *space) of one modality -> the fields of `ENCODING` after `row`, each tensors of R rows."""

    def encode(self, images: Tensor, present: Tensor) -> RowEncoding:
        """See `Segmenter.encode`.

        Raises:
            InputError: a case without any modality.
        """
        empty = (~present.any(1)).nonzero().flatten().tolist()
        if empty:
            raise InputError(f"present: row {empty[0]} has no modality; give each case at least one")
        coded = [
            self._encode_modality(images[rows.to(images.device, non_blocking=True), modality, None], modality)
            for modality, rows in enumerate(column.nonzero().flatten() for column in present.T)
            if len(rows)
        ]
        fields = [tuple(torch.cat(rows) for rows in zip(*field, strict=True)) for field in zip(*coded, strict=True)]
        row = (present.T.flatten().cumsum(0) - 1).view(present.T.shape).T.contiguous()
        return self.ENCODING(present, row, *fields)

    @property
    def has_unimodal_decoder(self) -> bool:
        """See `Segmenter.has_unimodal_decoder`."""
        return self.unimodal_decoder is not None

    def decode_alone(self, encoding: Encoding, case: Tensor, modality: Tensor) -> Tensor:
        """See `Segmenter.decode_alone`."""
        if self.unimodal_decoder is None:
            return super().decode_alone(encoding, case, modality)
        assert isinstance(encoding, RowEncoding)
        row = encoding.row[case, modality].to(encoding.features[0].device, non_blocking=True)
        out: Tensor = self.unimodal_decoder([level[row] for level in encoding.features])
        return out


def check_patch_size(sizes: Sequence[int], reduction: int) -> None:
    """Refuse a patch that cannot be halved as often as the network does.

    Raises:
        InputError: a size that is not a multiple of `reduction` or under twice that.
    """
    wrong = [size for size in sizes if size % reduction or size < 2 * reduction]
    if wrong:
        raise InputError(f"patch_size {wrong[0]}: must be a multiple of {reduction} and at least {2 * reduction}")
