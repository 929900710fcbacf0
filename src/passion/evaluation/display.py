"""What an evaluation keeps of a few cases, so that a page can show them without the prepared study."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from passion.data.boxes import Box
from passion.data.resampling import Grid
from passion.data.whole_cases import WholeCase

SLICES = 3
"""Cases whose slice with most foreground is kept."""

VOLUMES = 2
"""Cases that are kept as volumes."""

LEVELS = 63
"""Grey levels of kept volumes, beside 0 for the background: few, because they are small when compressed."""

Arrays = dict[str, NDArray[np.generic]]


def displayed(number: int, whole: WholeCase, predictions: Mapping[str, NDArray[np.uint8]]) -> dict[str, Arrays]:
    """What is kept of the `number`-th case, by file: examples, volumes."""
    kept = {}
    if number < SLICES:
        kept["examples"] = display_slices(whole, predictions)
    if number < VOLUMES:
        kept["volumes"] = display_volumes(whole, predictions)
    return kept


def display_slices(whole: WholeCase, predictions: Mapping[str, NDArray[np.uint8]]) -> Arrays:
    """The slice of the case's box with most foreground: images, reference and predictions, turned upright.

    Slices are of the last axis, as training in 2D takes them. Rows run to the back and columns to the left; where
    that axis is not the one up, rows run down, and columns to the left or else to the back.
    """
    case, box = whole.case, whole.box
    reference = case.read_target(box)
    most = int((reference > 0).sum(axis=(0, 1)).argmax())
    here = (..., slice(most, most + 1))
    window = Box((*box.start[:2], box.start[2] + most), (*box.stop[:2], box.start[2] + most + 1))
    first, second, _ = _order(case.grid)

    def turned(values: NDArray[np.generic]) -> NDArray[np.generic]:
        flat = running_to("LPI", values, case.grid)[..., 0]
        return np.ascontiguousarray(flat.T if first < second else flat)

    name = case.name
    entries: Arrays = {f"{name}/reference": turned(reference[here])}
    for modality in case.boxes:
        entries[f"{name}/image/{modality}"] = turned(case.read_image(modality, window))
    for subset, labels in predictions.items():
        entries[f"{name}/prediction/{subset}"] = turned(labels[here])
    pixel_mm = case.grid.spacing_mm[:2]
    entries[f"{name}/pixel_mm"] = np.array(pixel_mm[::-1] if first < second else pixel_mm)
    return entries


def display_volumes(whole: WholeCase, predictions: Mapping[str, NDArray[np.uint8]]) -> Arrays:
    """The case's box as uint8 volumes: images in LEVELS grey levels, reference and predictions as class indices.

    Axes are permuted and flipped to run to the left, to the back and up.
    """
    case, box = whole.case, whole.box
    order = np.argsort(_order(case.grid), kind="stable")

    def turned(values: NDArray[np.uint8]) -> NDArray[np.generic]:
        return np.ascontiguousarray(running_to("LPS", values, case.grid).transpose(order))

    name = case.name
    entries: Arrays = {f"{name}/reference": turned(case.read_target(box))}
    for modality in case.boxes:
        entries[f"{name}/image/{modality}"] = turned(grey_levels(case.read_image(modality, box)))
    for subset, labels in predictions.items():
        entries[f"{name}/prediction/{subset}"] = turned(labels)
    entries[f"{name}/spacing_mm"] = np.array(case.grid.spacing_mm)[order]
    return entries


def running_to(sides: str, values: NDArray[np.generic], grid: Grid) -> NDArray[np.generic]:
    """Voxels (X, Y, Z) of `grid`, axes in their order, flipped where they run away from one of `sides`.

    >>> running_to("LPS", np.arange(3).reshape(3, 1, 1), Grid((3, 1, 1), np.eye(4))).ravel().tolist()
    [2, 1, 0]
    """
    away = [axis for axis, side in enumerate(grid.orientation) if side not in (*sides, "?")]
    return np.flip(values, tuple(away))


def _order(grid: Grid) -> list[int]:
    """For each axis, whether it runs from side to side (0), between front and back (1), or up and down (2)."""
    return ["RLAPSI?".index(side) // 2 for side in grid.orientation]


def grey_levels(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """0 for the background, which is 0, and 1 to LEVELS from the 1st to the 99.5th percentile of what is not.

    >>> grey_levels(np.array([0, -1, 1], dtype=np.float32)).tolist()
    [0, 1, 63]
    """
    inside = image != 0
    if not inside.any():
        return np.zeros(image.shape, dtype=np.uint8)
    low, high = np.percentile(image[inside], (1, 99.5))
    share = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1)
    return np.where(inside, 1 + np.rint(share * (LEVELS - 1)), 0).astype(np.uint8)
