"""The prepared study on disk: one array and one box for each case and modality.

    PREPARED/study.json
    PREPARED/cases/NAME/case.json       grids, boxes, what the source files were
    PREPARED/cases/NAME/MODALITY.npy    float32, cropped to the modality's own foreground
    PREPARED/cases/NAME/target.npy      uint8 class indices, cropped to what is not background
    PREPARED/cases/NAME/reference.npy   the same, whole, on the label file's own grid, where that is another

An absent modality has no file, so nothing of it can leak.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passion.data.resampling import Grid, resample_labels
from passion.data.study import Study
from passion.errors import InputError
from passion.files import replacing_folder, write_json

FORMAT = 3
TARGET = "target"
REFERENCE = "reference"


@dataclass(frozen=True)
class Box:
    """Part of a voxel grid: from `start` up to, not including, `stop`."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent along each axis."""
        return tuple(stop - start for start, stop in zip(self.start, self.stop, strict=True))

    @classmethod
    def whole(cls, shape: Sequence[int]) -> "Box":
        """All of a grid."""
        return cls((0,) * len(shape), tuple(shape))

    @property
    def slices(self) -> tuple[slice, ...]:
        """To index an array of the grid with."""
        return tuple(slice(start, stop) for start, stop in zip(self.start, self.stop, strict=True))

    def union(self, other: "Box") -> "Box":
        """Smallest box that holds both.

        >>> Box((0, 2), (1, 3)).union(Box((4, 0), (5, 1)))
        Box(start=(0, 0), stop=(5, 3))
        """
        return Box(tuple(map(min, self.start, other.start)), tuple(map(max, self.stop, other.stop)))


def union_of(boxes: Sequence[Box]) -> Box:
    """Smallest box that holds all of `boxes`."""
    whole = boxes[0]
    for box in boxes[1:]:
        whole = whole.union(box)
    return whole


def copy_overlap(source: NDArray[Any], box: Box, out: NDArray[Any], window: Box) -> None:
    """Copy what `source`, which fills `box`, has of `window` into `out`, which fills `window`."""
    start = np.maximum(box.start, window.start)
    stop = np.minimum(box.stop, window.stop)
    if (start < stop).all():
        here = tuple(slice(a, b) for a, b in zip(start - window.start, stop - window.start, strict=True))
        there = tuple(slice(a, b) for a, b in zip(start - box.start, stop - box.start, strict=True))
        out[here] = source[there]


def put_back(labels: NDArray[np.uint8], box: Box, grid: Grid, own_grid: Grid) -> NDArray[np.uint8]:
    """Predicted class indices of `box` of `grid` on the files' own grid; background outside the box."""
    out = np.zeros(grid.shape, dtype=np.uint8)
    copy_overlap(labels, box, out, Box.whole(grid.shape))
    return out if grid is own_grid else resample_labels(out, grid, own_grid)


