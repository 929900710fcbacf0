"""Sliding windows against MONAI's, and the laws of an average."""

from itertools import combinations

import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor

from passion.windows import Walk, slide, window_shares, window_starts

SHAPES = [((37, 21, 9), (16, 8, 12)), ((5, 40), (8, 16)), ((16, 16, 16), (16, 16, 16)), ((50, 3, 7), (10, 4, 4))]


def unlike(windows: Tensor) -> Tensor:
    """An answer that depends on the place in the window, as a network's does."""
    ramp = torch.linspace(0, 1, windows[0, 0].numel()).view(windows.shape[2:])
    return torch.cat((windows.sin() * ramp, windows.flip(2) + ramp), dim=1)


def whole(images: Tensor, walks: list[Walk], blend: str = "constant") -> Tensor:
    parts = list(slide(images, walks, blend))
    assert [part.start for part, _ in parts] == [0, *(part.stop for part, _ in parts[:-1])]
    return torch.cat([answers for _, answers in parts], dim=2)


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_windows_lie_and_count_as_monais_do(shape: tuple[int, ...], size: tuple[int, ...]) -> None:
    images = torch.randn(2, 3, *shape)
    expected = sliding_window_inference(images, size, 2, unlike, overlap=0.5)
    torch.testing.assert_close(whole(images, [Walk(unlike, size)]), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("blend", ["constant", "gaussian"])
@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_an_identity_network_returns_the_input(shape: tuple[int, ...], size: tuple[int, ...], blend: str) -> None:
    images = torch.randn(1, 2, *shape)
    walks = [Walk(lambda windows: windows, size), Walk(lambda windows: windows, tuple(2 * s for s in size), flip=(0,))]
    torch.testing.assert_close(whole(images, walks, blend), images, atol=1e-6, rtol=1e-6)


def test_gaussian_windows_are_monais_without_its_least_weight() -> None:
    """MONAI raises weights under 0.001 to that, also where no window counts more; a map of larger numbers has none."""
    images, places = torch.randn(1, 1, 30, 30), torch.arange(16) - 7.5
    bell = torch.exp(-(places**2) / (2 * (0.125 * 16) ** 2))
    weights = 1e6 * bell[:, None] * bell
    expected = sliding_window_inference(
        images, (16, 16), 1, unlike, overlap=0.5, mode="gaussian", roi_weight_map=weights
    )  # fmt: skip
    torch.testing.assert_close(whole(images, [Walk(unlike, (16, 16))], "gaussian"), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_mirror_images_are_those_of_the_whole_image(shape: tuple[int, ...], size: tuple[int, ...]) -> None:
    images = torch.randn(1, 1, *shape)
    flips = [flip for count in range(len(shape) + 1) for flip in combinations(range(len(shape)), count)]
    turned = []
    for flip in flips:
        axes = [2 + axis for axis in flip]
        turned.append(sliding_window_inference(images.flip(axes), size, 1, unlike, overlap=0.5).flip(axes))
    found = whole(images, [Walk(unlike, size, flip) for flip in flips])
    torch.testing.assert_close(found, torch.stack(turned).mean(0), atol=1e-5, rtol=0)


def test_no_slab_is_deeper_than_a_window() -> None:
    depths = [answers.shape[2] for _, answers in slide(torch.randn(1, 1, 100, 9), [Walk(unlike, (20, 8))], "constant")]
    assert depths == [10] * 8 + [20]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("extent", "size"), [(140, 80), (81, 80), (80, 80), (30, 80), (7, 3), (5, 1)])
def test_shares_add_up_to_one_everywhere(extent: int, size: int, mirrored: bool) -> None:
    starts = window_starts(extent, size, mirrored)
    total = torch.zeros(max(extent, size))
    for start, share in zip(starts, window_shares(starts, size, "gaussian"), strict=True):
        total[start - starts[0] :][:size] += share
    torch.testing.assert_close(total, torch.ones_like(total))
