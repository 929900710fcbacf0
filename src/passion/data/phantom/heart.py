"""Myocardial pathology with known truth, in MyoPS2020's layout and with its volumes and contrasts.

A case is a stack of a few thick short-axis slices: a bullet of a left ventricle, a crescent of a right one, an infarct
in the territory of a coronary artery. A case whose volumes lie outside those of the real study is drawn again.
Everything follows from the seed and the case's index.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passion.data.phantom.heart_anatomy import Heart, SliceShape, draw_heart, draw_slice
from passion.data.phantom.heart_contrast import draw_images, draw_scans
from passion.data.phantom.heart_tissues import Tissue, draw_chest, heart_tissues, with_chest
from passion.data.phantom.writing import PhantomFiles, Progress, check_request, write_cases
from passion.data.sources.myops import LABEL_SUFFIX, MYOPS2020, SUFFIXES, label_folder

GENERATOR = "heart 2"
"""Changes whenever the same seed would give other cases."""

FIRST_NUMBER = 101
"""Of MyoPS2020's training cases."""

RANGES_ML: Mapping[str, tuple[float, float]] = {
    "myocardium": (52, 142), "LV": (44, 144), "RV": (52, 201), "edema": (3.7, 68), "scar": (3.3, 64),
}  # fmt: skip
"""Smallest and largest volume of each label in MyoPS2020's training cases."""

NOTICE = "The images in this folder are synthetic: no patient was scanned.\n"

CLASS_OF_TISSUE = {
    Tissue.MYOCARDIUM: "myocardium", Tissue.LV: "LV", Tissue.RV: "RV", Tissue.EDEMA: "edema", Tissue.SCAR: "scar",
    Tissue.NO_REFLOW: "scar",
}  # fmt: skip


@dataclass(frozen=True)
class HeartCase:
    """One synthetic case; arrays (X, Y, slices) from the apex to the base, X to the patient's left, Y to the back.

    Args:
        images: by the study's modality names, int16.
        labels: MyoPS2020's codes, int16.
        affine: voxel index to mm, shape (4, 4).
    """

    images: Mapping[str, NDArray[np.int16]]
    labels: NDArray[np.int16]
    affine: NDArray[np.float64]

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Of each class but the background."""
        return volumes_ml(self.labels, self.affine)


def volumes_ml(labels: NDArray[np.int16], affine: NDArray[np.float64]) -> dict[str, float]:
    """Volume in ml of each class but the background."""
    voxel_ml = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
    return {name: float((labels == code).sum()) * voxel_ml for name, code in MYOPS2020.classes.items() if code}


def generate_case(seed: int, index: int) -> HeartCase:
    """Case `index` (from 0) of the study that `seed` names: the same however many cases the study has."""
    rng = np.random.default_rng([seed, index])
    while True:
        heart = draw_heart(rng)
        slices = [draw_slice(heart, level, rng) for level in heart.levels]
        tissues = [heart_tissues(heart, shape, rng) for shape in slices]
        labels = np.stack([_labels(t, s) for t, s in zip(tissues, slices, strict=True)], axis=-1)
        affine = np.diag([-heart.pixel_mm, -heart.pixel_mm, heart.thickness_mm, 1.0])
        found = volumes_ml(labels, affine)
        if all(low <= found[name] <= high for name, (low, high) in RANGES_ML.items()):
            return HeartCase(_images(heart, slices, tissues, rng), labels, affine)


def _labels(tissue: NDArray[np.uint8], shape: SliceShape) -> NDArray[np.int16]:
    """Codes (X, Y): papillary muscles and trabeculae belong to the cavity that they stand in."""
    table = np.zeros(len(Tissue), dtype=np.int16)
    for kind, name in CLASS_OF_TISSUE.items():
        table[kind] = MYOPS2020.classes[name]
    labels: NDArray[np.int16] = table[tissue]
    papillary = tissue == Tissue.PAPILLARY
    cavity = np.where(shape.depth < 0, MYOPS2020.classes["LV"], MYOPS2020.classes["RV"])
    labels[papillary] = cavity[papillary]
    return labels


def _images(
    heart: Heart, slices: list[SliceShape], tissues: list[NDArray[np.uint8]], rng: np.random.Generator
) -> dict[str, NDArray[np.int16]]:
    """Put a chest around the heart and scan both; (X, Y, slices) by modality."""
    chest, scans = draw_chest(heart, rng), draw_scans(rng)
    planes = []
    for tissue, shape in zip(tissues, slices, strict=True):
        planes.append(draw_images(heart, with_chest(heart, chest, shape, tissue), shape.depth, scans, rng))
    stacks = [np.stack(stack, axis=-1) for stack in zip(*planes, strict=True)]
    return dict(zip(MYOPS2020.modalities, stacks, strict=True))


def write_study(out: Path, cases: int, seed: int, progress: Progress | None = None) -> None:
    """Write cases 101, 102, ... under `out`, in MyoPS2020's layout; whole cases that are there are kept.

    The same arguments give the same bytes. A study can be continued, also with more cases.

    Args:
        out: folder of the study; made if it is not there.
        cases: how many.
        seed: names the study; not negative.
        progress: wraps the iteration over the cases' indices, to show how far it is.

    Raises:
        InputError: a number that makes no sense, or `out` holds something else.
    """
    settings = {"generator": GENERATOR, "seed": seed}
    check_request(out, cases, seed, settings)
    folder = Path("train25")

    def files(index: int) -> PhantomFiles:
        def generate() -> tuple[Mapping[str, NDArray[np.int16]], NDArray[np.float64]]:
            case = generate_case(seed, index)
            return {**case.images, "seg": case.labels}, case.affine

        name = f"myops_training_{FIRST_NUMBER + index}"
        paths = {part: folder / f"{name}_{suffix}.nii.gz" for part, suffix in SUFFIXES.items()}
        return PhantomFiles({**paths, "seg": label_folder(folder) / f"{name}_{LABEL_SUFFIX}.nii.gz"}, generate)

    write_cases(out, progress(range(cases)) if progress else range(cases), files, settings, NOTICE)
