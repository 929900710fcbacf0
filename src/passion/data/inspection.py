"""A look at a raw study: what is there, what is missing, what is wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from passion.data.prepare import image_on, share_lost
from passion.data.store import TARGET
from passion.data.study import Case, Study
from passion.data.volumes import Volume, check_same_grid, read_image, read_labels
from passion.errors import InputError
from passion.parallel import map_each

Result = TypeVar("Result")

BACKGROUND_SHARE = 0.1
"""Of the voxels, that have the value of the first one: fewer are hardly a background."""


@dataclass
class CaseInspection:
    """What one case holds.

    Args:
        name: of the case.
        modalities: those whose files are there.
        shape: of its grid.
        spacing_mm: of its grid.
        orientation: of its grid, the sides that its axes run to.
        volumes_ml: of each class but the background.
        problems: what would stop a later step, one line each.
        remarks: what is worth knowing and stops nothing.
    """

    name: str
    modalities: list[str]
    shape: list[int] = field(default_factory=list)
    spacing_mm: list[float] = field(default_factory=list)
    orientation: str = ""
    volumes_ml: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass
class Inspection:
    """What a raw study holds.

    Args:
        study: name of it.
        modalities: of the study.
        cases: one entry a case.
        problems: of the study as a whole.
    """

    study: str
    modalities: list[str]
    cases: list[CaseInspection]
    problems: list[str]

    @property
    def all_problems(self) -> list[str]:
        """What would stop a later step, of every case and of the study."""
        return self.problems + [problem for case in self.cases for problem in case.problems]

    @property
    def presence_counts(self) -> dict[str, int]:
        """In how many cases each modality is."""
        return {modality: sum(modality in case.modalities for case in self.cases) for modality in self.modalities}

    def to_dict(self) -> dict[str, Any]:
        """A form that JSON can hold."""
        counts = self.presence_counts
        rates = {modality: 1 - count / len(self.cases) for modality, count in counts.items()}
        return {**asdict(self), "presence_counts": counts, "missing_rates": rates}


def inspect_case(case: Case, study: Study) -> CaseInspection:
    """Open every file of a case and note every problem, not the first one only."""
    found = CaseInspection(case.name, list(case.images))
    found.problems += case.problems
    volumes: dict[str, Volume] = {}
    for modality, image in case.images.items():
        volume = _attempt(found, partial(read_image, image))
        if volume is not None:
            volumes[modality] = volume
            found.remarks += [f"case {case.name}, {modality}: {remark}" for remark in remarks_on_background(volume)]
    if not case.images:
        found.problems.append(f"case {case.name} has no modality at all; add a file or remove the case")
    if case.target is None:
        found.remarks.append(f"case {case.name} has no label file; it can be predicted, not trained on or scored")
    else:
        labelled = _attempt(found, partial(read_labels, case.target, study))
        if labelled is not None:
            volumes[TARGET], labels = labelled
            voxel_ml = float(np.prod(volumes[TARGET].grid.spacing_mm)) / 1000
            counts = np.bincount(labels.ravel(), minlength=len(study.classes)).tolist()
            names = list(study.classes)
            found.volumes_ml = dict(zip(names[1:], [count * voxel_ml for count in counts[1:]], strict=True))
            found.remarks += [f"case {case.name} has labels of {names[0]} only"] * (not any(counts[1:]))
    if volumes:
        _look_at_places(found, volumes, study)
    return found


def remarks_on_background(volume: Volume) -> list[str]:
    """That it seems not to be 0, by which background is told from what an image is of; to be read after its name."""
    corner = volume.voxels.flat[0]
    share = np.count_nonzero(volume.voxels == corner) / volume.voxels.size
    if corner == 0 or share < BACKGROUND_SHARE:
        return []
    return [
        f"{share:.0%} of the voxels are {corner:g}, as the first one; if that is the background, make it 0, which is "
        "left out of crop and normalisation"
    ]


def _attempt(found: CaseInspection, action: Callable[[], Result]) -> Result | None:
    """What `action` gives; where it refuses, that is noted."""
    try:
        return action()
    except InputError as error:
        if str(error) not in found.problems:
            found.problems.append(str(error))
        return None


def _look_at_places(found: CaseInspection, volumes: Mapping[str, Volume], study: Study) -> None:
    """Where the files of a case are: whether on one grid, or what resampling would do to them."""
    doubtful: dict[str, list[str]] = {}
    for name, volume in volumes.items():
        for doubt in volume.doubts:
            doubtful.setdefault(doubt, []).append(name)
    found.remarks += [f"case {found.name}, {', '.join(names)}: {doubt}" for doubt, names in doubtful.items()]
    images = set(volumes) - {TARGET}
    reference = study.reference(images) if images else TARGET
    grid = volumes[reference].grid
    found.shape, found.spacing_mm, found.orientation = list(grid.shape), list(grid.spacing_mm), grid.orientation
    if not study.resample:
        _attempt(found, partial(check_same_grid, volumes))
        return
    moved = {name: volume for name, volume in volumes.items() if not volume.grid.alike(grid)}
    if moved:
        found.remarks.append(f"case {found.name}: {', '.join(moved)} would be brought to the grid of {reference}")
    for name in images & moved.keys():
        _attempt(found, partial(image_on, grid, moved[name]))
    if TARGET in moved:
        lost = _attempt(found, partial(share_lost, grid, moved[TARGET]))
        if lost:
            found.remarks.append(
                f"case {found.name}: {lost:.1%} of the labels are where {reference} has no voxels, out of its reach"
            )


def check_every_modality_exists(study: Study, cases: Sequence[Case], where: str | Path) -> None:
    """Refuse a study in which a modality has no file at all: its missing rate must be below 1.

    Raises:
        InputError: naming the first such modality.
    """
    for modality in study.modalities:
        if not any(modality in case.images for case in cases):
            raise InputError(
                f"{where}: modality {modality!r} is in none of the {len(cases)} cases; add a file of it to at least one"
            )


def inspect_study(study: Study, cases: Sequence[Case], where: Path, workers: int = 0) -> Inspection:
    """Look at every file of every case.

    Args:
        study: what the cases share.
        cases: to look at.
        where: the folder, for messages.
        workers: processes; none: in this one.
    """
    found = map_each(partial(inspect_case, study=study), cases, workers, "Inspecting")
    problems = []
    try:
        check_every_modality_exists(study, cases, where)
    except InputError as error:
        problems.append(str(error))
    return Inspection(study.name, list(study.modalities), found, problems)
