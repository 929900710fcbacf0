"""Writing a study of phantoms case by case; the same arguments give the same bytes."""

import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from passion.errors import InputError
from passion.files import replacing, write_json, write_text

COMPRESSION_LEVEL = 3

Progress = Callable[[Iterable[int]], Iterable[int]]
"""Wraps the iteration over the cases' indices, to show how far it is."""


@dataclass(frozen=True)
class PhantomFiles:
    """What is written of one case.

    Args:
        paths: of each modality and of the labels ("seg"), relative to the study's folder.
        generate: makes the voxels of each, int16, and the affine (4, 4).
    """

    paths: Mapping[str, Path]
    generate: Callable[[], tuple[Mapping[str, NDArray[np.int16]], NDArray[np.float64]]]


def check_request(out: Path, cases: int, seed: int, settings: Mapping[str, object]) -> None:
    """Refuse numbers that make no sense, and a folder that holds anything but this study.

    Raises:
        InputError: see above.
    """
    if cases < 1:
        raise InputError(f"phantom: {cases} cases; ask for at least 1")
    if seed < 0:
        raise InputError(f"phantom: seed {seed} is negative; take 0 or more")
    if out.exists() and not out.is_dir():
        raise InputError(f"phantom: {out} is a file; name a folder")
    record = out / "phantom.json"
    if record.is_file():
        try:
            found = json.loads(record.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if found != settings:
            raise InputError(
                f"phantom: {out} holds a study with other settings, {found} instead of {dict(settings)};"
                " name another folder"
            )
    elif out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise InputError(f"phantom: {out} holds other files; name a new or empty folder")


def write_cases(
    out: Path, cases: Iterable[int], files: Callable[[int], PhantomFiles], settings: Mapping[str, object], notice: str
) -> None:
    """Write cases by index; whole ones that are there are kept.

    Args:
        out: folder of the study; made if it is not there.
        cases: indices.
        files: of a case.
        settings: kept in `phantom.json`.
        notice: kept in `NOTICE.txt`.
    """
    write_json(out / "phantom.json", settings)
    write_text(out / "NOTICE.txt", notice)
    for index in cases:
        case = files(index)
        if all((out / path).is_file() for path in case.paths.values()):
            continue
        voxels, affine = case.generate()
        for part, path in case.paths.items():
            with replacing(out / path) as beside:
                beside.write_bytes(compressed_nifti(voxels[part], affine))


def compressed_nifti(values: NDArray[np.int16], affine: NDArray[np.float64]) -> bytes:
    """A .nii.gz file; neither the time nor a file name goes into it, so equal values give equal bytes."""
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    return gzip.compress(image.to_bytes(), COMPRESSION_LEVEL, mtime=0)
