"""A study in words: the YAML file of a manifest, and what `dataset.json` keeps of a study beside its own words.

    name: Tumours
    modalities: [t1, flair]
    classes: {background: 0, edema: 1, core: 4}
    regions:
      tumour: [edema, core]
      core: {classes: [core], minimum_mm3: 50, averaged: false}
    spacing_mm: [1, 1, null]
    spatial_dims: 2

The last two, and all of a region but its classes, may be left out; see `Study` and `Region`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from passion.data.sources.declaration import mapping_of, require
from passion.data.study import Region, Study
from passion.errors import InputError

KEYS = ("name", "modalities", "classes", "regions")
OPTIONAL_KEYS = ("spacing_mm", "spatial_dims")

DESCRIPTION = "study"
"""The key of `dataset.json` that holds a description; programs other than this one pass over it."""


def description_of(study: Study) -> dict[str, Any]:
    """The words of a study; `described_study` reads them back.

    >>> from passion.data.sources.myops import MYOPS2020
    >>> described_study(description_of(MYOPS2020), Path("study.yaml")) == MYOPS2020
    True
    """
    words: dict[str, Any] = {
        "name": study.name,
        "modalities": list(study.modalities),
        "classes": dict(study.classes),
        "regions": {name: _words_of(region) for name, region in study.regions.items()},
    }
    if any(study.spacing_mm):
        words["spacing_mm"] = list(study.spacing_mm)
    if study.spatial_dims != Study.spatial_dims:
        words["spatial_dims"] = study.spatial_dims
    return words


def _words_of(region: Region) -> list[str] | dict[str, Any]:
    values = {"minimum_mm3": region.minimum_mm3, "averaged": region.averaged}
    special = {key: value for key, value in values.items() if value != getattr(Region, key)}
    return {"classes": list(region.classes), **special} if special else list(region.classes)


def described_study(value: object, path: Path) -> Study:
    """The study that the words describe.

    Args:
        value: as it stands in the file.
        path: of the file, for messages.

    Raises:
        InputError: a key that is missing, unknown or of another form, or a study that makes no sense.
    """
    content = mapping_of(value, path, "the study")
    require(content, path, *KEYS)
    unknown = [key for key in content if key not in (*KEYS, *OPTIONAL_KEYS)]
    if unknown:
        raise InputError(f"{path}: key {unknown[0]!r} is unknown; there are: {', '.join((*KEYS, *OPTIONAL_KEYS))}")
    codes, unions = (mapping_of(content[key], path, key) for key in ("classes", "regions"))
    words = {
        **content,
        "name": str(content["name"]),
        # Class 0 is the background, wherever it stands in the file; the sort keeps the order of the others.
        "classes": dict(sorted(codes.items(), key=lambda item: item[1] != 0)),
        "regions": {name: one if isinstance(one, dict) else {"classes": one} for name, one in unions.items()},
    }
    try:
        return Study.from_dict(words)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def with_description(
    study: Study, content: Mapping[str, Any], path: Path, words_of: Callable[[Study], Mapping[str, Any]]
) -> Study:
    """What `dataset.json` describes under `DESCRIPTION`, where it does; else `study`.

    Args:
        study: that the layout's own words declare.
        content: of the file.
        path: of the file, for messages.
        words_of: the layout's own words for a study; those of the file must be the same.

    Raises:
        InputError: the description is wrong, or the two are not of one study.
    """
    if DESCRIPTION not in content:
        return study
    described = described_study(content[DESCRIPTION], path)
    for key, value in words_of(described).items():
        if content.get(key) != value:
            raise InputError(
                f"{path}: {key!r} is not what {DESCRIPTION!r} says; make them agree, or remove {DESCRIPTION!r}"
            )
    return described
