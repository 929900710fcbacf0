"""What an evaluation has scored so far, case by case: one that is stopped continues there."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from passion.files import remove, replacing, sweep, write_json, write_text

FOLDER = ".cases"
MADE_OF = "made-of.json"

Row = dict[str, object]
Examples = dict[str, NDArray[np.generic]]


class ScoredCases:
    """Rows and example slices of single cases in a folder beside the final files.

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
        for folder in (self.folder / "rows", self.folder / "examples", out):
            sweep(folder)

    def _rows(self, name: str) -> Path:
        return self.folder / "rows" / f"{name}.json"

    def _examples(self, name: str) -> Path:
        return self.folder / "examples" / f"{name}.npz"

    def __contains__(self, name: str) -> bool:
        return self._rows(name).exists()

    def add(self, name: str, rows: Sequence[Row], examples: Examples) -> None:
        """Keep what a case has scored; its rows last, for they say that it is done."""
        if examples:
            with replacing(self._examples(name)) as beside:
                np.savez_compressed(beside, **examples)  # type: ignore[arg-type]
        write_text(self._rows(name), json.dumps(list(rows), default=_plain))

    def write(self, names: Sequence[str], settings: Mapping[str, object]) -> pd.DataFrame:
        """Write `examples.npz`, `scores.csv` and, last, `settings.json`, and forget the cases.

        Args:
            names: of all cases, in order.
            settings: of the evaluation.

        Returns:
            The table of all rows.
        """
        rows: list[Row] = []
        examples: Examples = {}
        for name in names:
            rows += json.loads(self._rows(name).read_text(encoding="utf-8"))
            if self._examples(name).exists():
                with np.load(self._examples(name)) as arrays:
                    examples |= {key: arrays[key] for key in arrays.files}
        scores = pd.DataFrame(rows)
        remove(self.out / "settings.json")  # those of an earlier evaluation do not belong to what follows
        with replacing(self.out / "examples.npz") as beside:
            np.savez_compressed(beside, **examples)  # type: ignore[arg-type]
        with replacing(self.out / "scores.csv") as beside:
            scores.to_csv(beside, index=False)
        write_json(self.out / "settings.json", settings)
        remove(self.folder)
        return scores


def _plain(value: Any) -> object:
    """A number of numpy's as Python's."""
    return value.item()
