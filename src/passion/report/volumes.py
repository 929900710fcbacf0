"""Volumes that an evaluation kept of a few cases."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passion.report.results import Run, read_arrays

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Volume:
    """The box of one case; the first axis runs to the left, the second to the back, the third up, or nearly so.

    Args:
        images: grey levels (X, Y, Z) by modality, 0 outside.
        reference: class indices (X, Y, Z).
        predictions: class indices (X, Y, Z) by subset.
        spacing_mm: along each axis.
    """

    images: Mapping[str, Labels]
    reference: Labels
    predictions: Mapping[str, Labels]
    spacing_mm: tuple[float, ...]


def read_volumes(run: Run) -> dict[str, Volume]:
    """By case; none where the evaluation kept none.

    Raises:
        InputError: the file is damaged.
    """
    path = run.evaluation / "volumes.npz"
    if not path.exists():
        return {}
    return {
        case: Volume(
            images=kinds.get("image", {}),
            reference=kinds["reference"][""],
            predictions=kinds.get("prediction", {}),
            spacing_mm=tuple(float(step) for step in kinds["spacing_mm"][""]),
        )
        for case, kinds in read_arrays(path, "spacing_mm").items()
    }
