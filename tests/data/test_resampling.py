"""Grids: when two are one, and how images and labels get from one to another."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial.transform import Rotation

from passion.data.resampling import Grid, resample, resample_image, resample_labels

SHAPE = (20, 24, 16)


def grid_at(
    turned_degrees: float = 0.0,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    first_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    shape: tuple[int, int, int] = SHAPE,
) -> Grid:
    affine = np.eye(4)
    turn = Rotation.from_rotvec(np.radians(turned_degrees) * np.array([1, 2, 2]) / 3).as_matrix()
    affine[:3, :3] = turn @ np.diag(spacing_mm)
    affine[:3, 3] = first_mm
    return Grid(shape, affine)


def places_mm(grid: Grid) -> np.ndarray:
    """(X, Y, Z, 3)."""
    return np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shape": (20, 24, 15)}, ["shape (20, 24, 15) instead of (20, 24, 16)"]),
        ({"spacing_mm": (1, 1, 1.0009)}, []),
        ({"spacing_mm": (1, 1, 1.25)}, ["spacing by 0.25 mm"]),
        ({"turned_degrees": 0.09}, []),
        ({"turned_degrees": 0.2}, ["direction by 0.189 degrees"]),
        ({"first_mm": (0.005, 0.005, 0.005)}, []),
        ({"first_mm": (3, 4, 0)}, ["origin by 5 mm"]),
        ({"spacing_mm": (2, 1, 1), "first_mm": (0, 0, 1)}, ["spacing by 1 mm", "origin by 1 mm"]),
    ],
)
def test_what_differs_is_said_with_its_unit(options: dict, said: list[str]) -> None:
    assert grid_at(**options).differences(grid_at()) == said
    assert grid_at(**options).alike(grid_at()) == (not said)


def test_turned_axes_differ_in_direction() -> None:
    flipped = Grid(SHAPE, np.diag([-1.0, 1, 1, 1]))
    assert flipped.differences(grid_at()) == ["direction by 180 degrees"]
    permuted = Grid(SHAPE, np.eye(4)[[1, 0, 2, 3]])
    assert permuted.differences(grid_at()) == ["direction by 90 degrees"]


@pytest.mark.parametrize("seed", range(20))
def test_what_a_header_can_hold_is_within_the_tolerances(seed: int, tmp_path: Path) -> None:
    """Any grid, through the float32 of an sform or the quaternion of a qform, stays the same grid."""
    random = np.random.default_rng(seed)
    affine = np.eye(4)
    turn = Rotation.random(random_state=seed).as_matrix()
    if seed % 2:
        turn = np.diag([-1, -1, 1]) @ Rotation.from_euler("xyz", random.normal(0, 0.2, 3), degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag(random.uniform(0.3, 6, 3))
    affine[:3, 3] = random.uniform(-300, 300, 3)
    for name, codes in (("sform", (1, 0)), ("qform", (0, 1))):
        image = nibabel.Nifti1Image(np.zeros((2, 2, 2), dtype=np.uint8), affine)
        image.set_sform(affine if codes[0] else None, codes[0])
        image.set_qform(affine if codes[1] else None, codes[1])
        nibabel.save(image, tmp_path / f"{name}.nii")
        read = nibabel.load(tmp_path / f"{name}.nii")
        assert Grid((2, 2, 2), read.affine).differences(Grid((2, 2, 2), affine)) == [], name


def test_a_spacing_covers_all_of_the_space() -> None:
    for spacing in (0.7, 1.3, 3.1, 7.0):
        own = grid_at(30, (1, 2, 3))
        grid = own.at_spacing((spacing, None, spacing))
        assert grid.spacing_mm == pytest.approx((spacing, 2, spacing))
        assert not own.outside(grid).any()
        extents = np.array(grid.shape) * grid.spacing_mm - np.array(own.shape) * own.spacing_mm
        assert (extents > -0.01 * np.array(grid.spacing_mm)).all()
        assert (extents < grid.spacing_mm).all()
    assert grid_at(10).at_spacing((1, 1, 1)).alike(grid_at(10))


def test_linear_interpolation_is_that_of_another_library() -> None:
    source = grid_at(25, (1, 1.4, 2.5), (-3, 2, 1))
    target = grid_at(-40, (1, 1.1, 0.9), (1, 10, 8))
    voxels = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    got = resample(voxels, source, target, order=1, outside=7)
    indices = (places_mm(target) - source.affine[:3, 3]) @ np.linalg.inv(source.affine[:3, :3]).T
    last = np.array(SHAPE) - 1
    want = RegularGridInterpolator([np.arange(n) for n in SHAPE], voxels)(indices.clip(0, last))
    seen = ((indices > -0.501) & (indices < last + 0.501)).all(-1)
    assert 0.2 < seen.mean() < 0.9
    np.testing.assert_allclose(got, np.where(seen, want, 7), atol=1e-4)
    np.testing.assert_array_equal(target.outside(source), ~seen)
    around = target.around(source)
    assert seen.sum() == seen[around].sum()


def test_labels_come_back_as_a_plain_implementation_brings_them() -> None:
    """Over the whole grid, class by class, with a library's interpolation."""
    source = grid_at(25, (1, 1.4, 2.5), (-3, 2, 1))
    for target in (
        grid_at(-40, (1, 1.1, 0.9), (1, 10, 8)),
        grid_at(0, (5, 4, 6), (-20, 0, 0)),
        grid_at(0, (1, 1, 1), (99, 0, 0)),
    ):
        distance_mm = np.linalg.norm(places_mm(source) - places_mm(source)[12, 9, 8], axis=-1)
        labels = np.digitize(distance_mm, [4, 8]).astype(np.uint8)
        labels = np.array([1, 2, 0], dtype=np.uint8)[labels]
        indices = (places_mm(target) - source.affine[:3, 3]) @ np.linalg.inv(source.affine[:3, :3]).T
        last = np.array(SHAPE) - 1
        seen = ((indices > -0.501) & (indices < last + 0.501)).all(-1)
        axes = [np.arange(n) for n in SHAPE]
        masks = [RegularGridInterpolator(axes, (labels == k).astype(float))(indices.clip(0, last)) for k in range(3)]
        best, second = np.sort(masks, axis=0)[[-1, -2]]
        clear = best - second > 1e-4
        got = resample_labels(labels, source, target)
        assert got.shape == target.shape
        np.testing.assert_array_equal(got[clear], np.where(seen, np.argmax(masks, axis=0), 0)[clear])


