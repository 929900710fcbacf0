"""What an evaluation has scored so far, case by case: one that is stopped continues there."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from passion import run_files
from passion.files import remove, replacing, sweep, write_json, write_text

FOLDER = ".cases"
MADE_OF = "made-of.json"

ARRAYS = ("examples", "volumes")
"""Files of arrays that are kept of some cases."""

Row = dict[str, object]
Arrays = Mapping[str, NDArray[np.generic]]


class ScoredCases:
    """Rows, example slices and volumes of single cases in a folder beside the final files.

    Final files are always put together from here, so that it makes no difference whether an evaluation was stopped.

    Args:
        out: folder of the final files.
        made_of: all that the results follow from; what was left by an evaluation of anything else is removed.
    """

    def __init__(self, out: Path, made_of: Mapping[str, object]) -> None:
        self.out = out
        self.folder = out / FOLDER
        record = self.folder / MADE_OF
        now = json.loads(json.dumps(made_of))
        if not record.exists() or json.loads(record.read_text(encoding="utf-8")) != now:
            remove(self.folder)
            write_json(record, now)
        for folder in (self.folder / "rows", *(self.folder / kind for kind in ARRAYS), out):
            sweep(folder)

    def _rows(self, name: str) -> Path:
        return self.folder / "rows" / f"{name}.json"

    def _arrays(self, kind: str, name: str) -> Path:
        return self.folder / kind / f"{name}.npz"

    def __contains__(self, name: str) -> bool:
        return self._rows(name).exists()

    def add(self, name: str, rows: Sequence[Row], arrays: Mapping[str, Arrays]) -> None:
        """Keep what a case has scored, and arrays by file of ARRAYS; its rows last, for they say that it is done."""
        for kind, of_case in arrays.items():
            with replacing(self._arrays(kind, name)) as beside:
                np.savez_compressed(beside, **of_case)  # type: ignore[arg-type]
        write_text(self._rows(name), json.dumps(list(rows), default=_plain))

    def write(self, names: Sequence[str], settings: Mapping[str, object]) -> pd.DataFrame:
        """Write `examples.npz`, `volumes.npz`, `scores.csv` and, last, `settings.json`, and forget the cases.

        Args:
            names: of all cases, in order.
            settings: of the evaluation.

        Returns:
            The table of all rows.
        """
        rows: list[Row] = []
        for name in names:
            rows += json.loads(self._rows(name).read_text(encoding="utf-8"))
        scores = pd.DataFrame(rows)
        remove(self.out / run_files.SETTINGS)  # those of an earlier evaluation do not belong to what follows
        for kind in ARRAYS:
            with replacing(self.out / f"{kind}.npz") as beside:
                np.savez_compressed(beside, **self._of_all(kind, names))  # type: ignore[arg-type]
        with replacing(self.out / "scores.csv") as beside:
            scores.to_csv(beside, index=False)
        write_json(self.out / run_files.SETTINGS, settings)
        remove(self.folder)
        return scores

    def _of_all(self, kind: str, names: Sequence[str]) -> Arrays:
        found: dict[str, NDArray[np.generic]] = {}
        for name in names:
            if self._arrays(kind, name).exists():
                with np.load(self._arrays(kind, name)) as arrays:
                    found |= {key: arrays[key] for key in arrays.files}
        return found


def _plain(value: Any) -> object:
    """A number of numpy's as Python's."""
    return value.item()
