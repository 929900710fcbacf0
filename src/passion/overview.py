"""What commands print of a raw study and of a presence matrix."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from passion.data.inspection import Inspection
from passion.data.sources import manifest
from passion.data.sources.contract import unrecognised
from passion.data.study import Case
from passion.errors import note
from passion.missingness import Presence


def print_json(value: Any) -> None:
    """Print as indented JSON."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def print_inspection(found: Inspection) -> None:
    """Print what a raw study holds as tables, then its problems, a line each."""
    total = len(found.cases)
    modalities = [
        (modality, str(count), f"{1 - count / total:.3f}") for modality, count in found.presence_counts.items()
    ]
    _table(f"{found.study}: {total} cases", ["modality", "cases", "missing rate"], modalities)
    grids = Counter(
        ("x".join(map(str, case.shape)), " x ".join(f"{step:.3g}" for step in case.spacing_mm), case.orientation)
        for case in found.cases
        if case.shape
    )
    _table("Grids", ["shape", "spacing in mm", "axes", "cases"], [(*grid, str(n)) for grid, n in grids.most_common()])
    volumes: dict[str, list[float]] = {}
    for case in found.cases:
        for name, volume in case.volumes_ml.items():
            volumes.setdefault(name, []).append(volume)
    rows = [
        (name, *(f"{value:.1f}" for value in np.percentile(values, [50, 0, 100])), str(values.count(0)))
        for name, values in volumes.items()
    ]
    _table("Label volumes in ml", ["class", "median", "least", "most", "cases without"], rows)
    for remark in (remark for case in found.cases for remark in case.remarks):
        sys.stdout.write(f"note: {remark}\n")
    for problem in found.all_problems:
        sys.stdout.write(f"problem: {problem}\n")
    sys.stdout.write(f"{len(found.all_problems)} problems\n")


def note_unrecognised(cases: Sequence[Case], raw: Path) -> None:
    """Say that there are files which no case has: a misspelt name makes a modality, or a whole case, absent.

    Where a table lists the files, names play no part.
    """
    others = unrecognised(cases) if raw.is_dir() and not (raw / manifest.DEFAULT).exists() else []
    if others:
        note(f"{len(others)} files in the folders of cases are taken for no modality, the first is {others[0]}")


def print_rates(asked: Sequence[float], drawn: Presence, out: Path) -> None:
    """Print asked and realised missing rates."""
    rows = [
        (modality, f"{wanted:.3f}", f"{got:.3f}", str(count))
        for (modality, got), wanted, count in zip(drawn.missing_rates.items(), asked, drawn.matrix.sum(0), strict=True)
    ]
    title = f"{out}: {len(drawn.cases)} training cases"
    _table(title, ["modality", "asked rate", "realised rate", "cases"], rows)
