"""What a study is: its modalities, classes and regions; and what a case is: files on disk."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passion.errors import InputError
from passion.files import write_json
from passion.reading import read_json
from passion.typed import build

CONFIGURATION = "config.yaml"
"""Of a training run: written when everything else that it is made of is there; where it is, the run is begun."""

RUN_STUDY = "study.json"
"""Where a run folder says what it was trained on."""

RUN_FORMAT = 2
"""Of run folders; raised when an older version could no longer read them."""

MODEL_CARD = "card.json"
"""What says in the folder of an exported model what it is."""


@dataclass(frozen=True)
class Region:
    """A union of classes that is scored as one mask.

    Args:
        classes: names of the classes it unites.
        minimum_mm3: a predicted mask of a smaller volume is scored as empty (0: never).
        averaged: whether it counts in the average over regions.
    """

    classes: tuple[str, ...]
    minimum_mm3: float = 0.0
    averaged: bool = True


@dataclass(frozen=True)
class Study:
    """What all cases of a study share.

    Args:
        name: for people.
        modalities: names, in the order of the modality axis everywhere.
        classes: name of each class and its code in the label files, in the order of the class axis; class 0 is the
            background.
        regions: what is scored, by name.
        spatial_dims: 3 for volumes, 2 for slices, which are taken along the last axis.
        spacing_mm: voxel size that cases are brought to along X, Y and Z; None keeps a case's own.
        resample: modalities whose grid a case's files are brought to, in order of preference; none: the files of a
            case must share a grid.
        orientation: sides that the voxel axes of every case are turned to run to, such as LPS; None keeps a case's own.
        phantom: whether the cases are phantoms, and so nobody's.
    """

    name: str
    modalities: tuple[str, ...]
    classes: Mapping[str, int]
    regions: Mapping[str, Region]
    spatial_dims: int = 3
    spacing_mm: tuple[float | None, ...] = (None, None, None)
    resample: tuple[str, ...] = ()
    orientation: str | None = None
    phantom: bool = False

    @property
    def codes(self) -> NDArray[np.int64]:
        """Raw label code of each class, shape (K,)."""
        return np.array(list(self.classes.values()), dtype=np.int64)

    @property
    def averaged_regions(self) -> list[str]:
        """Names of the regions that an average over regions is taken of, as in the paper's tables."""
        return [name for name, region in self.regions.items() if region.averaged]

    def region_classes(self, region: str) -> list[int]:
        """Indices of the classes that `region` unites."""
        names = list(self.classes)
        return [names.index(name) for name in self.regions[region].classes]

    def reference(self, modalities: Collection[str]) -> str:
        """Whose grid a case with `modalities`, at least one, is brought to: the most preferred, or else the first.

        >>> from passion.data.sources.brats import BRATS2020
        >>> BRATS2020.reference(["t2", "t1c"])
        't1c'
        """
        return next(name for name in (*self.resample, *self.modalities) if name in modalities)

    @property
    def geometry(self) -> str:
        """What cases are brought to, for messages, as the options that say it."""
        spacing = ",".join("none" if step is None else f"{step:g}" for step in self.spacing_mm)
        asked = [f"--resample {','.join(self.resample)}"] * bool(self.resample)
        asked += [f"--orientation {self.orientation}"] * bool(self.orientation)
        return " ".join([*asked, f"--spacing {spacing}"])

    def to_dict(self) -> dict[str, Any]:
        """A form that JSON can hold; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Study":
        """The study that `to_dict` wrote.

        Raises:
            InputError: something in it does not fit; no file is named.

        >>> from passion.data.sources.brats import BRATS2020
        >>> Study.from_dict(BRATS2020.to_dict()) == BRATS2020
        True
        """
        study = build(cls, value)
        _check(study)
        return study


def _check(study: Study) -> None:
    background, *codes = study.classes.values() if study.classes else [-1]
    foreground = list(study.classes)[1:]
    if not study.modalities or len(set(study.modalities)) < len(study.modalities):
        raise InputError(f"modalities is {list(study.modalities)}, expected names that differ")
    if background != 0 or not 0 < len(set(codes)) == len(codes) < 256 or not 0 < min(codes) <= max(codes) < 2**31:
        raise InputError(f"classes is {study.classes}, expected a background of code 0 first, and codes that differ")
    for name, region in study.regions.items():
        if not region.classes or not set(region.classes) <= set(foreground):
            raise InputError(f"regions.{name} is made of {list(region.classes)}, expected some of {foreground}")
    if not set(study.resample) <= set(study.modalities):
        raise InputError(f"resample is {list(study.resample)}, expected some of {list(study.modalities)}")
    if study.spatial_dims not in (2, 3) or len(study.spacing_mm) != 3:
        raise InputError("spatial_dims has to be 2 or 3, and spacing_mm three numbers or null")


@dataclass(frozen=True)
class Channel:
    """One volume of a 4D file.

    Args:
        path: of the file, of shape (X, Y, Z, `count`).
        index: of the volume along the last axis, from 0.
        count: of volumes that the file is meant to hold.
    """

    path: Path
    index: int
    count: int


def file_of(image: Path | Channel) -> Path:
    """The file that an image is in."""
    return image.path if isinstance(image, Channel) else image


@dataclass(frozen=True)
class Case:
    """One subject on disk.

    Args:
        name: of the case.
        images: where each modality is, a 3D file or a volume of a 4D one; only the modalities that are there.
        target: label file; None where the labels are unknown.
        problems: why it cannot be used, as far as the names of its files tell.
    """

    name: str
    images: Mapping[str, Path | Channel] = field(default_factory=dict)
    target: Path | None = None
    problems: tuple[str, ...] = ()

    @property
    def files(self) -> dict[str, Path]:
        """The file that each modality is in, and the label file as "target"."""
        files = {name: file_of(image) for name, image in self.images.items()}
        return files if self.target is None else {**files, "target": self.target}


def write_run_study(run: Path, study: Study) -> None:
    """Write what `read_run_study` reads."""
    write_json(run / RUN_STUDY, {"format": RUN_FORMAT, **study.to_dict()})


def read_run_study(run: Path) -> Study:
    """The study that a run folder, or the card of an exported model, says it was trained on.

    Raises:
        InputError: `run` is neither, or a later version wrote it.
    """
    path, remedy = run / RUN_STUDY, "give one that `passion train` or `passion export` has written"
    if (run / MODEL_CARD).exists():
        path = run / MODEL_CARD
    elif not path.is_file():
        raise InputError(f"{run}: is not a run folder, {RUN_STUDY} is missing, nor an exported model; {remedy}")
    content = read_json(path, remedy)
    if path.name == MODEL_CARD:
        content = content.get("study") if isinstance(content, dict) else None
    # Runs of the first format do not say so.
    found = content.pop("format", 1) if isinstance(content, dict) else 1
    if found not in range(1, RUN_FORMAT + 1):
        raise InputError(
            f"{run}: has format {found!r:.20}, and this version reads up to {RUN_FORMAT}; use the version that wrote it"
        )
    try:
        return Study.from_dict(content)
    except InputError as error:
        raise InputError(f"{path}: does not describe a study ({error}); {remedy}") from error
