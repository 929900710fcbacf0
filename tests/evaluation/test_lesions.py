"""Lesion-wise Dice: cases that can be counted by hand, and the definition step by step, a mask for every lesion."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from passion.evaluation.lesions import DILATION_VOXELS, SMALLEST_MM3, find_lesions, lesion_dice
from passion.evaluation.metrics import dice

UNIT_MM = (1.0, 1.0, 1.0)


def boxes(*corners: tuple[int, int, int], edge: int = 4, shape: tuple[int, ...] = (30, 30, 30)) -> NDArray[np.bool_]:
    """Cubes of 64 voxels, if not said otherwise, with their first corner at `corners`."""
    mask = np.zeros(shape, dtype=bool)
    for corner in corners:
        mask[tuple(slice(start, start + edge) for start in corner)] = True
    return mask


def of(prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing_mm: tuple[float, ...] = UNIT_MM) -> float:
    return lesion_dice(prediction, find_lesions(reference, spacing_mm))


def test_every_lesion_counts_alike_and_so_does_one_that_is_not_there() -> None:
    small, large = boxes((2, 2, 2)), boxes((14, 14, 14), edge=12)
    both = small | large
    assert of(both, both) == 1.0
    assert of(large, both) == 0.5
    assert of(small, both) == 0.5
    assert of(both, large) == 0.5
    assert of(both | boxes((2, 24, 2), edge=1), both) == pytest.approx(2 / 3)


def test_lesions_that_are_near_are_one() -> None:
    gap = 2 * DILATION_VOXELS
    for distance, lesions in ((gap - 1, 1), (gap, 1), (gap + 1, 2)):
        pair = boxes((2, 2, 2), (6 + distance, 2, 2))
        assert len(find_lesions(pair, UNIT_MM).volumes) == lesions
        expected = dice(boxes((2, 2, 2)), pair) if lesions == 1 else 0.5
        assert of(boxes((2, 2, 2)), pair) == pytest.approx(expected)


def test_a_small_reference_lesion_is_not_scored_nor_what_finds_it() -> None:
    mask = boxes((2, 2, 2), (20, 20, 20))
    mask[2:6, 2:6, 2] = mask[2, 2, 3] = False  # 64 - 16 - 1 voxels are 47 mm3
    assert of(boxes((20, 20, 20)), mask) == 1.0
    assert of(mask, mask) == 1.0
    assert of(boxes((20, 20, 20)), mask, (1.0, 1.0, 1.2)) == 0.5
    assert of(boxes((2, 2, 2), edge=1), boxes((2, 2, 2), edge=3)) == 1.0
    assert 27 <= SMALLEST_MM3 < 47 * 1.2


def test_a_near_miss_is_no_extra_lesion() -> None:
    near, far = boxes((2, 2, 6 + DILATION_VOXELS - 1)), boxes((2, 2, 6 + DILATION_VOXELS))
    assert of(boxes((2, 2, 2)) | near, boxes((2, 2, 2))) == pytest.approx(2 * 64 / (64 + 128))
    assert of(boxes((2, 2, 2)) | far, boxes((2, 2, 2))) == 0.5


def test_empty_masks() -> None:
    empty, cube = np.zeros((30, 30, 30), dtype=bool), boxes((2, 2, 2))
    assert of(empty, empty) == 1.0
    assert of(empty, cube) == 0.0
    assert of(cube, empty) == 0.0


def by_definition(prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> float:
    """A widened mask for every lesion, a mask for every component of the prediction."""
    touching = ndimage.generate_binary_structure(reference.ndim, reference.ndim)
    step = ndimage.generate_binary_structure(reference.ndim, 2)

    def widened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        for _ in range(3):
            mask = ndimage.binary_dilation(mask, step)
        return mask

    def masks(numbers: NDArray[np.int32], within: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
        return [(numbers == number) & within for number in range(1, int(numbers.max()) + 1)]

    lesions = masks(ndimage.label(widened(reference), touching)[0], reference)
    components = masks(ndimage.label(prediction, touching)[0], prediction)
    unmatched = set(range(len(components)))
    scores = []
    for lesion in lesions:
        around = widened(lesion)
        found = [number for number, component in enumerate(components) if (component & around).any()]
        unmatched -= set(found)
        if lesion.sum() * np.prod(spacing_mm) > 50:
            union = sum((components[number] for number in found), np.zeros_like(prediction))
            scores.append(dice(union, lesion))
    return sum(scores) / (len(scores) + len(unmatched)) if scores or unmatched else 1.0


@pytest.mark.parametrize(
    ("shape", "spacing_mm"),
    [((26, 30, 34), UNIT_MM), ((40, 36, 12), (0.8, 0.7, 3.0)), ((70, 60), (1.0, 1.0))],
)
def test_equals_the_definition(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> None:
    rng = np.random.default_rng(len(shape))
    values = []
    for index in range(10):
        first, second = (
            ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
            for sigma in ((1.5, 2.5)[index % 2], 2)
        )
        reference = first > np.quantile(first, 0.96)
        prediction = second > np.quantile(second, (0.8, 0.95)[index % 2])
        if index >= 5:
            prediction = np.roll(reference, 1 + index % 3, axis=0) ^ (rng.random(shape) < 0.001)
        values.append(of(prediction, reference, spacing_mm))
        assert values[-1] == pytest.approx(by_definition(prediction, reference, spacing_mm), abs=1e-12)
    assert len({round(value, 6) for value in values}) > 5
