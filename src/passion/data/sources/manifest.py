"""A table of files: `STUDY.csv` has a row a case, and `STUDY.yaml` beside it describes the study.

    case,t1,flair,label
    a,a/t1.nii.gz,a/flair.nii.gz,a/seg.nii
    b,,b/flair.nii.gz,

An empty cell is an absent file; paths are relative to the CSV file. For the YAML file see `description`.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from passion.data.sources.contract import Source, check_names
from passion.data.sources.description import KEYS, described_study, description_of
from passion.data.sources.plan import Piece, Plan, pieces_of
from passion.data.study import Case, Study
from passion.errors import InputError
from passion.reading import check_unique, is_file, read_table, read_yaml

DEFAULT = "manifest.csv"
"""The manifest of a folder."""

NOTES = "#"
"""Begins the names of columns that are for people: others are refused, for they may be modalities misspelt."""


class Manifest(Source):
    """See `Source`."""

    LAYOUT = f"STUDY.csv (in a folder: {DEFAULT}) with columns case, MODALITY, ..., label; STUDY.yaml beside it"

    @staticmethod
    def read(root: Path) -> tuple[Study, list[Case]] | None:
        """Every row of the CSV file `root`, or of a folder's `DEFAULT`, is a case."""
        path = root / DEFAULT if root.is_dir() else root
        if path.suffix.lower() != ".csv" or not path.is_file():
            return None
        study = _study(path.with_suffix(".yaml"))
        columns = [*study.modalities, "label"]
        rows = rows_of(path, columns, needed=columns)
        check_once(rows, columns, path)
        cases = []
        for row in rows:
            files = {column: _file(row, column, path) for column in columns if row[column]}
            target = files.pop("label", None)
            cases.append(Case(row["case"], files, target))
        return study, sorted(cases, key=lambda case: case.name)

    @staticmethod
    def plan(study: Study, cases: Sequence[Case]) -> Plan:
        """Files are kept in a folder a case; whatever the study is, it is kept too."""
        pieces: list[Piece] = []
        rows = []
        for case in cases:
            places = {name: Path(case.name, name) for name in study.modalities}
            own = pieces_of(case, places, Path(case.name, "label"), None)
            columns = [*case.images, *(["label"] if case.target else [])]
            rows.append({"case": case.name, **{name: str(one.path) for name, one in zip(columns, own, strict=True)}})
            pieces += own
        table = pd.DataFrame(rows, columns=["case", *study.modalities, "label"]).to_csv(index=False)
        words = yaml.safe_dump(description_of(study), sort_keys=False, allow_unicode=True, default_flow_style=None)
        return Plan(pieces, {DEFAULT: table, str(Path(DEFAULT).with_suffix(".yaml")): words})


def _study(path: Path) -> Study:
    if not path.is_file():
        raise InputError(f"{path}: no such file; write one with {', '.join(KEYS)} beside the manifest")
    return described_study(read_yaml(path), path)


def rows_of(path: Path, columns: Sequence[str], needed: Sequence[str]) -> list[dict[Any, str]]:
    """Of a table, which may come from a spreadsheet: empty columns, and rows of notes alone, are nothing.

    Args:
        path: of the CSV file.
        columns: that it may have beside `case`.
        needed: those that it must have.

    Raises:
        InputError: unreadable, no case, an unknown column or one that is not there, or names that cases cannot have.
    """
    expected = ["case", *columns]
    table = read_table(path, ["case", *needed])
    table = table[[name for name in table.columns if not name.startswith(NOTES)]]
    table = table.loc[(table != "").any(axis=1), [name in expected or any(table[name]) for name in table.columns]]
    unknown = [column for column in table.columns if column not in expected]
    if unknown:
        raise InputError(
            f"{path}: column {unknown[0]!r} is unknown; expected {', '.join(expected)}; "
            f"begin the name with {NOTES} if it is for people"
        )
    if table.empty:
        raise InputError(f"{path}: lists no case; add a row for each")
    check_names(table["case"], path)
    check_unique(table["case"].tolist(), path)
    rows: list[dict[Any, str]] = table.to_dict("records")
    return rows


def _file(row: Mapping[Any, str], column: str, manifest: Path) -> Path:
    path = path_of(row[column], manifest)
    if not is_file(path):
        raise InputError(
            f"{manifest}: case {row['case']!r}, column {column!r}: there is no file {row[column]!r}; correct the "
            "path, or leave the cell empty where the file is absent"
        )
    return path


def path_of(cell: str, manifest: Path) -> Path:
    """The file that a cell names."""
    # That of pathlib raises where there is no such user.
    return manifest.parent / os.path.expanduser(cell)


def check_once(rows: Sequence[Mapping[Any, str]], columns: Sequence[str], manifest: Path) -> None:
    """Refuse a file that stands in two cells: it is one of them by mistake.

    Raises:
        InputError: naming both.
    """
    seen: dict[str, str] = {}
    for row in rows:
        for column in columns:
            cell, here = row.get(column), f"case {row['case']!r}, column {column!r}"
            if cell and (other := seen.setdefault(os.path.normpath(path_of(cell, manifest)), here)) != here:
                raise InputError(f"{manifest}: {cell!r} is {other}, and {here}; correct one")
