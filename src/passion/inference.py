"""Sliding windows in which each modality is encoded once and many subsets are decoded."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from passion.errors import InputError
from passion.networks.contract import Segmenter
from passion.windows import Blend, Walk, slide

SLICES_AT_ONCE = 8
"""Slices that are segmented together."""

VOXELS_AT_ONCE = {True: 5 * 80**3, False: 16 * 80**3}
"""Voxels of the answers that are decoded together: few on a CPU (True), whose caches are small, many on a GPU."""


@dataclass(frozen=True)
class InferenceSettings:
    """How windows become an answer; the defaults are what the published code does.

    Args:
        blend: how overlapping windows are averaged: "constant", all alike, or "gaussian", the middle counts most.
        mirror: average over all mirror images of the case, which takes 8 times as long (4 times for slices).
    """

    blend: Blend = "constant"
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
    labels = torch.empty((len(subsets), *images.shape[2:]), dtype=torch.uint8)
    for part, probabilities in infer_parts([network], images, present, subsets, settings):
        labels[:, *part] = most_likely(probabilities).cpu()
    return labels


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

    >>> from passion.networks import build
    >>> network = build("rfnet", modalities=2, classes=3, spatial_dims=2, width=4, patch_size=32).eval()
    >>> subsets = torch.tensor([[True, False], [True, True]])
    >>> infer(network, torch.ones(1, 2, 48, 40, 5), torch.tensor([[True, True]]), subsets).shape
    torch.Size([2, 3, 48, 40, 5])
    """
    whole = torch.empty((len(subsets), network.classes, *images.shape[2:]), device=images.device)
    for part, probabilities in infer_parts([network], images, present, subsets, settings):
        whole[:, :, *part] = probabilities
    return whole


@torch.inference_mode()
def infer_parts(
    networks: Sequence[Segmenter],
    images: Tensor,
    present: Tensor,
    subsets: Tensor,
    settings: InferenceSettings = PUBLISHED,
) -> Iterator[tuple[tuple[slice, slice, slice], Tensor]]:
    """What `infer` returns, averaged over networks, part by part: a whole case's probabilities are never in memory.

    Args:
        networks: of the same study, in evaluation mode.
        images: see `infer`.
        present: see `infer`.
        subsets: see `infer`.
        settings: see `infer`.

    Yields:
        Which voxels of the case a part is, one slice an axis, and their probabilities (S, K, *part) float32. The
        parts cover the case without overlap.
    """
    dims = networks[0].spatial_dims
    count = range(dims + 1 if settings.mirror else 1)
    flips = [flip for axes in count for flip in combinations(range(dims), axes)]
    walks = [
        Walk(_answering(network, present, subsets), network.patch_size, flip) for network in networks for flip in flips
    ]
    *_, width, depth = images.shape[2:]
    if dims == 3:
        for rows, answers in slide(images, walks, settings.blend):
            yield (rows, slice(0, width), slice(0, depth)), _by_subset(answers, subsets)[0]
        return
    for first in range(0, depth, SLICES_AT_ONCE):
        slices = slice(first, min(first + SLICES_AT_ONCE, depth))
        for rows, answers in slide(images[0, ..., slices].movedim(-1, 0), walks, settings.blend):
            yield (rows, slice(0, width), slices), _by_subset(answers, subsets).movedim(0, -1)


def _by_subset(answers: Tensor, subsets: Tensor) -> Tensor:
    """(N, S K, *space) -> (N, S, K, *space)."""
    return answers.view(len(answers), len(subsets), -1, *answers.shape[2:])


def _answering(network: Segmenter, present: Tensor, subsets: Tensor) -> Callable[[Tensor], Tensor]:
    """From windows (N, M, *size) of the same modalities to class probabilities (N, S K, *size)."""
    count = len(subsets)

    def answer(windows: Tensor) -> Tensor:
        rows_at_once = max(1, VOXELS_AT_ONCE[windows.device.type == "cpu"] // math.prod(network.patch_size))
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

    return answer


def most_likely(probabilities: Tensor) -> Tensor:
    """Class of the highest probability, the first of equals: (S, K, *space) -> (S, *space) uint8.

    A comparison a class, since `argmax` over an axis that is not the last takes many times as long on a CPU.

    >>> most_likely(torch.tensor([[0.2, 0.4, 0.4]]))
    tensor([1], dtype=torch.uint8)
    """
    best = probabilities[:, 0].clone()
    labels = torch.zeros_like(best, dtype=torch.uint8)
    for index in range(1, probabilities.shape[1]):
        candidate = probabilities[:, index]
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
        raise InputError(f"--device {name}: is not available here; use auto or cpu") from error
    return device