def test_labels_that_fill_their_grid_end_where_it_ends() -> None:
    source = grid_at(0, (1, 1, 1), (0, 0, 0), (4, 4, 4))
    target = grid_at(0, (1, 1, 1), (-3, 0, 0), (10, 4, 4))
    got = resample_labels(np.full((4, 4, 4), 2, dtype=np.uint8), source, target)
    assert got[:, 0, 0].tolist() == [0, 0, 0, 2, 2, 2, 2, 0, 0, 0]
    assert not resample_labels(np.zeros((4, 4, 4), dtype=np.uint8), source, target).any()


@pytest.mark.parametrize("factor", [3, 5, 8])
def test_large_steps_do_not_alias(factor: int) -> None:
    """Stripes finer than the new voxels become grey; what the new voxels can show stays."""
    source = grid_at(0, (1, 1, 1), (0, 0, 0), (240, 4, 4))
    target = source.at_spacing((factor, None, None))

    def swing(period_mm: float) -> float:
        stripes = np.broadcast_to(np.sin(2 * np.pi * (np.arange(240) + 0.3) / period_mm)[:, None, None], source.shape)
        moved = resample_image((100 + stripes).astype(np.float32), source, target)
        return float(np.ptp(moved[2:-2]) / 2)

    plain = resample(
        np.sin(2 * np.pi * np.arange(240.0) / (1.1 * factor))[:, None, None] * np.ones((1, 4, 4)), source, target, 1
    )
    assert np.ptp(plain) / 2 > 0.6
    assert swing(1.1 * factor) < 0.3
    assert swing(0.7 * factor) < 0.05
    assert swing(6 * factor) > 0.85
    constant = resample_image(np.full(source.shape, 5, dtype=np.float32), source, target)
    np.testing.assert_allclose(constant, 5, rtol=1e-6)


def test_smoothing_follows_the_axes_in_space() -> None:
    """Only the axis that gets larger voxels is smoothed, whatever it is called on the other grid."""
    voxels = np.random.default_rng(0).uniform(1, 2, (12, 12, 12)).astype(np.float32)
    source = Grid((12, 12, 12), np.eye(4))
    target = Grid((12, 3, 12), np.array([[0, 4.0, 0, 1.5], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    got = resample_image(voxels, source, target)
    assert got.std() < 0.6 * voxels.std()
    turned = Grid((12, 12, 12), np.diag([-1.0, -1, 1, 1]))
    turned.affine[:2, 3] = 11
    np.testing.assert_allclose(resample_image(voxels, source, turned), voxels[::-1, ::-1], rtol=1e-5)


@pytest.mark.parametrize("spacing", [0.7, 1.0, 3.0])
def test_tissue_does_not_fade_into_the_background(spacing: float) -> None:
    """A skull-stripped head of one intensity keeps it to its border, and keeps its volume."""
    source = grid_at(0, (1, 1, 1), (0, 0, 0), (40, 40, 40))
    distance_mm = np.linalg.norm(places_mm(source) - 19.5, axis=-1)
    head = np.where(distance_mm < 15, np.float32(100), np.float32(0))
    turned = grid_at(20, (1, 1, 1), (-15, -8, -12), (70, 60, 60)).at_spacing((spacing,) * 3)
    moved = resample_image(head, source, turned)
    assert np.ptp(moved[moved > 0]) < 0.01
    volume_mm3 = (moved > 0).sum() * spacing**3
    assert volume_mm3 == pytest.approx((head > 0).sum(), rel=0.05)
    assert (places_mm(turned)[moved > 0]).mean(0) == pytest.approx([19.5] * 3, abs=0.05 * max(1, spacing))
