"""What a NIfTI header says about where voxels are, and what of it is doubtful.

The place is nibabel's reading of the NIfTI standard: the sform where its code is above 0, else the qform where its code
is, else the voxel sizes alone, with the middle of the volume at 0 and the first axis running to the left.
"""

from typing import Any

import numpy as np
from nibabel.nifti1 import unit_codes
from nibabel.spatialimages import HeaderDataError

from passion.data.resampling import Grid

MILLIMETRES = ("mm", "unknown")
"""Units of length under which voxel sizes are read as mm without a word."""


def doubts(header: Any) -> tuple[str, ...]:
    """What is doubtful about the place that a NIfTI header, nibabel's, gives, to be read after the names of files."""
    found = []
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if not sform and not qform:
        found.append("neither sform nor qform is set; voxel sizes alone say where it is, left and right are a guess")
    elif sform and qform:
        found += _disagreement(header)
    code = int(header["xyzt_units"]) % 8
    unit = unit_codes.label.get(code, f"unknown units of code {code}")
    if unit not in MILLIMETRES:
        found.append(f"its lengths are said to be in {unit}; they are read as mm")
    return tuple(found)


def _disagreement(header: Any) -> list[str]:
    shape = header.get_data_shape()[:3]
    try:
        differences = Grid(shape, header.get_qform()).differences(Grid(shape, header.get_best_affine()))
    except (ValueError, HeaderDataError):
        return ["the qform makes no sense; the sform is used"]
    return [f"sform and qform differ, {', '.join(differences)}; the sform is used"] if differences else []


def is_usable(affine: Any) -> bool:
    """Whether an affine puts voxels at different places: finite, and its axes span space."""
    if not np.isfinite(affine).all():
        return False
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(0 < lengths.min() <= lengths.max() < np.inf and abs(np.linalg.det(affine[:3, :3] / lengths)) > 1e-3)
