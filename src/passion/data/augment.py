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
        images: (M, *space) float32, on any device.
        target: (*space) int64, on the same.
        present: (M,) bool, on the CPU.
        augmentation: what to apply.

    Returns:
        New images and target of the same shapes.
    """
    flipped = [axis for axis, flip in enumerate(augmentation.flips) if flip]
    images, target = images.flip([axis + 1 for axis in flipped]), target.flip(flipped)
    if augmentation.angle_degrees:
        theta = _rotation(target.shape, augmentation).to(images.device, non_blocking=True)
        # `grid_sample` takes positions in which an axis runs from -1 to 1.
        grid = F.affine_grid(theta[None], [1, 1, *target.shape], align_corners=False)
        channels = present.nonzero().flatten().to(images.device, non_blocking=True)
        turned = F.grid_sample(images[None, channels], grid, "bilinear", "zeros", False)[0]
        images = images.index_copy(0, channels, turned)
        target = F.grid_sample(target[None, None].float(), grid, "nearest", "zeros", False)[0, 0].long()
    shape = (-1, *[1] * target.ndim)
    scale = torch.where(present, torch.tensor(augmentation.scale), 1.0).to(images.device, non_blocking=True)
    shift = torch.where(present, torch.tensor(augmentation.shift), 0.0).to(images.device, non_blocking=True)
    return images * scale.view(shape) + shift.view(shape), target


def _rotation(shape: torch.Size, augmentation: Augmentation) -> Tensor:
    """Where the voxels of the rotated patch come from, for `affine_grid`: (dims, dims + 1)."""
    angle = np.deg2rad(augmentation.angle_degrees)
    first, second = augmentation.plane
    rotation = np.eye(len(shape))
    rotation[[first, second], [first, second]] = np.cos(angle)
    rotation[first, second], rotation[second, first] = -np.sin(angle), np.sin(angle)
    extent = np.array(shape, dtype=float)
    normalised = rotation * extent[None, :] / extent[:, None]
    # `grid_sample` counts axes from the last to the first.
    theta = np.hstack([normalised[::-1, ::-1], np.zeros((len(shape), 1))])
    return torch.tensor(theta, dtype=torch.float32)
