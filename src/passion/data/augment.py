"""Augmentation: draw the randomness, then apply it to labels and images alike."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class AugmentationSettings:
    """How much is varied (METHOD: section 4.2 of the paper; flips as in the published code).

    Args:
        rotation_degrees: largest angle, about one random axis.
        intensity_scale: scale factors are drawn from 1 +- this, one a modality.
        intensity_shift: shifts in standard deviations are drawn from +- this, one a modality.
        flip: mirror each axis with probability one half.
    """

    rotation_degrees: float = 10.0
    intensity_scale: float = 0.1
    intensity_shift: float = 0.1
    flip: bool = True


@dataclass(frozen=True)
class Augmentation:
    """One draw.

    Args:
        angle_degrees: of the rotation.
        plane: the two spatial axes that it turns into each other.
        flips: whether each spatial axis is mirrored.
        scale: (M,) factors.
        shift: (M,) offsets.
    """

    angle_degrees: float
    plane: tuple[int, int]
    flips: tuple[bool, ...]
    scale: tuple[float, ...]
    shift: tuple[float, ...]


def draw_augmentation(
    settings: AugmentationSettings, spatial_dims: int, modalities: int, random: np.random.Generator
) -> Augmentation:
    """Draw one augmentation."""
    first, second = sorted(random.permutation(spatial_dims)[:2].tolist())
    return Augmentation(
        angle_degrees=random.uniform(-settings.rotation_degrees, settings.rotation_degrees),
        plane=(first, second),
        flips=tuple((random.random(spatial_dims) < (0.5 if settings.flip else 0.0)).tolist()),
        scale=tuple((1 + random.uniform(-1, 1, modalities) * settings.intensity_scale).tolist()),
        shift=tuple((random.uniform(-1, 1, modalities) * settings.intensity_shift).tolist()),
    )


def augment(images: Tensor, target: Tensor, present: Tensor, augmentation: Augmentation) -> tuple[Tensor, Tensor]:
    """Apply a draw. Images are interpolated linearly, labels by nearest neighbour; what comes from outside is
    0 and background. Channels of absent modalities stay as they are.

    Args:
        images: (M, *space) float32.
        target: (*space) int64.
        present: (M,) bool.
        augmentation: what to apply.

    Returns:
        New images and target of the same shapes.
    """
    flipped = [axis for axis, flip in enumerate(augmentation.flips) if flip]
    images, target = images.flip([axis + 1 for axis in flipped]), target.flip(flipped)
    if augmentation.angle_degrees:
        grid = _rotation_grid(target.shape, augmentation)
        images = images.clone()
        images[present] = F.grid_sample(images[None, present], grid, "bilinear", "zeros", False)[0]
        target = F.grid_sample(target[None, None].float(), grid, "nearest", "zeros", False)[0, 0].long()
    shape = (-1, *[1] * target.ndim)
    scale, shift = torch.tensor(augmentation.scale), torch.tensor(augmentation.shift)
    scale, shift = torch.where(present, scale, 1.0), torch.where(present, shift, 0.0)
    return images * scale.view(shape) + shift.view(shape), target


def _rotation_grid(shape: torch.Size, augmentation: Augmentation) -> Tensor:
    """Where each voxel of the rotated patch comes from, in the coordinates of `grid_sample`."""
    angle = np.deg2rad(augmentation.angle_degrees)
    first, second = augmentation.plane
    rotation = np.eye(len(shape))
    rotation[[first, second], [first, second]] = np.cos(angle)
    rotation[first, second], rotation[second, first] = -np.sin(angle), np.sin(angle)
    extent = np.array(shape, dtype=float)
    normalised = rotation * extent[None, :] / extent[:, None]
    # `grid_sample` counts axes from the last to the first.
    theta = np.hstack([normalised[::-1, ::-1], np.zeros((len(shape), 1))])
    return F.affine_grid(torch.tensor(theta, dtype=torch.float32)[None], [1, 1, *shape], align_corners=False)
