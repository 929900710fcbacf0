"""RFNet (Ding et al., ICCV 2021), as the PASSION authors use it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from passion.errors import InputError
from passion.networks.blocks import (
    PostNormConvolution,
    PostNormFusion,
    convolution,
    deep_head,
    normalise_and_activate,
)
from passion.networks.contract import Decoding, Encoding, ModalityAxis, PerModality
from passion.networks.modalitywise import DecoderStage, ModalityWise, Pairs, RowEncoding

LEVELS = 4
WEIGHT_CHANNELS = 128
MEAN_EPS = 1e-7


@dataclass(frozen=True)
class RFNetEncoding(RowEncoding):
    """See `RowEncoding`; the other fields have a tensor a level.

    Args:
        embedded: what each row adds to the first convolution of the probability maps' embedding.
        shortcut: what each row adds to the first convolution of the short cut around region-aware fusion.
    """

    embedded: tuple[Tensor, ...]
    shortcut: tuple[Tensor, ...]


class RegionWeights(nn.Module, PerModality):
    """How much each modality counts in each region: one two-layer perceptron a class, over mean features.

    Args:
        modalities: M.
        classes: K.
        channels: C, of each modality.
    """

    def __init__(self, modalities: int, classes: int, channels: int) -> None:
        super().__init__()
        inputs = modalities * channels + 1
        self.hidden_weight = nn.Parameter(torch.empty(classes, WEIGHT_CHANNELS, inputs))
        self.hidden_bias = nn.Parameter(torch.zeros(classes, WEIGHT_CHANNELS))
        self.out_weight = nn.Parameter(torch.empty(classes, modalities, WEIGHT_CHANNELS))
        self.out_bias = nn.Parameter(torch.zeros(classes, modalities))
        for weight in (self.hidden_weight, self.out_weight):
            for of_class in weight:
                nn.init.kaiming_normal_(of_class)

    def forward(self, means: Tensor, share: Tensor) -> Tensor:
        """Mean features in each region (P, K, M, C), its share of the voxels (P, K) -> weights (P, K, M) in (0, 1)."""
        inputs = torch.cat((means.flatten(2), share.unsqueeze(2)), dim=2)
        hidden = torch.einsum("pki,khi->pkh", inputs, self.hidden_weight) + self.hidden_bias
        out = torch.einsum("pkh,kmh->pkm", F.leaky_relu(hidden, 0.2), self.out_weight) + self.out_bias
        return out.sigmoid()

    def modality_axes(self) -> Mapping[str, Sequence[ModalityAxis]]:
        """See `PerModality`; behind the means of the modalities stands the share of the voxels."""
        return {
            "hidden_weight": [ModalityAxis(2, rest=1)],
            "out_weight": [ModalityAxis(1)],
            "out_bias": [ModalityAxis(1)],
        }


class RegionFusion(nn.Module):
    """Region-aware fusion: modalities are weighed anew in the region of each class; beside it, a plain short cut.

    With x_m the features and p_k the probability of class k, the feature of region k is
    p_k sum_m w_km x_m, where w_k = sigmoid(MLP_k([mean(x_m p_k) / mean(p_k)]_m, mean(p_k))).

    Args:
        spatial_dims: 2 or 3.
        modalities: M.
        classes: K.
        channels: C, of each modality and of the result.
    """

    def __init__(self, spatial_dims: int, modalities: int, classes: int, channels: int) -> None:
        super().__init__()
        self.weights = RegionWeights(modalities, classes, channels)
        self.fuse = nn.Sequential(
            PostNormConvolution(spatial_dims, classes * channels, channels, kernel=1),
            PostNormConvolution(spatial_dims, channels, channels),
            PostNormConvolution(spatial_dims, channels, channels // 2, kernel=1),
        )
        self.shortcut = PostNormFusion(spatial_dims, modalities, channels, channels, channels // 2)
        self.modalities = modalities

    def forward(self, features: Tensor, shortcut: Tensor, probabilities: Tensor, pairs: Pairs) -> Tensor:
        """Fuse one level.

        Args:
            features: (R, C, *space).
            shortcut: (R, C, *space), summands of the short cut.
            probabilities: (P, K, *space), without gradient.
            pairs: which rows the P answers see.

        Returns:
            (P, C, *space).
        """
        maps = probabilities.flatten(2)
        share = maps.mean(2) + MEAN_EPS
        rows = torch.split(features.flatten(2)[pairs.row], pairs.seen.sum(1).tolist())
        sums = torch.cat([p @ x.transpose(1, 2) for p, x in zip(maps, rows, strict=True)])
        means = sums / maps.shape[2] / share[pairs.answer].unsqueeze(2)
        dense = means.new_zeros(*share.shape, self.modalities, features.shape[1])
        dense[pairs.answer, :, pairs.modality] = means
        weights = self.weights(dense, share)[pairs.answer, :, pairs.modality]
        total = self._mix(rows, weights, maps).view(len(maps), -1, *features.shape[2:])
        fused = self.fuse[1:](normalise_and_activate(total))
        return torch.cat((fused, self.shortcut(self.shortcut.fusion.total(shortcut, pairs.selection))), dim=1)

    def _mix(self, rows: Sequence[Tensor], weights: Tensor, maps: Tensor) -> Tensor:
        """The first convolution of all regions' features, answer by answer, of the rows that it sees.

        It is linear, so weighing modalities and convolving are one matrix for each answer and class; the
        probabilities come last and no region's features need to be kept.

        Args:
            rows: x, of each of the P answers (N, C, V), Q rows together.
            weights: w, (Q, K).
            maps: p, (P, K, V).

        Returns:
            sum over k of p_k W_k sum over n of w_nk x_n, and the bias: (P, C, V).
        """
        first = cast(PostNormConvolution, self.fuse[0]).convolution
        assert first.bias is not None
        kernel = first.weight.view(len(first.weight), weights.shape[1], -1)
        matrices = torch.einsum("okc,qk->koqc", kernel, weights)
        total = []
        for x, matrix, p in zip(rows, torch.split(matrices, [len(x) for x in rows], 2), maps, strict=True):
            mixed = matrix.reshape(-1, x.shape[0] * x.shape[1]) @ x.flatten(0, 1).to(matrix.dtype)
            total.append(_WeightedSum.apply(mixed.view(*matrix.shape[:2], -1), p))  # type: ignore[no-untyped-call]
        return torch.stack(total) + first.bias[:, None]


class _WeightedSum(torch.autograd.Function):
    """Sum over k of p_k y_k: y (K, C, V), p (K, V) without gradient -> (C, V); y is not kept."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor) -> Tensor:
        weights = weights.to(values.dtype)
        ctx.save_for_backward(weights)
        total = values[0] * weights[0]
        for value, weight in zip(values[1:], weights[1:], strict=True):
            total.addcmul_(value, weight)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weights,) = ctx.saved_tensors
        return gradient * weights.unsqueeze(1), None


