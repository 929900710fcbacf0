"""Boxes: parts of a voxel grid, and arrays that fill them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passion.data.resampling import Grid, resample_labels


@dataclass(frozen=True)
class Box:
    """Part of a voxel grid: from `start` up to, not including, `stop`."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent along each axis."""
        return tuple(stop - start for start, stop in zip(self.start, self.stop, strict=True))

    @classmethod
    def whole(cls, shape: Sequence[int]) -> "Box":
        """All of a grid."""
        return cls((0,) * len(shape), tuple(shape))

    @property
    def slices(self) -> tuple[slice, ...]:
        """To index an array of the grid with."""
        return tuple(slice(start, stop) for start, stop in zip(self.start, self.stop, strict=True))

    def union(self, other: "Box") -> "Box":
        """Smallest box that holds both.

        >>> Box((0, 2), (1, 3)).union(Box((4, 0), (5, 1)))
        Box(start=(0, 0), stop=(5, 3))
        """
        return Box(tuple(map(min, self.start, other.start)), tuple(map(max, self.stop, other.stop)))


def union_of(boxes: Sequence[Box]) -> Box:
    """Smallest box that holds all of `boxes`."""
    whole = boxes[0]
    for box in boxes[1:]:
        whole = whole.union(box)
    return whole


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """Smallest box that holds every true voxel; an empty one at the origin where there is none.

    >>> bounding_box(np.array([[False, True], [False, True]]))
    Box(start=(0, 1), stop=(2, 2))
    """
    starts, stops = [], []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        occupied = np.flatnonzero(mask.any(axis=others))
        starts.append(int(occupied[0]) if len(occupied) else 0)
        stops.append(int(occupied[-1]) + 1 if len(occupied) else 0)
    return Box(tuple(starts), tuple(stops))


def copy_overlap(source: NDArray[Any], box: Box, out: NDArray[Any], window: Box) -> None:
    """Copy what `source`, which fills `box`, has of `window` into `out`, which fills `window`."""
    start = np.maximum(box.start, window.start)
    stop = np.minimum(box.stop, window.stop)
    if (start < stop).all():
        here = tuple(slice(a, b) for a, b in zip(start - window.start, stop - window.start, strict=True))
        there = tuple(slice(a, b) for a, b in zip(start - box.start, stop - box.start, strict=True))
        out[here] = source[there]


def put_back(labels: NDArray[np.uint8], box: Box, grid: Grid, own_grid: Grid) -> NDArray[np.uint8]:
    """Predicted class indices of `box` of `grid` on the files' own grid; background outside the box."""
    out = np.zeros(grid.shape, dtype=np.uint8)
    copy_overlap(labels, box, out, Box.whole(grid.shape))
    return out if grid is own_grid else resample_labels(out, grid, own_grid)
