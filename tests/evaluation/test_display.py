from pathlib import Path

import numpy as np
import pytest

from passion.data.resampling import Grid
from passion.data.store import Box, PreparedCase
from passion.data.stored import StoredArray
from passion.data.whole_cases import WholeCase
from passion.evaluation.display import LEVELS, display_volumes, grey_levels


def test_grey_levels_keep_order_and_background() -> None:
    image = np.random.default_rng(0).normal(size=(9, 9, 9)).astype(np.float32)
    image[0] = 0
    found = grey_levels(image)
    assert (found[0] == 0).all()
    assert found[1:].min() == 1
    assert found.max() == LEVELS
    order = np.argsort(image[1:], axis=None)
    assert (np.diff(found[1:].ravel()[order].astype(int)) >= 0).all()
    assert not grey_levels(np.zeros((2, 2), dtype=np.float32)).any()


@pytest.mark.parametrize(
    ("affine", "flipped"),
    [((-1, -2, 3), ()), ((1, 2, 3), (0, 1)), ((-1, 2, -3), (1, 2))],
)
def test_volumes_run_to_the_left_to_the_back_and_up(
    affine: tuple[int, ...], flipped: tuple[int, ...], tmp_path: Path
) -> None:
    shape = (4, 3, 2)
    random = np.random.default_rng(1)
    image, target = random.normal(size=shape).astype(np.float32), random.integers(0, 4, shape, dtype=np.uint8)
    arrays = {"t1": image, "target": target}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    stored = {name: StoredArray(tmp_path / f"{name}.npy", None, None) for name in arrays}
    box = Box.whole(shape)
    grid = Grid(shape, np.diag([*affine, 1]).astype(float))
    case = PreparedCase(tmp_path, "a", grid, grid, {"t1": box}, box, {}, stored)
    found = display_volumes(WholeCase(case, box, None, None), {"t1": target})  # type: ignore[arg-type]
    assert sorted(found) == ["a/image/t1", "a/prediction/t1", "a/reference", "a/spacing_mm"]
    np.testing.assert_array_equal(found["a/reference"], np.flip(target, flipped))
    np.testing.assert_array_equal(found["a/prediction/t1"], np.flip(target, flipped))
    np.testing.assert_array_equal(found["a/image/t1"], np.flip(grey_levels(image), flipped))
    np.testing.assert_array_equal(found["a/spacing_mm"], [1, 2, 3])
