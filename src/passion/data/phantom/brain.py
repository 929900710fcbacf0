"""Brain-tumour studies with known truth, in BraTS2020's layout and with its volumes and contrasts.

A case is drawn in stages: a brain of new shape from the MNI152 template, a tumour that pushes it aside,
oedema along the white matter, then four images. Everything follows from the seed and the case's index.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passion.data.phantom.anatomy import STRIP_MM, Grid, draw_coordinates, draw_rotation, grid_of, load_atlas
from passion.data.phantom.contrast import draw_image, draw_scene
from passion.data.phantom.tumour import draw_growth, draw_origin, draw_plan, grow, push_aside
from passion.data.phantom.writing import PhantomFiles, Progress, check_request, write_cases
from passion.data.sources.brats import BRATS2020, SUFFIXES

GENERATOR = "brain 1"
"""Changes whenever the same seed would give other cases."""

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
    progress: Progress | None = None,
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
    grid = grid_of(size)
    settings = {"generator": GENERATOR, "size": str(size), "seed": seed}
    check_request(out, cases, seed, settings)
    load_atlas(grid.voxel_mm)

    def files(index: int) -> PhantomFiles:
        def generate() -> tuple[Mapping[str, NDArray[np.int16]], NDArray[np.float64]]:
            case = generate_case(seed, index, grid)
            return {**case.images, "seg": case.labels}, case.affine

        name = f"BraTS20_Training_{index + 1:03d}"
        suffixes = {**SUFFIXES, "seg": "seg"}
        return PhantomFiles(
            {part: Path(name) / f"{name}_{suffix}.nii.gz" for part, suffix in suffixes.items()}, generate
        )

    write_cases(out, progress(range(cases)) if progress else range(cases), files, settings, NOTICE)
