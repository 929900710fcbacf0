"""Brain-tumour studies with known truth, in BraTS2020's layout and with its volumes and contrasts.

A case is drawn in stages: a brain of new shape from the MNI152 template, a tumour that pushes it aside,
oedema along the white matter, then four images. Everything follows from the seed and the case's index.
"""

import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from passion.data.phantom.anatomy import STRIP_MM, Grid, draw_coordinates, draw_rotation, grid_of, load_atlas
from passion.data.phantom.contrast import draw_image, draw_scene
from passion.data.phantom.tumour import draw_growth, draw_origin, draw_plan, grow, push_aside
from passion.data.sources.brats import BRATS2020, SUFFIXES
from passion.errors import InputError
from passion.files import replacing_folder, write_json, write_text

GENERATOR = "brain 1"
"""Changes whenever the same seed would give other cases."""

COMPRESSION_LEVEL = 3

NOTICE = """\
The images in this folder are synthetic: no patient was scanned. Their anatomy is derived from the ICBM 2009a
nonlinear symmetric MNI152 template, whose terms ask for this notice:

Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute,
McGill University. Permission to use, copy, modify, and distribute this software and its documentation for any
purpose and without fee is hereby granted, provided that the above copyright notice appear in all copies. The
authors and McGill University make no representations about the suitability of this software for any purpose.
It is provided "as is" without express or implied warranty. The authors are not responsible for any data loss,
equipment damage, property loss, or injury to subjects or patients resulting from the use or misuse of this
software package.

V. Fonov, A. C. Evans, K. Botteron, C. R. Almli, R. C. McKinstry, D. L. Collins and the Brain Development
Cooperative Group: Unbiased average age-appropriate atlases for pediatric studies. NeuroImage 54(1), 313-327,
2011.
"""


@dataclass(frozen=True)
class BrainCase:
    """One synthetic case; all arrays have the grid's shape and BraTS's voxel order: to the left, back and up.

    Args:
        images: by the study's modality names, int16; 0 outside the brain and nowhere else.
        labels: 0 background, 1 NCR/NET, 2 ED, 4 ET, int16.
        affine: voxel index to mm, shape (4, 4).
        high_grade: glioblastoma rather than low-grade glioma.
    """

    images: Mapping[str, NDArray[np.int16]]
    labels: NDArray[np.int16]
    affine: NDArray[np.float64]
    high_grade: bool


def generate_case(seed: int, index: int, grid: Grid) -> BrainCase:
    """Case `index` (from 0) of the study that `seed` names: the same however many cases the study has.

    Raises:
        InputError: nilearn, which brings the template, is not installed.
    """
    rng = np.random.default_rng([seed, index])
    plan = draw_plan(seed, index)
    atlas = load_atlas(grid.voxel_mm)
    box = grid.brain_box()
    inner = replace(grid, shape=(box[0].stop - box[0].start, box[1].stop - box[1].start, box[2].stop - box[2].start))
    rotation = draw_rotation(rng)
    coordinates = draw_coordinates(atlas, rotation, inner, rng)
    origin = draw_origin(atlas, coordinates, rng)
    growth = draw_growth(plan, origin, inner, rng)
    tissues = push_aside(atlas, coordinates, rotation, growth, plan.radius_mm, rng.uniform(*STRIP_MM), rng)
    tumour = grow(plan, growth, tissues, origin, inner, rng)
    scene = draw_scene(tissues, tumour, plan.high_grade, inner, rng)
    images = {name: draw_image(name, scene, tissues.mask, inner, rng) for name in BRATS2020.modalities}

    def placed(values: NDArray[np.int16]) -> NDArray[np.int16]:
        whole = np.zeros(grid.shape, dtype=np.int16)
        whole[box] = values
        return np.ascontiguousarray(whole[::-1, ::-1, :])

    return BrainCase(
        images={name: placed(image) for name, image in images.items()},
        labels=placed(tumour.labels),
        affine=grid.affine,
        high_grade=plan.high_grade,
    )


def write_study(
    out: Path,
    cases: int,
    size: str | int,
    seed: int,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> None:
    """Write cases 1 to `cases` under `out`, in BraTS2020's layout; whole cases that are there are kept.

    The same arguments give the same bytes. A study can be continued, also with more cases.

    Args:
        out: folder of the study; made if it is not there.
        cases: how many.
        size: "full" or voxels an edge, see `grid_of`.
        seed: names the study; not negative.
        progress: wraps the iteration over the cases' indices, to show how far it is.

    Raises:
        InputError: a number that makes no sense, nilearn is missing, or `out` holds something else.
    """
    if cases < 1:
        raise InputError(f"phantom: {cases} cases; ask for at least 1")
    if seed < 0:
        raise InputError(f"phantom: seed {seed} is negative; take 0 or more")
    grid = grid_of(size)
    settings = {"generator": GENERATOR, "size": str(size), "seed": seed}
    _check_folder(out, settings)
    load_atlas(grid.voxel_mm)
    write_json(out / "phantom.json", settings)
    write_text(out / "NOTICE.txt", NOTICE)
    for index in progress(range(cases)) if progress else range(cases):
        folder = out / f"BraTS20_Training_{index + 1:03d}"
        if not all((folder / name).is_file() for name in _file_names(folder.name).values()):
            with replacing_folder(folder) as beside:
                _write_case(generate_case(seed, index, grid), beside, folder.name)


def _check_folder(out: Path, settings: Mapping[str, object]) -> None:
    """Refuse a folder that holds anything but this study."""
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


def _file_names(case: str) -> dict[str, str]:
    """File of each modality and of the labels ("seg")."""
    return {name: f"{case}_{suffix}.nii.gz" for name, suffix in {**SUFFIXES, "seg": "seg"}.items()}


def _write_case(case: BrainCase, folder: Path, name: str) -> None:
    for part, file in _file_names(name).items():
        values = case.labels if part == "seg" else case.images[part]
        (folder / file).write_bytes(_compressed_nifti(values, case.affine))


def _compressed_nifti(values: NDArray[np.int16], affine: NDArray[np.float64]) -> bytes:
    """A .nii.gz file; neither the time nor a file name goes into it, so equal values give equal bytes."""
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    return gzip.compress(image.to_bytes(), COMPRESSION_LEVEL, mtime=0)
