"""Sliding windows in which each modality is encoded once and many subsets are decoded."""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor

from passion.errors import InputError
from passion.networks.contract import Segmenter

SLICES_AT_ONCE = 8
"""Slices that are segmented together."""

VOXELS_AT_ONCE = {True: 5 * 80**3, False: 16 * 80**3}
"""Voxels of the answers that are decoded together: few on a CPU (True), whose caches are small, many on a GPU."""

OVERLAP = 0.5
"""Part of a window that neighbouring windows share (as in the published code)."""


@dataclass(frozen=True)
class InferenceSettings:
    """How windows become an answer; the defaults are what the published code does.

    Args:
        blend: how overlapping windows are averaged: "constant", all alike, or "gaussian", the middle counts most.
        mirror: average over all mirror images of the case, which takes 8 times as long (4 times for slices).
    """

    blend: Literal["constant", "gaussian"] = "constant"
    mirror: bool = False


PUBLISHED = InferenceSettings()


def answerable(subsets: Tensor, present: Tensor) -> Tensor:
    """Those of `subsets` (S, M) bool that lie inside `present` (M,) bool."""
    return subsets[~(subsets & ~present).any(1)]


def segment(
    network: Segmenter, images: Tensor, present: Tensor, subsets: Tensor, settings: InferenceSettings = PUBLISHED
) -> Tensor:
    """Segment one case as seen through each subset of its modalities; the arguments are those of `infer`.

    Returns:
        Class indices (S, X, Y, Z) uint8, on the CPU.
    """
    parts = [images] if network.spatial_dims == 3 else torch.split(images, SLICES_AT_ONCE, dim=-1)
    answers = (infer(network, part, present, subsets, settings) for part in parts)
    return torch.cat([most_likely(answer[None])[0].cpu() for answer in answers], dim=-1)


@torch.inference_mode()
def infer(
    network: Segmenter, images: Tensor, present: Tensor, subsets: Tensor, settings: InferenceSettings = PUBLISHED
) -> Tensor:
    """Class probabilities of one case as seen through each subset of its modalities.

    Windows have the network's patch size and overlap by one half; the probabilities of overlapping windows are
    averaged. A case smaller than a window is padded with zeros. A network for slices is asked about each slice along
    the last axis.

    Args:
        network: in evaluation mode.
        images: (1, M, X, Y, Z).
        present: (1, M) bool, on the CPU.
        subsets: (S, M) bool, on the CPU, each inside `present`.
        settings: how windows become an answer.

    Returns:
        (S, K, X, Y, Z) float32.
    """
    total = _infer_case(network, images, present, subsets, settings)
    if not settings.mirror:
        return total
    axes = range(2, 2 + network.spatial_dims)
    flips = [some for count in range(1, len(axes) + 1) for some in combinations(axes, count)]
    for flip in flips:
        total += _infer_case(network, images.flip(flip), present, subsets, settings).flip(flip)
    return total.div_(1 + len(flips))


def _infer_case(
    network: Segmenter, images: Tensor, present: Tensor, subsets: Tensor, settings: InferenceSettings
) -> Tensor:
    """What `infer` returns, without mirror images."""
    if network.spatial_dims == 3:
        return _infer_batch(network, images, present, subsets, settings)[0]
    slices = torch.split(images[0].movedim(-1, 0), SLICES_AT_ONCE)
    return torch.cat([_infer_batch(network, some, present, subsets, settings) for some in slices]).movedim(0, -1)


def _infer_batch(
    network: Segmenter, images: Tensor, present: Tensor, subsets: Tensor, settings: InferenceSettings
) -> Tensor:
    """Images (N, M, *space) of the same modalities -> class probabilities (N, S, K, *space)."""
    count = len(subsets)
    rows_at_once = max(1, VOXELS_AT_ONCE[images.device.type == "cpu"] // math.prod(network.patch_size))

    def answer(windows: Tensor) -> Tensor:
        encoding = network.encode(windows, present.expand(len(windows), -1))
        rows = torch.arange(len(windows)).repeat_interleave(count)
        asked = subsets.repeat(len(windows), 1)
        shape = (len(rows), network.classes, *windows.shape[2:])
        probabilities = torch.empty(shape, device=windows.device)
        for start in range(0, len(rows), rows_at_once):
            some = slice(start, start + rows_at_once)
            logits = network.decode(encoding, rows[some], asked[some]).logits
            torch.softmax(logits.float(), 1, out=probabilities[some])
        return probabilities.view(len(windows), -1, *windows.shape[2:])

    probabilities = sliding_window_inference(
        images, roi_size=network.patch_size, sw_batch_size=len(images), predictor=answer, overlap=OVERLAP,
        mode=settings.blend,
    )  # fmt: skip
    by_subset: Tensor = probabilities.view(len(images), count, -1, *images.shape[2:])
    return by_subset


def most_likely(probabilities: Tensor) -> Tensor:
    """Class of the highest probability, the first of equals: (N, S, K, *space) -> (N, S, *space) uint8.

    A comparison a class, since `argmax` over an axis that is not the last takes many times as long on a CPU.

    >>> most_likely(torch.tensor([[[0.2, 0.4, 0.4]]]))
    tensor([[1]], dtype=torch.uint8)
    """
    best = probabilities[:, :, 0].clone()
    labels = torch.zeros_like(best, dtype=torch.uint8)
    for index in range(1, probabilities.shape[2]):
        candidate = probabilities[:, :, index]
        # Indices grow, so a larger one takes the place of those before; filling by a mask takes many times as long.
        torch.maximum(labels, (candidate > best).to(torch.uint8).mul_(index), out=labels)
        torch.maximum(best, candidate, out=best)
    return labels


def choose_device(name: str) -> torch.device:
    """The device that `name` means; "auto" is a GPU where there is one.

    Raises:
        InputError: no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: is not to be had here; use auto or cpu") from error
    return device
