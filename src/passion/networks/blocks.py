"""Parts that the published networks share, in two and three dimensions."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from passion.errors import InputError
from passion.networks.contract import ModalityAxis, PerModality
from passion.networks.convolution import Convolution2d, Convolution3d, pointwise

NORM_EPS = 1e-5
HEAD_CHANNELS = 16

Padding = Literal["zeros", "reflect"]


CONVOLUTIONS: dict[int, type[Convolution2d] | type[Convolution3d]] = {2: Convolution2d, 3: Convolution3d}


def convolution(
    spatial_dims: int, channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1, pad: Padding = "zeros"
) -> Convolution2d | Convolution3d:
    """A convolution that keeps the extent at stride 1 (odd `kernel`), Kaiming-initialised."""
    layer = CONVOLUTIONS[spatial_dims](
        channels_in, channels_out, kernel, stride=stride, padding=kernel // 2, padding_mode=pad
    )
    nn.init.kaiming_normal_(layer.weight)
    return layer


def normalise_and_activate(x: Tensor) -> Tensor:
    """Instance normalisation without parameters, then leaky ReLU of slope 0.2.

    Instance normalisation is group normalisation with a group a channel, which PyTorch computes faster.
    """
    normalised = torch.group_norm(x, x.shape[1], eps=NORM_EPS)
    return F.leaky_relu(normalised, 0.2, inplace=True)


class PreNormConvolution(nn.Module):
    """Instance normalisation, leaky ReLU, convolution, of the channels of all `parts`.

    Where `recompute` is set, only the input is kept for the backward pass, which works out the rest again.
    """

    recompute = False

    def __init__(
        self, spatial_dims: int, channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1,
        pad: Padding = "reflect",
    ) -> None:  # fmt: skip
        super().__init__()
        self.convolution = convolution(spatial_dims, channels_in, channels_out, kernel, stride, pad)

    def forward(self, *parts: Tensor) -> Tensor:
        """(B, C_i, *space), together C_in -> (B, C_out, *space / stride)."""
        if not (self.recompute and torch.is_grad_enabled()):
            return self.transform(*parts)
        out: Tensor = checkpoint(self.transform, *parts, use_reentrant=False, preserve_rng_state=False)
        return out

    def transform(self, *parts: Tensor) -> Tensor:
        """What `forward` returns."""
        out: Tensor = self.convolution(*[normalise_and_activate(part) for part in parts])
        return out


class PostNormConvolution(PreNormConvolution):
    """Convolution, instance normalisation, leaky ReLU."""

    def transform(self, *parts: Tensor) -> Tensor:
        """What `forward` returns."""
        return normalise_and_activate(self.convolution(*parts))


Layer = type[PreNormConvolution]
"""What encoders and decoders are built of: `PreNormConvolution` or `PostNormConvolution`."""


def deep_head(spatial_dims: int, channels: int, classes: int) -> nn.Sequential:
    """What predicts on the way up: (P, C, *space) -> logits (P, K, *space)."""
    return nn.Sequential(
        PostNormConvolution(spatial_dims, channels, HEAD_CHANNELS, kernel=1),
        convolution(spatial_dims, HEAD_CHANNELS, classes, kernel=1),
    )


class SharedFusion(nn.Module, PerModality):
    """A 1x1 convolution over the concatenated features of M modalities, one summand a modality.

    Zeros stand where a modality is absent; so the convolution is a sum of one product for each modality that is
    there. Each product is computed once and serves every subset.

    Args:
        spatial_dims: 2 or 3.
        modalities: M.
        channels: C, of each modality.
        channels_out: of the sum.
    """

    def __init__(self, spatial_dims: int, modalities: int, channels: int, channels_out: int) -> None:
        super().__init__()
        self.channels = channels
        self.convolution = convolution(spatial_dims, modalities * channels, channels_out, kernel=1)

    def summand(self, features: Tensor, modality: int) -> Tensor:
        """What `modality` adds: (R, C, *space) -> (R, C_out, *space)."""
        weight = self.convolution.weight[:, modality * self.channels : (modality + 1) * self.channels]
        return pointwise(features, weight, None)

    def total(self, summands: Tensor, selection: Tensor) -> Tensor:
        """Sum of the selected rows: summands (R, C, *space), selection (P, R) of 0 and 1 -> (P, C, *space)."""
        total = (selection.to(summands.dtype) @ summands.flatten(1)).view(-1, *summands.shape[1:])
        return self.with_bias(total)

    def with_bias(self, total: Tensor) -> Tensor:
        """A sum of summands (P, C, *space), to which the bias is added in place."""
        bias = self.convolution.bias
        assert bias is not None
        return total.add_(bias.view(-1, *[1] * (total.ndim - 2)))

    def modality_axes(self) -> Mapping[str, Sequence[ModalityAxis]]:
        """See `PerModality`."""
        return {"convolution.weight": [ModalityAxis(1)]}


class PostNormFusion(nn.Module):
    """Three post-norm convolutions, 1x1, 3x3, 1x1, the first of which runs over the concatenated modalities.

    Args:
        spatial_dims: 2 or 3.
        modalities: M.
        channels: C, of each modality.
        middle: channels in between.
        channels_out: of the result.
    """

    def __init__(self, spatial_dims: int, modalities: int, channels: int, middle: int, channels_out: int) -> None:
        super().__init__()
        self.fusion = SharedFusion(spatial_dims, modalities, channels, middle)
        self.refine = nn.Sequential(
            PostNormConvolution(spatial_dims, middle, middle),
            PostNormConvolution(spatial_dims, middle, channels_out, kernel=1),
        )

    def forward(self, total: Tensor) -> Tensor:
        """What `SharedFusion` sums up, (P, middle, *space) -> (P, C_out, *space)."""
        out: Tensor = self.refine(normalise_and_activate(total))
        return out


def _linear_weights(size: int, target: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """What each of `target` places takes from the two of `size` places that it lies between: (target, size)."""
    position = torch.arange(target, dtype=torch.float64, device=device)[:, None] * ((size - 1) / max(target - 1, 1))
    before = position.floor()
    beyond = position - before
    steps = torch.arange(size, dtype=torch.float64, device=device) - before
    return torch.where(steps == 0, 1 - beyond, torch.where(steps == 1, beyond, 0.0)).to(dtype)


@lru_cache(maxsize=64)
def _kept_weights(size: int, target: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        return _linear_weights(size, target, torch.device("cpu"), dtype).to(device, non_blocking=True)


def upsample(x: Tensor, size: Sequence[int]) -> Tensor:
    """Linear up-sampling with aligned corners, (B, C, *space) -> (B, C, *size), one axis after the other.

    Along one axis it is a product with a small matrix, several times faster on a CPU than `F.interpolate`.

    >>> x = torch.rand(1, 2, 3, 4)
    >>> exact = F.interpolate(x, size=(6, 8), mode="bilinear", align_corners=True)
    >>> torch.allclose(upsample(x, (6, 8)), exact, atol=1e-6)
    True
    """
    # `torch.compile` cannot keep them: it would build them on the CPU in each call.
    weights_of = _linear_weights if torch.compiler.is_compiling() else _kept_weights
    for axis, target in enumerate(size, start=2):
        source = x.shape[axis]
        if source != target:
            weights = weights_of(source, target, x.device, x.dtype)
            shape = (*x.shape[:axis], target, *x.shape[axis + 1 :])
            x = x @ weights.T if axis == x.ndim - 1 else (weights @ x.flatten(axis + 1)).view(shape)
    return x


def double(x: Tensor) -> Tensor:
    """Linear up-sampling to twice the extent of each axis, with channels last where that is faster.

    With channels last `F.interpolate` takes a third of the time that products take in fp32, but its gradient more.
    """
    size = [2 * extent for extent in x.shape[2:]]
    if torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != torch.float32 or len(size) != 3:
        return upsample(x, size)
    channels_last = x.contiguous(memory_format=torch.channels_last_3d)
    return F.interpolate(channels_last, size=size, mode="trilinear", align_corners=True)


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and feed-forward network, each with a residual connection.

    Args:
        dim: width of a token.
        heads: of the attention.
        hidden: width of the feed-forward network.
        dropout: rate in both.

    Raises:
        InputError: heads that do not divide the token, or no rate.
    """

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        if heads < 1 or dim % heads:
            raise InputError(f"heads {heads}: must divide the width of a token, {dim}")
        if not 0 <= dropout < 1:
            raise InputError(f"dropout {dropout}: must be in [0, 1)")
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.attention_norm = nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.projection = nn.Linear(dim, dim)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
            nn.Dropout(dropout),
        )

    def project(self, tokens: Tensor) -> Tensor:
        """Queries, keys and values of each token by itself, (B, N, dim) -> (B, N, 3 dim)."""
        out: Tensor = self.query_key_value(self.attention_norm(tokens))
        return out

    def split_heads(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `project` returns -> queries, keys and values, each (B, heads, N, dim / heads)."""
        query, key, value = projected.view(*projected.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return query, key, value

    def attend(self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Softmax attention; `allowed`, bool, broadcasts to (B, heads, N, keys)."""
        return F.scaled_dot_product_attention(query, key, value, allowed, dropout_p=self.rate)

    @property
    def rate(self) -> float:
        """Dropout as it stands: 0 in evaluation."""
        return self.dropout if self.training else 0.0

    def finish(self, tokens: Tensor, mixed: Tensor) -> Tensor:
        """The rest of the block: tokens (B, N, dim), mixed values (B, heads, N, dim / heads) -> (B, N, dim)."""
        projected = self.projection(mixed.transpose(1, 2).flatten(2))
        # The published block drops the projection and, again, the residual branch.
        tokens = tokens + F.dropout(F.dropout(projected, self.rate), self.rate)
        out: Tensor = tokens + self.feed_forward(tokens)
        return out

    def mix(self, tokens: Tensor, projected: Tensor) -> Tensor:
        """Tokens (B, N, dim) and what `project` makes of them -> (B, N, dim)."""
        return self.finish(tokens, self.attend(*self.split_heads(projected)))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, dim) -> (B, N, dim)."""
        return self.mix(tokens, self.project(tokens))
