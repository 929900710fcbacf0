"""The prepared study on disk: one array and one box for each case and modality.

    PREPARED/study.json                 what the cases share, and which were left out because their files are broken
    PREPARED/cases/NAME/case.json       grids, boxes, what the source files were, size and SHA-256 of each array
    PREPARED/cases/NAME/MODALITY.npy    float32, cropped to the modality's own foreground
    PREPARED/cases/NAME/target.npy      uint8 class indices, cropped to what is not background
    PREPARED/cases/NAME/reference.npy   the same, whole, on the label file's own grid, where that is another

An absent modality has no file, so nothing of it can leak.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passion.data.arrays import StoredArray, store
from passion.data.boxes import Box, copy_overlap, put_back, union_of
from passion.data.resampling import Grid
from passion.data.study import Study
from passion.errors import InputError, attempt_all
from passion.files import replacing_folder, write_json
from passion.parallel import attempt_each
from passion.reading import read_json

FORMAT = 4
READABLE = (3, 4)
"""Formats that can be read; 3 has no digests."""

TARGET = "target"
REFERENCE = "reference"


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
        source: fingerprints of the files that it was made from, see `passion.data.prepare`.
        stored: every array by name, with its digest.
    """

    folder: Path
    name: str
    grid: Grid
    own_grid: Grid
    boxes: Mapping[str, Box]
    target_box: Box | None
    source: Mapping[str, list[int]]
    stored: Mapping[str, StoredArray]

    def check_sizes(self) -> None:
        """Compare the sizes of all arrays; quick.

        Raises:
            InputError: naming every array that is missing or of another size, a line each.
        """
        attempt_all(array.check_size for array in self.stored.values())

    def check(self) -> None:
        """Compare all arrays with what was written.

        Raises:
            InputError: naming every array that is missing or damaged, a line each.
        """
        attempt_all(array.check for array in self.stored.values())

    @property
    def digest(self) -> str:
        """The same for the same arrays, wherever they lie."""
        written = sorted((name, array.sha256) for name, array in self.stored.items())
        return hashlib.sha256(json.dumps(written).encode()).hexdigest()

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
            return np.asarray(self.stored[REFERENCE].open(self.own_grid.shape))
        return self.read_target(Box.whole(self.grid.shape))

    def to_own_grid(self, labels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
        """Predicted class indices of `box` on the grid of `read_reference`; background outside the box."""
        return put_back(labels, box, self.grid, self.own_grid)

    def _read(self, name: str, box: Box, window: Box, dtype: Any) -> NDArray[Any]:
        array = self.stored[name].open(box.shape)
        out = np.zeros(window.shape, dtype=dtype)
        copy_overlap(array, box, out, window)
        return out


@dataclass(frozen=True)
class PreparedStudy:
    """A prepared study; open it with `open`."""

    folder: Path
    study: Study
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Why, by the names of the cases whose files are broken."""
    _read: dict[str, PreparedCase] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def open(cls, folder: Path) -> "PreparedStudy":
        """Open the prepared study in `folder`.

        Raises:
            InputError: there is none, or another version wrote it.
        """
        path, remedy = folder / "study.json", f"run `passion prepare RAW {folder}`"
        if not path.is_file():
            raise InputError(f"{folder}: is not a prepared study; {remedy}")
        content = read_json(path, remedy)
        found = content.get("format") if isinstance(content, dict) else None
        if found not in READABLE:
            raise InputError(f"{folder}: has format {found!r:.20}, expected {FORMAT}; prepare it again")
        try:
            study = Study.from_dict(content.get("study"))
        except InputError as error:
            raise InputError(f"{path}: does not describe a study ({error}); {remedy}") from error
        return cls(folder, study, content.get("left_out", {}))

    @cached_property
    def cases(self) -> tuple[str, ...]:
        """Names of the cases, sorted."""
        return tuple(sorted(path.parent.name for path in self.folder.glob("cases/[!.]*/case.json")))

    def check_sizes(self, names: Sequence[str]) -> None:
        """Compare the sizes of the arrays of cases.

        Raises:
            InputError: as `PreparedCase.check_sizes`.
        """
        attempt_all(partial(lambda name: self.case(name).check_sizes(), name) for name in names)

    def check(self, names: Sequence[str]) -> dict[str, str]:
        """Compare the arrays of cases with what was written, and say what is wrong, by the names of damaged ones."""
        outcomes = attempt_each(lambda name: self.case(name).check(), names, 0, "Checking")
        return {name: str(one) for name, one in zip(names, outcomes, strict=True) if isinstance(one, InputError)}

    def case(self, name: str) -> PreparedCase:
        """One case, as it was when it was first asked for.

        Raises:
            InputError: there is no such case.
        """
        if name not in self._read:
            self._read[name] = self._read_case(name)
        return self._read[name]

    def _read_case(self, name: str) -> PreparedCase:
        folder = case_folder(self.folder, name)
        path, remedy = folder / "case.json", "prepare it or take it off the list"
        if not path.is_file():
            raise InputError(f"{self.folder}: has no case {name!r}; {remedy}")
        content = read_json(path, remedy)
        try:
            return _case_from(folder, name, content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: does not describe a case ({error!r:.80}); {remedy}") from error


def _case_from(folder: Path, name: str, content: Mapping[str, Any]) -> PreparedCase:
    own = _grid_from(content["own_grid"])
    grid = _grid_from(content["grid"]) if content["grid"] else own
    boxes = {key: Box(*map(tuple, value)) for key, value in content["boxes"].items()}
    for box in boxes.values():
        if not all(0 <= start <= stop <= end for start, stop, end in zip(box.start, box.stop, grid.shape, strict=True)):
            raise ValueError(f"{box} is not inside of {grid.shape}")
    digests = content.get("arrays", {name: {"size": None, "sha256": None} for name in (*boxes, REFERENCE)})
    if not set(boxes) <= set(digests):
        raise ValueError("an array has no digest")
    stored = {key: StoredArray(folder / f"{key}.npy", **digest) for key, digest in digests.items()}
    images = {key: box for key, box in boxes.items() if key != TARGET}
    return PreparedCase(folder, name, grid, own, images, boxes.get(TARGET), content["source"], stored)


def case_folder(root: Path, name: str) -> Path:
    """Where a case of the prepared study in `root` is."""
    return root / "cases" / name


def write_study(root: Path, study: Study, left_out: Mapping[str, str]) -> None:
    """Write what the cases share, and why which of them were left out."""
    write_json(root / "study.json", {"format": FORMAT, "study": study.to_dict(), "left_out": left_out})


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
        written = {key: array for key, (array, _) in arrays.items()}
        if reference is not None and grid is not own_grid:
            written[REFERENCE] = reference
        content = {
            "arrays": {key: store(folder / f"{key}.npy", array) for key, array in written.items()},
            "own_grid": _grid_content(own_grid),
            "grid": None if grid is own_grid else _grid_content(grid),
            "boxes": {key: [box.start, box.stop] for key, (_, box) in arrays.items()},
            "source": source,
        }
        write_json(folder / "case.json", content)
