"""Three-dimensional convolutions that are fast on a CPU at a few channels on a fine grid."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

LANES = 16
"""Numbers that a vector instruction treats at once."""

STREAMS = 8
"""Channels that are turned together."""

BORDERS = ((0, 2), (-1, -3))
"""Along an axis of a padded volume: the outer plane, and the one that it mirrors."""


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 1x1 convolution as a product of matrices, whose backward is several times faster on a CPU.

    Args:
        x: (B, C_in, *space).
        weight: (C_out, C_in, 1, ...).
        bias: (C_out,).
    """
    matrices = weight.flatten(1).expand(len(x), -1, -1)
    voxels = x.flatten(2)
    product = torch.bmm(matrices, voxels) if bias is None else torch.baddbmm(bias[:, None], matrices, voxels)
    return product.view(len(x), -1, *x.shape[2:])


def join(parts: Sequence[Tensor]) -> Tensor:
    """The channels of all parts."""
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts), dim=1)


class Convolution2d(nn.Conv2d):
    """`nn.Conv2d` of the channels of all its arguments."""

    def forward(self, *parts: Tensor) -> Tensor:
        """(B, C_i, *space), together C_in -> (B, C_out, *space / stride)."""
        return super().forward(join(parts))


class Convolution3d(nn.Conv3d):
    """`nn.Conv3d` of the channels of all its arguments, with a kernel of 1, or of 3 and padding that keeps the extent.

    It is faster on a CPU. There it convolves with the channels last, which takes down to half the time forward and
    backward. Instance normalisation is slower that way, so the result has channels first again. `torch.compile` gets
    PyTorch's own convolution, since it cannot look into this one.
    """

    def forward(self, *parts: Tensor) -> Tensor:
        """(B, C_i, *space), together C_in -> (B, C_out, *space / stride)."""
        if self.kernel_size[0] == 1:
            return pointwise(join(parts), self.weight, self.bias)
        if parts[0].device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(join(parts))
        weight, bias = self.weight, self.bias
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            parts = tuple(part.to(dtype) for part in parts)
            weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
        padded: Tensor = _Pad.apply(self.padding_mode, *parts)  # type: ignore[no-untyped-call]
        if self.stride == (1, 1, 1) and self.groups == 1:
            out: Tensor = _Convolution.apply(padded, weight, bias)  # type: ignore[no-untyped-call]
        else:
            out = F.conv3d(padded, weight, bias, self.stride, groups=self.groups)
        return out.contiguous()


class _Pad(torch.autograd.Function):
    """A voxel more on every side, and channels last: (B, C_i, X, Y, Z) -> (B, C, X + 2, Y + 2, Z + 2).

    Both at once and a few channels at a time, since as many streams as there are channels would throw one another
    out of the cache. The gradient is folded back with channels last, and turned plane by plane.
    """

    @staticmethod
    def forward(ctx: Any, mode: str, *parts: Tensor) -> Tensor:
        ctx.mode, ctx.channels = mode, [part.shape[1] for part in parts]
        first = parts[0]
        shape = (len(first), sum(ctx.channels), *(extent + 2 for extent in first.shape[2:]))
        padded = torch.empty(shape, dtype=first.dtype, memory_format=torch.channels_last_3d)
        inside = padded[..., 1:-1, 1:-1, 1:-1]
        for target, part in zip(torch.split(inside, ctx.channels, 1), parts, strict=True):
            for some, source in zip(torch.split(target, STREAMS, 1), torch.split(part, STREAMS, 1), strict=True):
                some.copy_(source)
        for axis in (4, 3, 2):
            for outer, mirrored in BORDERS:
                if mode == "reflect":
                    padded.select(axis, outer).copy_(padded.select(axis, mirrored))
                else:
                    padded.select(axis, outer).zero_()
        return padded

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.mode == "reflect":
            # In place: a padded volume is read once, so nobody else holds its gradient.
            for axis in (2, 3, 4):
                for outer, mirrored in BORDERS:
                    gradient.select(axis, mirrored).add_(gradient.select(axis, outer))
        inside = gradient[..., 1:-1, 1:-1, 1:-1]
        return None, *(_channels_first(part) for part in torch.split(inside, ctx.channels, 1))


def _channels_first(x: Tensor) -> Tensor:
    """A copy of what has channels last, turned plane by plane."""
    turned = torch.empty(x.shape, dtype=x.dtype)
    for source, plane in zip(x.unbind(2), turned.unbind(2), strict=True):
        plane.copy_(source)
    return turned


class _Convolution(torch.autograd.Function):
    """Stride 1, kernel 3, no padding; the gradient of the input is a convolution with the kernel turned round."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return _convolve(x, weight, bias, padding=0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last_3d)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = _convolve(gradient, weight.flip(2, 3, 4).transpose(0, 1), None, padding=2)
        return (of_x, *_gradients(gradient, x, weight, ctx.has_bias))


def _fits_in_pairs(channels: int, width: int) -> bool:
    """Whether two neighbouring voxels' channels go into the lanes that one voxel's would leave empty."""
    return 2 * channels <= LANES and width % 2 == 0


def _pair_kernel(weight: Tensor) -> Tensor:
    """Kernels (C_out, C_in, 3, 3, 3) for a voxel and its right neighbour, (2 C_out, C_in, 3, 3, 4)."""
    return torch.cat((F.pad(weight, (0, 1)), F.pad(weight, (1, 0))))


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """What `F.conv3d` returns, channels last.

    To a few channels it works out two neighbours along the last axis at once, as channels of a convolution of stride 2
    there: a third more operations at twice the speed. With channels last, the result lies in memory as it should.
    """
    width = x.shape[-1] + 2 * padding - 2
    if not _fits_in_pairs(len(weight), width):
        return _onednn(x, weight, bias, (1, 1, 1), padding)
    both = None if bias is None else bias.repeat(2)
    pairs = _onednn(x, _pair_kernel(weight), both, (1, 1, 2), padding).movedim(1, -1)
    return pairs.reshape(*pairs.shape[:3], width, len(weight)).movedim(-1, 1)


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...], padding: int) -> Tensor:
    """`F.conv3d` by oneDNN, which PyTorch by itself leaves for slower code where a batch of one is small."""
    if x.dtype == torch.float64 or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return F.conv3d(x, weight, bias, stride, padding)
    return torch.mkldnn_convolution(x, weight, bias, [padding] * 3, stride, (1, 1, 1), 1)


def _gradients(gradient: Tensor, x: Tensor, weight: Tensor, has_bias: bool) -> tuple[Tensor, Tensor | None]:
    """Of weight and bias."""
    channels, width = len(weight), gradient.shape[-1]
    paired = _fits_in_pairs(channels, width)
    stride = [1, 1, 1]
    if paired:
        apart = gradient.movedim(1, -1).reshape(*gradient.shape[:1], *gradient.shape[2:4], width // 2, 2 * channels)
        gradient, weight, stride = apart.movedim(-1, 1), _pair_kernel(weight), [1, 1, 2]
    _, of_weight, of_bias = torch.ops.aten.convolution_backward(
        gradient, x, weight, [len(weight)] if has_bias else None, stride, [0] * 3, [1] * 3, False, [0] * 3, 1,
        [False, True, has_bias],
    )  # fmt: skip
    if paired:
        of_weight = of_weight[:channels, ..., :3] + of_weight[channels:, ..., 1:]
        of_bias = of_bias[:channels] + of_bias[channels:] if has_bias else None
    return of_weight, of_bias if has_bias else None
