"""What a NIfTI header says about where voxels are, and what of it is doubtful.

The place is nibabel's reading of the NIfTI standard: the sform where its code is above 0, else the qform where its code
is, else the voxel sizes alone, with the middle of the volume at 0 and the first axis running to the left.
"""

from typing import Any

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError

from passion.data.resampling import Grid

MILLIMETRES = ("mm", "unknown")
"""Units of length under which voxel sizes are read as mm without a word."""


def doubts(image: Any) -> tuple[str, ...]:
    """What is doubtful about the place of a NIfTI image, to be read after the names of its files."""
    if not isinstance(image, nibabel.Nifti1Image):
        return ()
    found = []
    sform, qform = int(image.header["sform_code"]), int(image.header["qform_code"])
    if not sform and not qform:
        found.append("neither sform nor qform is set; voxel sizes alone say where it is, left and right are a guess")
    elif sform and qform:
        found += _disagreement(image)
    unit = image.header.get_xyzt_units()[0]
    if unit not in MILLIMETRES:
        found.append(f"its lengths are said to be in {unit}; they are read as mm")
    return tuple(found)


def _disagreement(image: Any) -> list[str]:
    shape = tuple(image.shape[:3])
    try:
        differences = Grid(shape, image.get_qform()).differences(Grid(shape, image.affine))
    except (ValueError, HeaderDataError):
        return ["the qform makes no sense; the sform is used"]
    return [f"sform and qform differ, {', '.join(differences)}; the sform is used"] if differences else []


def is_usable(affine: Any) -> bool:
    """Whether an affine puts voxels at different places: finite, and its axes span space."""
    if not np.isfinite(affine).all():
        return False
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(lengths.min() > 0 and abs(np.linalg.det(affine[:3, :3] / lengths)) > 1e-3)
