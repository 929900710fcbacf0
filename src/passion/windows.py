"""Sliding windows: where they lie, how much each counts, and one answer of all of them, slab after slab."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Blend = Literal["constant", "gaussian"]
"""How overlapping windows are averaged: all alike, or the middle of each counts most."""

OVERLAP = 0.5
"""Part of a window that neighbouring windows share (as in the published code)."""

SIGMA = 0.125
"""Standard deviation of Gaussian weights, in extents of a window (as MONAI and nnU-Net have it)."""


@dataclass(frozen=True)
class Walk:
    """One walk of windows over a batch of images.

    Args:
        answer: windows (N, M, *size) -> answers (N, A, *size).
        size: extent of a window.
        flip: spatial axes, from 0, along which the images are mirrored first and the answers back.
    """

    answer: Callable[[Tensor], Tensor]
    size: tuple[int, ...]
    flip: tuple[int, ...] = ()


def window_starts(extent: int, size: int, mirrored: bool = False) -> list[int]:
    """Where windows begin along an axis: half a window apart, the last one at the end.

    Along an axis that is shorter than a window there is one, which leaves it on both sides.

    Args:
        extent: of the axis.
        size: of a window.
        mirrored: begin at the far end.

    >>> window_starts(140, 80), window_starts(140, 80, mirrored=True), window_starts(5, 8)
    ([0, 40, 60], [0, 20, 60], [-1])
    """
    step = max(1, int(size * (1 - OVERLAP)))
    last = extent - size
    starts = [min(number * step, last) for number in range(math.ceil(last / step) + 1)] if last > 0 else [-(-last // 2)]
    return sorted(last - start for start in starts) if mirrored else starts


def window_shares(starts: Sequence[int], size: int, blend: Blend) -> Tensor:
    """How much each window counts at each of its voxels along an axis; at every place these shares add up to 1.

    Args:
        starts: of the windows, W of them.
        size: of a window.
        blend: see `Blend`.

    Returns:
        (W, size) float32.
    """
    places = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = torch.ones_like(places) if blend == "constant" else torch.exp(-0.5 * (places / (SIGMA * size)) ** 2)
    total = torch.zeros(starts[-1] - starts[0] + size, dtype=torch.float64)
    for start in starts:
        total[start - starts[0] :][:size] += weights
    return torch.stack([weights / total[start - starts[0] :][:size] for start in starts]).float()


@dataclass(frozen=True)
class _Window:
    """One window of a walk.

    Args:
        walk: that it belongs to.
        place: the part of the images that it covers.
        inside: the same part, counted from the window's first voxel.
        shares: of its answer there, (extent,) each axis.
    """

    walk: Walk
    place: tuple[slice, ...]
    inside: tuple[slice, ...]
    shares: tuple[Tensor, ...]

    def answer(self, images: Tensor) -> Tensor:
        """What the walk answers where the window lies inside the images, (N, A, *place)."""
        missing = [
            edge
            for inside, size in zip(reversed(self.inside), reversed(self.walk.size), strict=True)
            for edge in (inside.start, size - inside.stop)
        ]
        voxels = images[:, :, *self.place]
        padded = F.pad(voxels, missing) if any(missing) else voxels
        answer = _mirrored(self.walk.answer(_mirrored(padded, self.walk.flip)), self.walk.flip)
        return answer[:, :, *self.inside]

    @property
    def weight(self) -> Tensor:
        """How much that answer counts, (*place)."""
        return reduce(lambda outer, inner: outer[..., None] * inner, self.shares)


def _mirrored(voxels: Tensor, flip: Sequence[int]) -> Tensor:
    return voxels.flip([2 + axis for axis in flip]) if flip else voxels


def _windows(walk: Walk, space: Sequence[int], blend: Blend, device: torch.device) -> Iterator[_Window]:
    axes = []
    for axis, (extent, size) in enumerate(zip(space, walk.size, strict=True)):
        starts = window_starts(extent, size, mirrored=axis in walk.flip)
        insides = [slice(max(0, -start), min(size, extent - start)) for start in starts]
        places = [slice(max(0, start), min(extent, start + size)) for start in starts]
        shares = window_shares(starts, size, blend).to(device)
        axes.append([
            (place, inside, share[inside]) for place, inside, share in zip(places, insides, shares, strict=True)
        ])  # fmt: skip
    for parts in product(*axes):
        yield _Window(walk, *zip(*parts, strict=True))


def slide(images: Tensor, walks: Sequence[Walk], blend: Blend) -> Iterator[tuple[slice, Tensor]]:
    """The mean of some walks over the same images, in slabs along the first spatial axis.

    A slab is handed out as soon as no further window reaches it, so that no more of the answers is in memory than the
    largest window is deep. Images smaller than a window are padded with zeros.

    Args:
        images: (N, M, *space).
        walks: over them, all with A answers a voxel.
        blend: see `Blend`.

    Yields:
        Which part of the first axis, in order and without gaps, and its answers (N, A, depth, *rest of space) float32.
    """
    space = images.shape[2:]
    windows = [window for walk in walks for window in _windows(walk, space, blend, images.device)]
    front, total = 0, None
    for window in sorted(windows, key=lambda window: window.place[0].start):
        done = window.place[0].start - front
        if total is not None and done:
            yield slice(front, front + done), total[:, :, :done] / len(walks)
            total[:, :, :-done] = total[:, :, done:].clone()
            total[:, :, -done:] = 0
            front += done
        answer = window.answer(images)
        if total is None:
            depth = min(space[0], max(walk.size[0] for walk in walks))
            total = answer.new_zeros(*answer.shape[:2], depth, *space[1:])
        here = slice(window.place[0].start - front, window.place[0].stop - front)
        total[:, :, here, *window.place[1:]].addcmul_(answer, window.weight)
    assert total is not None
    yield slice(front, space[0]), total[:, :, : space[0] - front] / len(walks)
