"""The folder of a grid of runs: where things are in it, and how far each cell is.

    OUT/TABLE.json                      which cell has which place in a table
    OUT/studies/STUDY.json, STUDY.csv   which prepared study this is, and its split, the same for all cells
    OUT/draws/...csv                    presence matrices, one a study, setting and seed
    OUT/runs/NAME/                      the run folder of a cell, as `passion train` and `passion evaluate` write it
    OUT/cells/NAME/config.yaml          how it is trained
    OUT/cells/NAME/log.txt              what it printed
    OUT/cells/NAME/times.json           how long it took
    OUT/cells/NAME/broken.txt           why it broke, in one line

A cell is done when its evaluation is whole.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from passion.data.split import Split, draw_split, read_split, write_split
from passion.data.store import PreparedStudy
from passion.errors import InputError
from passion.experiments.cells import Cell
from passion.experiments.grid import Scale
from passion.experiments.states import BROKEN, EVALUATION, State, about_folder, run_folder, state_of, why_broken
from passion.files import write_json, write_text
from passion.missingness import draw_presence, presence_of
from passion.reading import read_json
from passion.run_files import CONFIGURATION

SPLIT_SEED = 0
"""Of the one split of a study."""

LOG = "log.txt"
TIMES = "times.json"


@dataclass(frozen=True)
class Workspace:
    """The folder of a grid of runs."""

    out: Path

    def run(self, cell: Cell | str) -> Path:
        """The run folder of a cell."""
        return run_folder(self.out, _name(cell))

    def about(self, cell: Cell | str) -> Path:
        """The folder of what is not part of its run."""
        return about_folder(self.out, _name(cell))

    def scores(self, cell: Cell | str) -> Path:
        """Scores of a cell on the test cases."""
        return self.run(cell) / "evaluation" / EVALUATION / "scores.csv"

    def state(self, cell: Cell | str) -> State:
        """How far a cell is."""
        return state_of(self.out, _name(cell))

    def why_broken(self, cell: Cell | str) -> str:
        """The reason in one line."""
        return why_broken(self.out, _name(cell))

    def split(self, study: str) -> Path:
        """The split of a study."""
        return self.out / "studies" / f"{study}.csv"

    def add_study(self, prepared: PreparedStudy, scale: Scale, given: Path | None = None) -> None:
        """Take a study in, with its split: the given one, or one drawn in the scale's proportions.

        Raises:
            InputError: the folder holds another study of that name, or another split.
        """
        name = prepared.study.name
        described = {
            "study": name, "cases": len(prepared.cases), "fingerprint": fingerprint(prepared),
            "content": content_digest(prepared),
        }  # fmt: skip
        path = self.out / "studies" / f"{name}.json"
        before = read_json(path, "choose another --out") if path.exists() else {}
        # Earlier versions did not write all of it.
        if {**described, **before} != described:
            raise InputError(f"{prepared.folder}: {self.out} holds another study {name}; choose another --out")
        split = read_split(given, prepared.cases) if given else draw_study_split(prepared, scale)
        begun = any(self.out.glob(f"runs/{name}_*"))
        if begun and split != read_split(self.split(name), prepared.cases):
            given_as = f"--split {given}" if given else "--scale"
            raise InputError(f"{given_as}: {self.out} holds cells of {name} with another split; choose another --out")
        write_split(self.split(name), split)
        write_json(path, described)

    def draw(self, cell: Cell, modalities: Sequence[str]) -> Path:
        """The presence matrix of a cell, which all cells of its study, rates and seed share."""
        named = "-".join(f"{rate:g}" for rate in _rates(cell, modalities))
        return self.out / "draws" / f"{cell.study}_{named}_seed{cell.seed}.csv"

    def plan(self, cell: Cell, prepared: PreparedStudy) -> None:
        """Write what running a cell needs: its configuration and its presence matrix.

        Raises:
            InputError: its rates cannot be met.
        """
        split = self.split(cell.study)
        presence = self._draw(cell, prepared, read_split(split, prepared.cases)) if cell.rates else None
        paths = (prepared.folder.resolve(), split.resolve(), presence.resolve() if presence else None)
        write_text(self.about(cell) / CONFIGURATION, cell.configuration(*paths).to_yaml())

    def _draw(self, cell: Cell, prepared: PreparedStudy, split: Split) -> Path:
        modalities = prepared.study.modalities
        path = self.draw(cell, modalities)
        if not path.exists():
            own = presence_of({name: list(prepared.case(name).boxes) for name in split["train"]}, modalities)
            draw_presence(own, np.array(_rates(cell, modalities)), cell.seed).write(path)
        return path

    def forget_failure(self, cell: Cell) -> None:
        """Let a broken cell be tried again, from where it came to."""
        (self.about(cell) / BROKEN).unlink(missing_ok=True)


def _rates(cell: Cell, modalities: Sequence[str]) -> list[float]:
    assert cell.rates is not None
    return [float(cell.rates[modality]) for modality in modalities]


def _name(cell: Cell | str) -> str:
    return cell if isinstance(cell, str) else cell.name


def draw_study_split(prepared: PreparedStudy, scale: Scale) -> Split:
    """A split of the cases that have labels, in the scale's proportions; a part that should have a case has one.

    Raises:
        InputError: too few cases.
    """
    labelled = [name for name in prepared.cases if prepared.case(name).target_box is not None][: scale.cases]
    _, val, test = scale.split
    held_out = {
        part: max(1, round(len(labelled) * size / sum(scale.split))) if size else 0
        for part, size in (("val", val), ("test", test))
    }
    training = len(labelled) - sum(held_out.values())
    if training < 1:
        raise InputError(f"{prepared.folder}: {len(labelled)} cases with labels are too few for train, val and test")
    return draw_split(labelled, SPLIT_SEED, {"train": training, **held_out})


def content_digest(prepared: PreparedStudy) -> str:
    """Of all arrays of all cases, wherever they lie."""
    return hashlib.sha256("".join(prepared.case(name).digest for name in prepared.cases).encode()).hexdigest()[:16]


def fingerprint(prepared: PreparedStudy) -> str:
    """A digest of classes and of the grids and boxes of all cases: the same for the same files, wherever they lie."""
    cases = [prepared.case(name) for name in prepared.cases]
    content: Sequence[Mapping[str, object]] = [
        {"name": case.name, "shape": case.own_grid.shape, "spacing": case.grid.spacing_mm,
         "boxes": {key: (box.start, box.stop) for key, box in sorted(case.boxes.items())}}
        for case in cases
    ]  # fmt: skip
    study = [prepared.study.name, prepared.study.modalities, dict(prepared.study.classes)]
    return hashlib.sha256(json.dumps([study, content]).encode()).hexdigest()[:16]
