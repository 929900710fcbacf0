"""Augmentation against NumPy and SciPy."""

from dataclasses import replace
from math import cos, radians, sin

import numpy as np
import pytest
import torch
from scipy import ndimage

from passion.data.augment import Augmentation, augment
from passion.data.loading import Batch, collate, collate_and_augment

STILL = Augmentation(0.0, (0, 1), (False, False, False), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
PRESENT = torch.tensor([True, False, True])


@pytest.fixture
def images() -> torch.Tensor:
    random = np.random.default_rng(0)
    voxels = np.stack([ndimage.gaussian_filter(random.normal(size=(12, 12, 12)), 1.5) for _ in PRESENT])
    return torch.from_numpy(voxels).float() * PRESENT[:, None, None, None]


@pytest.fixture
def target(images: torch.Tensor) -> torch.Tensor:
    return (images[0] > 0).long()


def test_flips_are_numpy_flips(images: torch.Tensor, target: torch.Tensor) -> None:
    got, labels = augment(images, target, PRESENT, replace(STILL, flips=(True, False, True)))
    assert np.array_equal(got.numpy(), np.flip(images.numpy(), (1, 3)))
    assert np.array_equal(labels.numpy(), np.flip(target.numpy(), (0, 2)))


@pytest.mark.parametrize("plane", [(0, 1), (0, 2), (1, 2)])
def test_a_quarter_turn_is_numpys(images: torch.Tensor, target: torch.Tensor, plane: tuple[int, int]) -> None:
    got, labels = augment(images, target, PRESENT, replace(STILL, angle_degrees=90.0, plane=plane))
    turned = [np.rot90(images[0].numpy(), times, plane) for times in (1, 3)]
    times = 1 if np.allclose(got[0].numpy(), turned[0], atol=1e-5) else 3
    np.testing.assert_allclose(got[0].numpy(), np.rot90(images[0].numpy(), times, plane), atol=1e-5)
    np.testing.assert_allclose(got[2].numpy(), np.rot90(images[2].numpy(), times, plane), atol=1e-5)
    assert np.array_equal(labels.numpy(), np.rot90(target.numpy(), times, plane))


def test_a_small_turn_is_scipys(images: torch.Tensor, target: torch.Tensor) -> None:
    angle = radians(7.0)
    got, _ = augment(images, target, PRESENT, replace(STILL, angle_degrees=7.0, plane=(0, 2)))
    matrix = np.eye(3)
    matrix[[0, 2], [0, 2]] = cos(angle)
    matrix[0, 2], matrix[2, 0] = -sin(angle), sin(angle)
    centre = np.full(3, 5.5)
    expected = ndimage.affine_transform(images[0].numpy(), matrix, centre - matrix @ centre, order=1)
    np.testing.assert_allclose(got[0, 2:-2, 2:-2, 2:-2], expected[2:-2, 2:-2, 2:-2], atol=1e-4)


def test_intensities_change_where_a_modality_is_present_only(images: torch.Tensor, target: torch.Tensor) -> None:
    draw = replace(STILL, angle_degrees=5.0, scale=(2.0, 3.0, 0.5), shift=(1.0, 1.0, -1.0))
    plain, _ = augment(images, target, PRESENT, replace(STILL, angle_degrees=5.0))
    got, _ = augment(images, target, PRESENT, draw)
    torch.testing.assert_close(got[0], 2 * plain[0] + 1)
    torch.testing.assert_close(got[2], 0.5 * plain[2] - 1)
    assert not got[1].any()


def test_augmenting_in_the_workers_or_on_the_device_is_the_same(images: torch.Tensor, target: torch.Tensor) -> None:
    draws = [replace(STILL, angle_degrees=angle, flips=(True, False, False)) for angle in (3.0, -8.0)]
    some = [Batch(images[None], PRESENT[None], PRESENT[None], target[None], (draw,)) for draw in draws]
    early, late = collate_and_augment(some), collate(some).augmented()
    assert torch.equal(early.images, late.images)
    assert torch.equal(early.target, late.target)
    assert early.augmentations == late.augmentations == ()
