"""A folder of segmented cases: OUT/CASE.nii.gz each, cases.csv about them, and what they were made with."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from passion.data.new_cases import check_headers
from passion.data.prepare import fingerprint, is_unchanged
from passion.data.sources.plan import EXTENSIONS
from passion.data.study import Case, Study
from passion.errors import InputError
from passion.files import alone_in, check_apart, replacing, write_json
from passion.parallel import one_ahead, track
from passion.prediction import Predictor, write_answer
from passion.reading import read_json
from passion.runs import versions
from passion.segmentation import Segmentation
from passion.weights import fingerprint as fingerprint_of

TABLE = "cases.csv"
WEIGHTS = "weights"
RECORD = "predict.json"
"""With what the cases of a folder were segmented, and from which files."""


@dataclass(frozen=True)
class Outcome:
    """What became of many cases.

    Args:
        done: how many were segmented now.
        kept: how many were there already.
        broken: why others could not be, one line each.
        remarked: cases of the folder that have remarks.
    """

    done: int
    kept: int
    broken: Sequence[str]
    remarked: int


class _Folder:
    """What a folder of results holds, on disk and in mind.

    Args:
        out: the folder.
        probabilities: folder of the probabilities, if they are wanted.
        options: what the results depend on.
    """

    def __init__(self, out: Path, probabilities: Path | None, options: Mapping[str, Any]) -> None:
        if out.name.endswith(EXTENSIONS):
            raise InputError(f"--out {out}: with --cases give a folder for the files, not a file")
        self.out = out
        self.probabilities = probabilities
        self.options = options
        self.files: dict[str, Any] = {}
        self.rows: dict[str, Mapping[Any, Any]] = {}
        record = out / RECORD
        if record.exists():
            self._go_on(record)
        elif out.exists() and (not out.is_dir() or any(out.glob("[!.]*"))):
            raise InputError(f"--out {out}: holds something else than segmented cases; choose another folder")

    def _go_on(self, record: Path) -> None:
        remedy = f"remove {self.out} or choose another folder"
        content = read_json(record, remedy)
        try:
            before, self.files = content["options"], content["files"]
            table = pd.read_csv(self.out / TABLE, dtype=str, keep_default_na=False)
            self.rows = {row["case"]: row for row in table.to_dict("records")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{record}: cannot be read; {remedy}") from error
        for name, value in self.options.items():
            if before.get(name, value) != value:
                other = f"with {name} {before[name]}, not {value}" if name != WEIGHTS else "by other runs"
                raise InputError(
                    f"--out {self.out}: its cases were segmented {other}; choose another folder, or remove this one"
                )

    def targets(self, name: str) -> tuple[Path, Path | None]:
        """Where labels and probabilities of a case go."""
        file = f"{name}.nii.gz"
        return self.out / file, self.probabilities / file if self.probabilities else None

    def has(self, case: Case) -> bool:
        """Whether a case is there, made from the files that it has now."""
        if case.name not in self.rows or not all(path.exists() for path in self.targets(case.name) if path):
            return False
        there = all(path.exists() for path in case.files.values())
        return there and is_unchanged(case, self.files.get(case.name, {}))

    def note(self, case: Case, found: Segmentation, seconds: float) -> None:
        """Write down that a case is there."""
        volumes = {f"{region}_ml": round(found.volume_ml(region), 3) for region in found.study.regions}
        self.rows[case.name] = {
            "case": case.name,
            "modalities": found.modalities,
            **({"on_grid_of": found.reference} if found.study.resample else {}),
            **volumes,
            "seconds": round(seconds, 2),
            "remarks": "; ".join(found.remarks),
        }
        self.files[case.name] = fingerprint(case)
        self._write()

    def begin(self) -> None:
        """Write down what the folder is for, so that a command that was stopped at its first case can go on."""
        if not self.files:
            self._write()

    def _write(self) -> None:
        with replacing(self.out / TABLE) as beside:
            rows = [self.rows[name] for name in sorted(self.rows)]
            (pd.DataFrame(rows) if rows else pd.DataFrame(columns=["case"])).to_csv(beside, index=False)
        write_json(self.out / RECORD, {"options": self.options, "files": self.files})


def predict_cases(
    predictor: Predictor,
    cases: Sequence[Case],
    raw: Path,
    out: Path,
    probabilities: Path | None = None,
    skip_broken: bool = False,
) -> Outcome:
    """Segment cases one after the other; those that are there, made from the same files in the same way, are kept.

    Headers of all files are read first. What only voxels tell is found on the way, and then stops that case alone.

    Args:
        predictor: the runs.
        cases: to segment.
        raw: where they come from.
        out: folder to write `CASE.nii.gz`, `cases.csv` and `predict.json` to.
        probabilities: folder to write probabilities to, under the same names.
        skip_broken: segment the others where the header of a file is broken.

    Raises:
        InputError: nothing to segment, `out` holds something else or cases segmented in another way, or, without
            `skip_broken`, all cases whose headers say that they cannot be used, a line each; or another process
            segments into `out`.
    """
    if not cases:
        raise InputError(f"{raw}: there is no case; is it the right folder?")
    cases = [replace(case, target=None) for case in cases]
    options = _options(predictor, raw)
    folder = _Folder(out, probabilities, options)
    for case in cases:
        written = dict(zip(("--out", "--probabilities"), folder.targets(case.name), strict=True))
        check_apart(written, {f"a file of case {case.name}": path for path in case.files.values()})
    todo = [case for case in cases if not folder.has(case)]
    broken = _broken_headers(todo, predictor.study)
    if broken and not skip_broken:
        raise InputError("\n".join([*broken.values(), "nothing was segmented; --skip-broken segments the other cases"]))
    whole = [case for case in todo if case.name not in broken]
    done = 0
    if whole:
        with alone_in(out, f"--out {out}: another process is segmenting there; wait for it, or choose another folder"):
            folder = _Folder(out, probabilities, options)
            whole = [case for case in whole if not folder.has(case)]
            failed = _segment_each(predictor, whole, folder)
            done = len(whole) - len(failed)
            broken |= failed
    return Outcome(
        done=done,
        kept=len(cases) - done - len(broken),
        broken=[broken[name] for name in sorted(broken)],
        remarked=sum(bool(row.get("remarks")) for row in folder.rows.values()),
    )


def _segment_each(predictor: Predictor, cases: Sequence[Case], folder: _Folder) -> dict[str, str]:
    """Segment cases into a folder that is ours alone; why cases could not be, by their names."""
    folder.begin()
    broken = {}
    start = time.monotonic()
    for case, ready in track(one_ahead(lambda case: predictor.read(case.images), cases), len(cases), "Segmenting"):
        try:
            found = write_answer(predictor, ready(), *folder.targets(case.name))
        except InputError as error:
            broken[case.name] = str(error)
            continue
        now = time.monotonic()
        folder.note(case, found, now - start)
        start = now
    return broken


def _broken_headers(cases: Sequence[Case], study: Study) -> dict[str, str]:
    """Why cases cannot be segmented, as far as headers tell, by the names of the cases."""
    broken = {}
    for case in track(cases, len(cases), "Looking at headers"):
        try:
            check_headers(case, study)
        except InputError as error:
            broken[case.name] = str(error)
    return broken


def _options(predictor: Predictor, raw: Path) -> dict[str, Any]:
    """What results depend on; devices are no part of it, nor where a run's folder is."""
    weights = [fingerprint_of(run.network) for run in predictor.runs]
    return {
        "cases": str(raw.resolve()), WEIGHTS: weights, "resample": list(predictor.study.resample),
        **asdict(predictor.settings), **versions(),
    }  # fmt: skip
