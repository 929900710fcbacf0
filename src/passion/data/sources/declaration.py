"""Studies that a file beside the images declares: reading that file, and checking what it says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from passion.data.study import Region, Study, check_study
from passion.errors import InputError
from passion.reading import read_json

DATASET = "dataset.json"
"""What nnU-Net and the Medical Segmentation Decathlon declare a study in."""

MODALITY_KEYS = ("channel_names", "modality")
"""What modalities are named under, by nnU-Net and by the Decathlon; the first that is there tells the layout."""


def read_dataset(root: Path, key: str) -> dict[str, Any] | None:
    """The content of `root`/dataset.json if it is of the layout that names the modalities under `key`.

    Args:
        root: folder of the study.
        key: one of `MODALITY_KEYS`.

    Returns:
        None where there is no such file, or where it is of the other layout.

    Raises:
        InputError: not a JSON object, or one with none of the keys.
    """
    path = root / DATASET
    if not path.is_file():
        return None
    dataset = mapping_of(read_json(path), path, "the file")
    known = next((name for name in MODALITY_KEYS if name in dataset), None)
    if known is None:
        raise InputError(f"{path}: names no modality; add them under one of {', '.join(MODALITY_KEYS)}")
    return dataset if known == key else None


def require(content: Mapping[str, Any], path: Path, *keys: str) -> None:
    """Refuse a declaration without one of `keys`.

    Raises:
        InputError: naming the first that is not there.
    """
    for key in keys:
        if key not in content:
            raise InputError(f"{path}: has no key {key!r}; add it")


def mapping_of(value: object, path: Path, what: str) -> dict[str, Any]:
    """A part of a declaration that gives values to names.

    Raises:
        InputError: `value` is something else, or empty.
    """
    if not isinstance(value, dict) or not value or not all(isinstance(name, str) for name in value):
        raise InputError(f"{path}: {what} is {value!r:.80}, expected names with values")
    return value


def numbered_modalities(value: object, path: Path, what: str) -> tuple[str, ...]:
    """Names of the modalities from `{"0": NAME, "1": NAME, ...}`, in the order of the numbers.

    Raises:
        InputError: not of that form, or a number is left out.
    """
    channels = mapping_of(value, path, what)
    expected = [str(number) for number in range(len(channels))]
    if sorted(channels) != sorted(expected):
        raise InputError(f"{path}: {what} numbers {', '.join(channels)}, expected {', '.join(expected)}")
    names = tuple(channels[number] for number in expected)
    if not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: {what} is {channels!r:.80}, expected a name for each number")
    return names


def numbered(modalities: Sequence[str]) -> dict[str, str]:
    """What `numbered_modalities` reads.

    >>> numbered(["CT", "pet"])
    {'0': 'CT', '1': 'pet'}
    """
    return {str(number): name for number, name in enumerate(modalities)}


def classes_of_regions(regions: Mapping[str, list[int]]) -> tuple[dict[str, int], dict[str, Region]]:
    """Classes and regions from the codes that each region unites.

    A class is called as the region that is this class alone; `label CODE` where there is none.

    >>> classes, regions = classes_of_regions({"tumour": [1, 2], "core": [2]})
    >>> classes
    {'background': 0, 'label 1': 1, 'core': 2}
    >>> regions["tumour"].classes
    ('label 1', 'core')
    """
    alone = {codes[0]: name for name, codes in regions.items() if len(codes) == 1}
    names = {code: alone.get(code, f"label {code}") for codes in regions.values() for code in codes}
    classes = {"background": 0, **{names[code]: code for code in sorted(names)}}
    return classes, {name: Region(tuple(names[code] for code in codes)) for name, codes in regions.items()}


def checked(study: Study, path: Path) -> Study:
    """The study itself, if it makes sense.

    Args:
        study: that a file declares.
        path: of the file, for messages.

    Raises:
        InputError: see `check_study`.
    """
    try:
        check_study(study)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return study
