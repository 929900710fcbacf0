"""Small studies of random voxels, written in every layout on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from passion.data.conversion import convert
from passion.data.sources import SOURCES
from passion.data.sources.brats import BRATS2020
from passion.data.sources.brats2023 import BRATS2023
from passion.data.sources.myops import MYOPS2020
from passion.data.study import Case, Region, Study

SHAPE = (6, 7, 8)
AFFINE = np.array([[-1.0, 0, 0, 3], [0, 1.5, 0, -4], [0, 0, 2, 5], [0, 0, 0, 1]])


@dataclass(frozen=True)
class WrittenCase:
    """What a case is meant to hold: voxels by modality, label codes or None."""

    images: Mapping[str, np.ndarray]
    labels: np.ndarray | None


Cases = Mapping[str, WrittenCase]


def draw_cases(study: Study, random: np.random.Generator, complete: bool = False) -> dict[str, WrittenCase]:
    """Six cases, the first complete; some lack labels, and others modalities unless all are to be complete."""
    cases = {}
    for number in range(6):
        present = (random.random(len(study.modalities)) < 0.5) | (number == 0) | complete
        present[random.integers(len(present))] = True
        images = {
            modality: random.normal(size=SHAPE).astype(np.float32)
            for modality, there in zip(study.modalities, present, strict=True)
            if there
        }
        labels = random.choice(study.codes, size=SHAPE).astype(np.int16) if number % 3 != 2 else None
        cases[f"case_{random.integers(1000)}{number}"] = WrittenCase(images, labels)
    return cases


def save(path: Path, voxels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, AFFINE), path)


def save_cases(root: Path, cases: Cases) -> list[Case]:
    """Files that are called like nothing in particular."""
    found = []
    for name, case in cases.items():
        images = {modality: root / f"{name} {modality}.nii.gz" for modality in case.images}
        for modality, path in images.items():
            save(path, case.images[modality])
        target = None if case.labels is None else root / f"{name} labels.nii.gz"
        if target is not None:
            save(target, case.labels)
        found.append(Case(name, images, target))
    return found


def write(layout: str, root: Path, study: Study, cases: Cases) -> Path:
    """Write a study in a layout; what it was made of is beside it."""
    convert(study, save_cases(root.with_name(f"{root.name} files"), cases), SOURCES[layout], root)
    return root


ORGANS = Study(
    name="Organs",
    modalities=("CT", "T1-w", "pet"),
    classes={"background": 0, "liver": 1, "lesion": 3},
    regions={"liver": Region(("liver",)), "lesion": Region(("lesion",))},
)
"""One region a class."""

TUMOURS = Study(
    name="Tumours",
    modalities=("T2w", "FLAIR"),
    classes={"background": 0, "label 1": 1, "label 2": 2, "enhancing": 3},
    regions={
        "whole": Region(("label 1", "label 2", "enhancing")),
        "core": Region(("label 2", "enhancing")),
        "enhancing": Region(("enhancing",)),
    },
)
"""Regions that overlap, and classes that have no name of their own."""

STROKES = Study(
    name="Strokes",
    modalities=("dwi", "adc"),
    classes={"rest": 0, "core": 7, "penumbra": 2},
    regions={"all": Region(("core", "penumbra")), "core": Region(("core",))},
    spacing_mm=(1.0, 1.5, None),
)
"""Codes in another order, and a spacing."""

STUDIES = {
    "brats": BRATS2020,
    "brats2023": BRATS2023,
    "myops": MYOPS2020,
    "nnunet": TUMOURS,
    "decathlon": ORGANS,
    "manifest": STROKES,
}
"""One for each layout."""

COMPLETE = {"decathlon"}
"""Layouts in which no case can lack a modality."""