@dataclass(frozen=True)
class PreparedCase:
    """One case of the prepared study; its arrays are read when asked for, and only the part asked for.

    Args:
        folder: where it is stored.
        name: of the case.
        grid: that the arrays are cropped from, at the study's spacing.
        own_grid: that predictions are scored on: of the label file, or without one of the files; the same object
            where the case was not brought to another.
        boxes: foreground of each modality that is there.
        target_box: box of what is not background; None without a target.
        source: size and time of change of the files that it was made from.
    """

    folder: Path
    name: str
    grid: Grid
    own_grid: Grid
    boxes: Mapping[str, Box]
    target_box: Box | None
    source: Mapping[str, list[int]]

    def box(self, modalities: Sequence[str]) -> Box:
        """The case's box in a run in which it has `modalities`: the union of their boxes."""
        return union_of([self.boxes[modality] for modality in modalities])

    def read_image(self, modality: str, window: Box) -> NDArray[np.float32]:
        """The voxels of `window`; 0 where it leaves the modality's box or the grid."""
        return self._read(modality, self.boxes[modality], window, np.float32)

    def read_target(self, window: Box) -> NDArray[np.uint8]:
        """Class indices in `window`; background where it leaves the grid.

        Raises:
            InputError: the case has no target.
        """
        if self.target_box is None:
            raise InputError(f"{self.folder}: case {self.name} has no label file; leave it out of the split")
        return self._read(TARGET, self.target_box, window, np.uint8)

    @property
    def resampled(self) -> bool:
        """Whether the arrays are on another grid than predictions are scored on."""
        return self.grid is not self.own_grid

    def read_reference(self) -> NDArray[np.uint8]:
        """Class indices on the label file's grid, as they stand there.

        Raises:
            InputError: the case has no target.
        """
        if self.resampled and self.target_box is not None:
            return np.asarray(np.load(self.folder / f"{REFERENCE}.npy"))
        return self.read_target(Box.whole(self.grid.shape))

    def to_own_grid(self, labels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
        """Predicted class indices of `box` on the grid of `read_reference`; background outside the box."""
        return put_back(labels, box, self.grid, self.own_grid)

    def _read(self, name: str, box: Box, window: Box, dtype: Any) -> NDArray[Any]:
        out = np.zeros(window.shape, dtype=dtype)
        copy_overlap(np.load(self.folder / f"{name}.npy", mmap_mode="r"), box, out, window)
        return out


@dataclass(frozen=True)
class PreparedStudy:
    """A prepared study; open it with `open`."""

    folder: Path
    study: Study

    @classmethod
    def open(cls, folder: Path) -> "PreparedStudy":
        """Open the prepared study in `folder`.

        Raises:
            InputError: there is none, or another version wrote it.
        """
        try:
            content = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: is not a prepared study; run `passion prepare RAW {folder}`") from error
        if content.get("format") != FORMAT:
            raise InputError(f"{folder}: has format {content.get('format')}, expected {FORMAT}; prepare it again")
        return cls(folder, Study.from_dict(content["study"]))

    @cached_property
    def cases(self) -> tuple[str, ...]:
        """Names of the cases, sorted."""
        return tuple(sorted(path.parent.name for path in self.folder.glob("cases/[!.]*/case.json")))

    def case(self, name: str) -> PreparedCase:
        """One case.

        Raises:
            InputError: there is no such case.
        """
        folder = case_folder(self.folder, name)
        try:
            content = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{self.folder}: has no case {name!r}; prepare it or take it off the list") from error
        boxes = {key: Box(*map(tuple, value)) for key, value in content["boxes"].items()}
        own = _grid_from(content["own_grid"])
        return PreparedCase(
            folder=folder,
            name=name,
            grid=_grid_from(content["grid"]) if content["grid"] else own,
            own_grid=own,
            boxes={key: box for key, box in boxes.items() if key != TARGET},
            target_box=boxes.get(TARGET),
            source=content["source"],
        )


def case_folder(root: Path, name: str) -> Path:
    """Where a case of the prepared study in `root` is."""
    return root / "cases" / name


def write_study(root: Path, study: Study) -> None:
    """Write what the cases share."""
    write_json(root / "study.json", {"format": FORMAT, "study": study.to_dict()})


def _grid_from(content: Mapping[str, Any]) -> Grid:
    return Grid(tuple(content["shape"]), np.array(content["affine"]))


def _grid_content(grid: Grid) -> dict[str, Any]:
    return {"shape": list(grid.shape), "affine": grid.affine.tolist()}


def write_case(
    root: Path,
    name: str,
    arrays: Mapping[str, tuple[NDArray[Any], Box]],
    own_grid: Grid,
    grid: Grid,
    reference: NDArray[np.uint8] | None,
    source: Mapping[str, list[int]],
) -> None:
    """Store a case whole or not at all.

    Args:
        root: of the prepared study.
        name: of the case.
        arrays: cropped images by modality, and the target as `TARGET`; each with its box.
        own_grid: of the label file, or without one of the files.
        grid: of the arrays; the same object where that is `own_grid`.
        reference: labels on `own_grid`.
        source: see `PreparedCase`.
    """
    with replacing_folder(case_folder(root, name)) as folder:
        for key, (array, _) in arrays.items():
            np.save(folder / f"{key}.npy", np.ascontiguousarray(array))
        if reference is not None and grid is not own_grid:
            np.save(folder / f"{REFERENCE}.npy", reference)
        content = {
            "own_grid": _grid_content(own_grid),
            "grid": None if grid is own_grid else _grid_content(grid),
            "boxes": {key: [box.start, box.stop] for key, (_, box) in arrays.items()},
            "source": source,
        }
        write_json(folder / "case.json", content)
