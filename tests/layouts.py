"""Small studies of random voxels, written in every layout on disk, each by the words of its own documentation."""

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import yaml

from passion.data.sources.brats import BRATS2020
from passion.data.sources.brats2023 import BRATS2023
from passion.data.sources.myops import MYOPS2020
from passion.data.study import Region, Study

SHAPE = (6, 7, 8)
AFFINE = np.array([[-1.0, 0, 0, 3], [0, 1.5, 0, -4], [0, 0, 2, 5], [0, 0, 0, 1]])


@dataclass(frozen=True)
class WrittenCase:
    """What a case is meant to hold: voxels by modality, label codes or None."""

    images: Mapping[str, np.ndarray]
    labels: np.ndarray | None


Cases = Mapping[str, WrittenCase]


@dataclass(frozen=True)
class Layout:
    """A study, how it is written, and what the layout can leave out."""

    study: Study
    write: Callable[[Path, Study, Cases], Path]
    may_lack_modalities: bool = True


def draw_cases(layout: Layout, random: np.random.Generator) -> dict[str, WrittenCase]:
    """Six cases, the first complete; others lack modalities and labels where the layout allows it."""
    study = layout.study
    cases = {}
    for number in range(6):
        present = (random.random(len(study.modalities)) < 0.5) | (number == 0) | (not layout.may_lack_modalities)
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


def write_brats(root: Path, study: Study, cases: Cases) -> Path:
    suffixes = {"t1": "t1", "t1c": "t1ce", "flair": "flair", "t2": "t2"}
    for number, (name, case) in enumerate(cases.items()):
        folder = root / ("", "HGG", "LGG")[number % 3] / name
        ending = (".nii.gz", ".nii")[number % 2]
        for modality, voxels in case.images.items():
            save(folder / f"{name}_{suffixes[modality]}{ending}", voxels)
        if case.labels is not None:
            save(folder / ("W39_1998.09.19_Segm.nii" if number == 1 else f"{name}_seg{ending}"), case.labels)
    return root


def write_brats2023(root: Path, study: Study, cases: Cases) -> Path:
    suffixes = {"t1": "t1n", "t1c": "t1c", "flair": "t2f", "t2": "t2w"}
    for name, case in cases.items():
        for modality, voxels in case.images.items():
            save(root / name / f"{name}-{suffixes[modality]}.nii.gz", voxels)
        if case.labels is not None:
            save(root / name / f"{name}-seg.nii.gz", case.labels)
    return root


def write_myops(root: Path, study: Study, cases: Cases) -> Path:
    suffixes = {"bssfp": "C0", "lge": "DE", "t2": "T2"}
    for name, case in cases.items():
        folder = "test20" if case.labels is None else "train25"
        for modality, voxels in case.images.items():
            save(root / folder / f"{name}_{suffixes[modality]}.nii.gz", voxels)
        if case.labels is not None:
            save(root / "train25_myops_gd" / f"{name}_gd.nii.gz", case.labels)
    return root


def write_nnunet(root: Path, study: Study, cases: Cases) -> Path:
    codes = {name: [study.classes[part] for part in region.classes] for name, region in study.regions.items()}
    labels = {name: values[0] if len(values) == 1 else values for name, values in codes.items()}
    content = {
        "name": study.name,
        "channel_names": {str(number): name for number, name in enumerate(study.modalities)},
        "labels": {"background": 0, **labels},
        "regions_class_order": [values[0] for values in codes.values()],
        "numTraining": sum(case.labels is not None for case in cases.values()),
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(content))
    for name, case in cases.items():
        folder = "imagesTs" if case.labels is None else "imagesTr"
        for number, modality in enumerate(study.modalities):
            if modality in case.images:
                save(root / folder / f"{name}_{number:04}.nii.gz", case.images[modality])
        if case.labels is not None:
            save(root / "labelsTr" / f"{name}.nii.gz", case.labels)
    return root


def write_decathlon(root: Path, study: Study, cases: Cases) -> Path:
    labelled = [name for name, case in cases.items() if case.labels is not None]
    content = {
        "name": study.name,
        "tensorImageSize": "4D",
        "modality": {str(number): name for number, name in enumerate(study.modalities)},
        "labels": {str(code): name for name, code in study.classes.items()},
        "training": [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in labelled],
        "test": [f"./imagesTs/{name}.nii.gz" for name in cases if name not in labelled],
    }
    (root / "dataset.json").write_text(json.dumps(content))
    for name, case in cases.items():
        voxels = np.stack([case.images[modality] for modality in study.modalities], axis=-1)
        save(root / ("imagesTr" if name in labelled else "imagesTs") / f"{name}.nii.gz", voxels)
        if case.labels is not None:
            save(root / "labelsTr" / f"{name}.nii.gz", case.labels)
    return root


def write_manifest(root: Path, study: Study, cases: Cases) -> Path:
    content = {
        "name": study.name,
        "modalities": list(study.modalities),
        "classes": dict(study.classes),
        "regions": {name: list(region.classes) for name, region in study.regions.items()},
    }
    if any(study.spacing_mm):
        content["spacing_mm"] = list(study.spacing_mm)
    (root / "study.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    rows = []
    for name, case in cases.items():
        volumes = {**case.images, **({} if case.labels is None else {"label": case.labels})}
        for column, voxels in volumes.items():
            save(root / "files" / column / f"{name}.nii.gz", voxels)
        rows.append({"case": name, **{column: f"files/{column}/{name}.nii.gz" for column in volumes}})
    with (root / "study.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["case", *study.modalities, "label"])
        table.writeheader()
        table.writerows(rows)
    return root / "study.csv"


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

LAYOUTS = {
    "brats": Layout(BRATS2020, write_brats),
    "brats2023": Layout(BRATS2023, write_brats2023),
    "myops": Layout(MYOPS2020, write_myops),
    "nnunet": Layout(TUMOURS, write_nnunet),
    "decathlon": Layout(ORGANS, write_decathlon, may_lack_modalities=False),
    "manifest": Layout(STROKES, write_manifest),
}