class RFNet(ModalityWise):
    """Ding et al., "RFNet: Region-Aware Fusion Network for Incomplete Multi-Modal Brain Tumor Segmentation", ICCV 2021.

    An encoder for each modality; on the way up each level predicts probability maps, the deep heads, and fuses the
    modalities region by region with them.

    Args:
        modalities: M.
        classes: K, the background included.
        spatial_dims: 2 or 3.
        width: channels of the finest level, a multiple of 4.
        patch_size: extent of a window, a multiple of 8, at least 16; one number or one a spatial axis.
        unimodal_decoder: build the second decoder. Without it `decode_alone` answers with the fusion decoder.

    Raises:
        InputError: a patch size or width that does not fit.

    >>> with torch.device("meta"):
    ...     network = RFNet(modalities=4, classes=4)
    >>> f"{sum(parameter.numel() for parameter in network.parameters()):,} parameters"
    '2,381,792 parameters'
    """

    ENCODING = RFNetEncoding
    PARTS = (*ModalityWise.PARTS, PostNormFusion)
    TINY: ClassVar = {"width": 4}

    def __init__(
        self,
        modalities: int,
        classes: int,
        spatial_dims: int = 3,
        width: int = 8,
        patch_size: int | Sequence[int] = 80,
        unimodal_decoder: bool = True,
    ) -> None:
        if width < 4 or width % 4:
            raise InputError(f"width {width}: must be a multiple of 4")
        super().__init__(
            modalities, classes, spatial_dims, width, patch_size, LEVELS, PostNormConvolution, unimodal_decoder
        )
        widths = [width * 2**level for level in range(LEVELS)]
        self.embed = nn.ModuleList(
            PostNormFusion(spatial_dims, modalities, channels, channels // 4, channels) for channels in widths
        )
        self.deep_heads = nn.ModuleList(
            deep_head(spatial_dims, channels, classes)
            for channels in [*(2 * channels for channels in widths[:-1]), widths[-1]]
        )
        self.regions = nn.ModuleList(RegionFusion(spatial_dims, modalities, classes, channels) for channels in widths)
        self.up = nn.ModuleList(DecoderStage(spatial_dims, channels, PostNormConvolution) for channels in widths[:-1])
        self.head = convolution(spatial_dims, width, classes, kernel=1)

    def _encode_modality(self, image: Tensor, modality: int) -> tuple[Sequence[Tensor], ...]:
        features = self.encoders[modality](image)
        embedded = [
            cast(PostNormFusion, embed).fusion.summand(level, modality)
            for embed, level in zip(self.embed, features, strict=True)
        ]
        shortcut = [
            cast(RegionFusion, region).shortcut.fusion.summand(level, modality)
            for region, level in zip(self.regions, features, strict=True)
        ]
        return features, embedded, shortcut

    def decode(self, encoding: Encoding, case: Tensor, subset: Tensor) -> Decoding:
        """See `Segmenter.decode`."""
        assert isinstance(encoding, RFNetEncoding)
        pairs = encoding.pairs(case, subset)
        lifted: Tensor | None = None
        deep: list[Tensor] = []
        for level in reversed(range(LEVELS)):
            embed = cast(PostNormFusion, self.embed[level])
            seen = embed(embed.fusion.total(encoding.embedded[level], pairs.selection))
            logits = self.deep_heads[level](seen if lifted is None else torch.cat((lifted, seen), dim=1))
            probabilities = logits.detach().softmax(1)
            x = self.regions[level](encoding.features[level], encoding.shortcut[level], probabilities, pairs)
            if lifted is not None:
                x = cast(DecoderStage, self.up[level]).merge(lifted, x)
            if level:
                lifted = cast(DecoderStage, self.up[level - 1]).lift(x)
            deep.insert(0, logits)
        return Decoding(self.head(x), tuple(deep), x)
