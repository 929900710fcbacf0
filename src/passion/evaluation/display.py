"""What an evaluation keeps of a few cases, so that a page can show them without the prepared study."""

from collections.abc import Mapping

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from passion.data.store import Box
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
    """The slice of the case's box with most foreground: images, reference and predictions, turned upright."""
    case, box = whole.case, whole.box
    reference = case.read_target(box)
    most = int((reference > 0).sum(axis=(0, 1)).argmax())
    here = (..., slice(most, most + 1))
    window = Box((*box.start[:2], box.start[2] + most), (*box.stop[:2], box.start[2] + most + 1))

    def turned(values: NDArray[np.generic]) -> NDArray[np.generic]:
        # Voxels run to the left and to the back (LPS): transposed, rows run from front to back.
        return np.ascontiguousarray(values[..., 0].T)

    name = case.name
    entries = {f"{name}/reference": turned(reference[here])}
    for modality in case.boxes:
        entries[f"{name}/image/{modality}"] = turned(case.read_image(modality, window))
    for subset, labels in predictions.items():
        entries[f"{name}/prediction/{subset}"] = turned(labels[here])
    spacing_mm = case.grid.spacing_mm
    entries[f"{name}/pixel_mm"] = np.array([spacing_mm[1], spacing_mm[0]])
    return entries


def display_volumes(whole: WholeCase, predictions: Mapping[str, NDArray[np.uint8]]) -> Arrays:
    """The case's box as uint8 volumes: images in LEVELS grey levels, reference and predictions as class indices.

    Axes keep their order and are flipped to run to the left, to the back and up.
    """
    case, box = whole.case, whole.box
    sides = io_orientation(case.grid.affine)
    # io_orientation speaks of right, front and up; of the first two the page wants the opposites.
    wrong = tuple(axis for axis, (side, sign) in enumerate(sides) if sign == (1 if side < 2 else -1))

    def turned(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(np.flip(values, wrong))

    name = case.name
    entries: Arrays = {f"{name}/reference": turned(case.read_target(box))}
    for modality in case.boxes:
        entries[f"{name}/image/{modality}"] = turned(grey_levels(case.read_image(modality, box)))
    for subset, labels in predictions.items():
        entries[f"{name}/prediction/{subset}"] = turned(labels)
    entries[f"{name}/spacing_mm"] = np.array(case.grid.spacing_mm)
    return entries


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
