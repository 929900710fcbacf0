"""Times `passion.evaluation.metrics.surface_scores` against `medpy.metric.binary.hd95` on BraTS's grid.

Both run in turn in one process, so that whatever else the machine does hits both alike. Ours gives three
readings in its time, medpy one. The exit status is 1 if the two values differ by more than 1e-6 mm.

Run: python benchmarks/hd95.py [--rounds 5]
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from medpy.metric import binary
from numpy.typing import NDArray
from scipy import ndimage

from passion.evaluation.metrics import surface_scores

SHAPE = (240, 240, 155)
SPACING_MM = (1.0, 1.0, 1.0)
TOLERANCE_MM = 1e-6


def blob(
    rng: np.random.Generator, shape: tuple[int, ...], centre: tuple[int, ...], radius_mm: float, rough_mm: float
) -> NDArray[np.bool_]:
    """A ball whose surface is shifted in and out by smooth noise."""
    coarse = rng.standard_normal([size // 6 + 2 for size in shape])
    zoom = [size / small for size, small in zip(shape, coarse.shape, strict=True)]
    noise = ndimage.zoom(coarse, zoom, order=1)
    grid = np.ogrid[tuple(slice(0, size) for size in shape)]
    squares = sum((axis - place) ** 2 for axis, place in zip(grid, centre, strict=True))
    mask: NDArray[np.bool_] = np.sqrt(squares) + rough_mm * noise < radius_mm
    return mask


def pairs(rng: np.random.Generator) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Prediction and reference by name: a usual case, and those in which the sizes are far apart."""
    tumour = blob(rng, SHAPE, (122, 131, 81), radius_mm=30, rough_mm=8)
    close = blob(rng, SHAPE, (120, 130, 80), radius_mm=32, rough_mm=8)
    large = blob(rng, SHAPE, (120, 120, 77), radius_mm=62, rough_mm=6)
    small = blob(rng, SHAPE, (90, 100, 60), radius_mm=6, rough_mm=2)
    specks = close.copy()
    for corner in rng.integers((50, 40, 8), (187, 207, 145), size=(60, 3)):
        specks[tuple(slice(start, start + 3) for start in corner)] = True
    return {
        "tumour": (close, tumour),
        "far too large": (large, tumour),
        "far too small": (small, tumour),
        "with specks": (specks, tumour),
    }


def seconds(function: Callable[[], float]) -> tuple[float, float]:
    """How long a call took, and what it returned."""
    start = time.perf_counter()
    value = function()
    return time.perf_counter() - start, value


def compare(name: str, prediction: NDArray[np.bool_], reference: NDArray[np.bool_], rounds: int) -> bool:
    """Prints the times and ratios of one pair; whether the values are equal."""
    ours_s, medpy_s, equal = [], [], True
    for _ in range(rounds):
        time_s, ours = seconds(lambda: surface_scores(prediction, reference, SPACING_MM).hd95_pooled)
        ours_s.append(time_s)
        time_s, theirs = seconds(lambda: float(binary.hd95(prediction, reference, voxelspacing=SPACING_MM)))
        medpy_s.append(time_s)
        equal = equal and abs(ours - theirs) <= TOLERANCE_MM
    ratios = [theirs / ours for theirs, ours in zip(medpy_s, ours_s, strict=True)]
    print(
        f"{name:14} ours best {min(ours_s):.3f} s, medpy best {min(medpy_s):.3f} s; "
        f"best/best {min(medpy_s) / min(ours_s):.1f}x, median of the rounds' ratios "
        f"{statistics.median(ratios):.1f}x; values {ours:.6f} and {theirs:.6f} mm"
    )
    return equal


def main() -> int:
    """Runs every pair; 0 if all values are equal."""
    parser = argparse.ArgumentParser(description="HD95: ours against medpy, alternating")
    parser.add_argument("--rounds", type=int, default=5, help="calls of each function for each pair")
    rounds = parser.parse_args().rounds
    print(f"grid {SHAPE}, spacing {SPACING_MM} mm, {rounds} rounds")
    rng = np.random.default_rng(0)
    results = [compare(name, *pair, rounds=rounds) for name, pair in pairs(rng).items()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
