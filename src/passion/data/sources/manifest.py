"""A table of files: `STUDY.csv` has a row a case, and `STUDY.yaml` beside it says what the study is.

    case,t1,flair,label                     name: Tumours
    a,a/t1.nii.gz,a/flair.nii.gz,a/seg.nii  modalities: [t1, flair]
    b,,b/flair.nii.gz,                      classes: {background: 0, edema: 1, core: 4}
                                            regions: {tumour: [edema, core]}
                                            spacing_mm: [1, 1, null]

An empty cell is an absent file; paths are relative to the CSV file. `spacing_mm` may be left out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from passion.data.sources.contract import Source
from passion.data.sources.declaration import checked, mapping_of, require
from passion.data.split import check_unique, read_table
from passion.data.study import Case, Region, Study
from passion.errors import InputError

KEYS = ("name", "modalities", "classes", "regions")
SPACING = "spacing_mm"


class Manifest(Source):
    """See `Source`."""

    LAYOUT = "STUDY.csv with columns case, MODALITY, ..., label; STUDY.yaml beside it"

    @staticmethod
    def read(root: Path) -> tuple[Study, list[Case]] | None:
        """Every row of the CSV file `root` is a case."""
        if root.suffix != ".csv" or not root.is_file():
            return None
        study = _study(root.with_suffix(".yaml"))
        table = read_table(root, ["case", *study.modalities, "label"]).fillna("")
        _check_table(table, study, root)
        cases = []
        for row in table.to_dict("records"):
            files = {column: _file(row, column, root) for column in (*study.modalities, "label") if row[column]}
            target = files.pop("label", None)
            cases.append(Case(row["case"], files, target))
        return study, sorted(cases, key=lambda case: case.name)


def _study(path: Path) -> Study:
    if not path.is_file():
        raise InputError(f"{path}: no such file; write one with {', '.join(KEYS)} beside the manifest")
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())}); repair the file") from error
    content = mapping_of(loaded, path, "the file")
    require(content, path, *KEYS)
    unknown = [key for key in content if key not in (*KEYS, SPACING)]
    if unknown:
        raise InputError(f"{path}: key {unknown[0]!r} is unknown; there are: {', '.join((*KEYS, SPACING))}")
    codes, unions = (mapping_of(content[key], path, key) for key in ("classes", "regions"))
    for key, names in (("modalities", content["modalities"]), *unions.items()):
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise InputError(f"{path}: {key} is {names!r:.80}, expected a list of names")
    # Class 0 is the background, wherever it stands in the file; the sort keeps the order of the others.
    classes = dict(sorted(codes.items(), key=lambda item: item[1] != 0))
    regions = {name: Region(tuple(names)) for name, names in unions.items()}
    spacing_mm = _spacing(content.get(SPACING, [None] * 3), path)
    study = Study(str(content["name"]), tuple(content["modalities"]), classes, regions, spacing_mm=spacing_mm)
    return checked(study, path)


def _spacing(value: object, path: Path) -> tuple[float | None, ...]:
    steps = value if isinstance(value, list) else []
    numbers = [step for step in steps if step is not None]
    if len(steps) != 3 or not all(type(step) in (int, float) and 0 < step < float("inf") for step in numbers):
        raise InputError(
            f"{path}: {SPACING} is {value!r:.80}, expected three numbers of mm, or null to keep a case's own"
        )
    return tuple(None if step is None else float(step) for step in steps)


def _check_table(table: pd.DataFrame, study: Study, path: Path) -> None:
    columns = ["case", *study.modalities, "label"]
    unknown = [column for column in table.columns if column not in columns]
    if unknown:
        raise InputError(f"{path}: column {unknown[0]!r} is unknown; expected {', '.join(columns)}")
    if table.empty:
        raise InputError(f"{path}: lists no case; add a row for each")
    for name in table["case"]:
        if not name or name.startswith(".") or "/" in name or "\\" in name:
            raise InputError(
                f"{path}: case {name!r} cannot be called so; give it a name without / that begins with no dot"
            )
    check_unique(table["case"].tolist(), path)


def _file(row: Mapping[Any, str], column: str, manifest: Path) -> Path:
    path = manifest.parent / row[column]
    if not path.is_file():
        raise InputError(
            f"{manifest}: case {row['case']!r}, column {column!r}: there is no file {row[column]!r}; correct the "
            "path, or leave the cell empty where the file is absent"
        )
    return path
