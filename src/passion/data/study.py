"""What a study is: its modalities, classes and regions; and what a case is: files on disk."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passion import run_files
from passion.errors import InputError
from passion.files import write_json
from passion.reading import read_json
from passion.typed import build

RUN_FORMAT = 2
"""Of run folders; raised when an older version could no longer read them."""

TAKEN = {
    "case", "label", "target", "reference", "run", "out", "checkpoint", "device", "images", "help", "cases", "layout",
    "skip-broken", "skip_broken", "blend", "mirror", "resample", "probabilities",
}  # fmt: skip
"""Modalities cannot be called like this: they are columns, files and options of their own."""

MOST_CLASSES = 256
"""As many as fit into the voxels of a prepared label volume."""

LARGEST_CODE = 2**15 - 1
"""Of a class: masks are written as int16."""

SIDES = ({"L", "R"}, {"P", "A"}, {"I", "S"})
"""Of which each voxel axis runs to one."""


@dataclass(frozen=True)
class Region:
    """A union of classes that is scored as one mask.

    Args:
        classes: names of the classes it unites.
        minimum_mm3: a predicted mask of a smaller volume is scored as empty (0: never).
        averaged: whether it counts in the average over regions.

    >>> from passion.data.sources.brats import BRATS2020
    >>> BRATS2020.regions["TC"]
    Region(classes=('NCR/NET', 'ET'), minimum_mm3=0.0, averaged=True)
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

    >>> classes, regions = {"background": 0, "core": 1, "penumbra": 2}, {"lesion": Region(("core", "penumbra"))}
    >>> study = Study("strokes", ("dwi", "flair"), classes, regions)
    >>> study.region_classes("lesion"), study.averaged_regions, study.spatial_dims
    ([1, 2], ['lesion'], 3)
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
        check_study(study)
        return study


def check_study(study: Study) -> None:
    """Refuse a study that makes no sense.

    Raises:
        InputError: naming the first modality, class, region or other value that does not; no file is named.
    """
    _check_modalities(study.modalities)
    _check_classes(study.classes)
    _check_regions(study.regions, list(study.classes)[1:])
    if study.spatial_dims not in (2, 3):
        raise InputError(f"spatial_dims is {study.spatial_dims}, expected 2 for slices or 3 for volumes")
    if len(study.spacing_mm) != 3 or not all(step is None or 0 < step < float("inf") for step in study.spacing_mm):
        raise InputError(
            f"spacing_mm is {list(study.spacing_mm)}, expected three numbers of mm, or null to keep a case's own"
        )
    if not set(study.resample) <= set(study.modalities):
        raise InputError(f"resample is {list(study.resample)}, expected some of {', '.join(study.modalities)}")
    if study.orientation is not None and not is_orientation(study.orientation):
        raise InputError(
            f"orientation is {study.orientation!r:.80}, expected three sides, one each of L or R, P or A, I or S"
        )


def is_orientation(text: str) -> bool:
    """Whether voxel axes can run to these sides.

    >>> is_orientation("LPS"), is_orientation("LRS")
    (True, False)
    """
    return len(text) == 3 and all(sum(side in text for side in pair) == 1 for pair in SIDES)


def _check_modalities(modalities: Sequence[str]) -> None:
    if not modalities:
        raise InputError("there is no modality; name at least one")
    for name in modalities:
        if not re.fullmatch(r"\w[\w-]*", name, re.ASCII) or name.lower() in TAKEN:
            raise InputError(
                f"modality {name!r} cannot be called so; use letters, digits, _ and -, and no name of "
                f"{', '.join(sorted(TAKEN))}"
            )
    # They name files and options, in which case and - do not tell two of them apart everywhere.
    same = Counter(name.lower().replace("-", "_") for name in modalities)
    twice = [name for name in modalities if same[name.lower().replace("-", "_")] > 1]
    if twice:
        raise InputError(f"modality {twice[0]!r} is there twice; rename one")


def _check_classes(classes: Mapping[str, int]) -> None:
    codes = list(classes.values())
    for name, code in classes.items():
        if not 0 <= code <= LARGEST_CODE:
            raise InputError(f"class {name!r} has code {code}, expected a whole number from 0 to {LARGEST_CODE}")
        if codes.count(code) > 1:
            raise InputError(f"class {name!r} has code {code}, and another class too; give each its own")
    if codes[:1] != [0] or not 2 <= len(codes) <= MOST_CLASSES:
        raise InputError(f"has classes {', '.join(classes)}; expected a background of code 0 and 1 to 255 others")


def _check_regions(regions: Mapping[str, Region], foreground: Sequence[str]) -> None:
    if not regions:
        raise InputError(f"there is no region; make one of the classes {', '.join(foreground)}")
    for name, region in regions.items():
        if not region.classes or not set(region.classes) <= set(foreground):
            raise InputError(
                f"region {name!r} is made of {list(region.classes)}, expected some of the classes "
                f"{', '.join(foreground)}"
            )
        if not 0 <= region.minimum_mm3 < float("inf"):
            raise InputError(f"region {name!r} has minimum_mm3 {region.minimum_mm3:g}, expected a volume, 0 or more")


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

    >>> list(Case("anna", {"t1c": Path("anna-t1c.nii.gz")}, target=Path("anna-seg.nii.gz")).files)
    ['t1c', 'target']
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
    write_json(run / run_files.STUDY, {"format": RUN_FORMAT, **study.to_dict()})


def read_run_study(run: Path) -> Study:
    """The study that a run folder, or the card of an exported model, says it was trained on.

    Raises:
        InputError: `run` is neither, or a later version wrote it.
    """
    path, remedy = run / run_files.STUDY, "give one that `passion train` or `passion export` has written"
    if (run / run_files.MODEL_CARD).exists():
        path = run / run_files.MODEL_CARD
    elif not path.is_file():
        raise InputError(f"{run}: is not a run folder, {run_files.STUDY} is missing, nor an exported model; {remedy}")
    content = read_json(path, remedy)
    if path.name == run_files.MODEL_CARD:
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
