from pathlib import Path

import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from numpy.typing import NDArray

from passion.data.arrays import StoredArray
from passion.data.boxes import Box
from passion.data.resampling import Grid
from passion.data.store import PreparedCase
from passion.data.whole_cases import WholeCase
from passion.evaluation.display import LEVELS, Arrays, display_slices, display_volumes, grey_levels


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


def whole_case(
    folder: Path, image: NDArray[np.float32], target: NDArray[np.uint8], affine: NDArray[np.float64]
) -> WholeCase:
    """A case of one image, prepared on the grid that `affine` gives."""
    arrays: dict[str, NDArray[np.generic]] = {"t1": image, "target": target}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    stored = {name: StoredArray(folder / f"{name}.npy", None, None) for name in arrays}
    box, grid = Box.whole(image.shape), Grid(image.shape, affine.astype(float))
    case = PreparedCase(folder, "a", grid, grid, {"t1": box}, box, {}, stored)
    return WholeCase(case, box, None, None)  # type: ignore[arg-type]


def shown_slice(folder: Path, axes: str) -> tuple[Arrays, NDArray[np.float32], NDArray[np.uint8]]:
    """What is kept of a case whose voxel axes run to `axes`; image and target as they are with axes LPS."""
    shape = (4, 3, 5)
    random = np.random.default_rng(2)
    image = random.normal(size=shape).astype(np.float32)
    target = random.integers(1, 4, shape, dtype=np.uint8)
    # One slice of each direction has more foreground than the others.
    target[np.ix_([0, 2, 3], [0, 1], [0, 1, 2, 4])] = 0
    turn = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(tuple(axes)))
    here, there = (apply_orientation(array, turn).copy() for array in (image, target))
    affine = np.diag([-1.0, -2.0, 3.0, 1.0]) @ inv_ornt_aff(turn, shape)
    return display_slices(whole_case(folder, here, there, affine), {"t1": there}), image, target


@pytest.mark.parametrize("axes", ["LPS", "RAS", "RAI", "LAS", "PLS", "ARS", "PRI", "ALI"])
def test_slices_run_to_the_back_and_to_the_left_whatever_the_grid(axes: str, tmp_path: Path) -> None:
    found, image, target = shown_slice(tmp_path, axes)
    most = (target > 0).sum(axis=(0, 1)).argmax()
    assert sorted(found) == ["a/image/t1", "a/pixel_mm", "a/prediction/t1", "a/reference"]
    np.testing.assert_array_equal(found["a/image/t1"], image[..., most].T)
    np.testing.assert_array_equal(found["a/reference"], target[..., most].T)
    np.testing.assert_array_equal(found["a/prediction/t1"], target[..., most].T)
    np.testing.assert_array_equal(found["a/pixel_mm"], [2, 1])


@pytest.mark.parametrize("axes", ["SLP", "RIA", "LSA", "IRP"])
def test_slices_from_the_front_run_down_and_to_the_left(axes: str, tmp_path: Path) -> None:
    found, image, target = shown_slice(tmp_path, axes)
    most = (target > 0).sum(axis=(0, 2)).argmax()
    np.testing.assert_array_equal(found["a/image/t1"], image[:, most, ::-1].T)
    np.testing.assert_array_equal(found["a/pixel_mm"], [3, 1])


@pytest.mark.parametrize("axes", ["PSL", "SAR", "AIL"])
def test_slices_from_the_side_run_down_and_to_the_back(axes: str, tmp_path: Path) -> None:
    found, image, target = shown_slice(tmp_path, axes)
    most = (target > 0).sum(axis=(1, 2)).argmax()
    np.testing.assert_array_equal(found["a/image/t1"], image[most, :, ::-1].T)
    np.testing.assert_array_equal(found["a/pixel_mm"], [3, 2])


@pytest.mark.parametrize("axes", ["LPS", "RAS", "LAI", "PSL", "LSP", "ILA"])
def test_volumes_run_to_the_left_to_the_back_and_up_whatever_the_grid(axes: str, tmp_path: Path) -> None:
    shape = (4, 3, 2)
    random = np.random.default_rng(1)
    image, target = random.normal(size=shape).astype(np.float32), random.integers(0, 4, shape, dtype=np.uint8)
    turn = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(tuple(axes)))
    here, there = (apply_orientation(array, turn).copy() for array in (image, target))
    affine = np.diag([-1.0, -2.0, 3.0, 1.0]) @ inv_ornt_aff(turn, shape)
    found = display_volumes(whole_case(tmp_path, here, there, affine), {"t1": there})
    assert sorted(found) == ["a/image/t1", "a/prediction/t1", "a/reference", "a/spacing_mm"]
    np.testing.assert_array_equal(found["a/reference"], target)
    np.testing.assert_array_equal(found["a/prediction/t1"], target)
    np.testing.assert_array_equal(found["a/image/t1"], grey_levels(image))
    np.testing.assert_array_equal(found["a/spacing_mm"], [1, 2, 3])
