"""nnU-Net's raw layout: `dataset.json`, `imagesTr/CASE_0000.nii.gz`, `labelsTr/CASE.nii.gz`, `imagesTs/`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from passion.data.sources.contract import EXTENSIONS, Source
from passion.data.sources.declaration import (
    DATASET,
    checked,
    classes_of_regions,
    mapping_of,
    numbered_modalities,
    read_dataset,
    require,
)
from passion.data.split import check_unique
from passion.data.study import Case, Study
from passion.errors import InputError


class NNUNet(Source):
    """See `Source`."""

    LAYOUT = "nnU-Net raw, dataset.json, imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz"

    @staticmethod
    def read(root: Path) -> tuple[Study, list[Case]] | None:
        """Every name in imagesTr, labelsTr and imagesTs is a case; those of imagesTs have no target.

        A modality is absent where a case has no file of its number. Where labels are given as regions, lists of codes,
        each code is a class and each list a region; `regions_class_order` is nnU-Net's own and not needed.
        """
        content = read_dataset(root, "channel_names")
        if content is None:
            return None
        path = root / DATASET
        require(content, path, "labels", "file_ending")
        study = _study(content, root)
        ending = content["file_ending"]
        if ending not in EXTENSIONS:
            raise InputError(
                f"{path}: file_ending is {ending!r}, expected {' or '.join(EXTENSIONS)}; convert the files"
            )
        training = _images(root / "imagesTr", ending, study)
        labels = {file.name.removesuffix(ending): file for file in _files(root / "labelsTr", ending)}
        cases = [Case(name, training.get(name, {}), labels.get(name)) for name in training.keys() | labels.keys()]
        cases += [Case(name, images) for name, images in _images(root / "imagesTs", ending, study).items()]
        if not cases:
            raise InputError(
                f"{root / 'imagesTr'}: holds no file that ends in _0000{ending}; are the images elsewhere?"
            )
        check_unique([case.name for case in cases], root)
        return study, sorted(cases, key=lambda case: case.name)


def _study(content: Mapping[str, Any], root: Path) -> Study:
    path = root / DATASET
    given = mapping_of(content["labels"], path, "labels")
    labels = {name: codes if isinstance(codes, list) else [codes] for name, codes in given.items()}
    if "ignore" in labels:
        raise InputError(f"{path}: labels has 'ignore', voxels without a known label; only whole label maps are read")
    if labels.pop("background", None) != [0]:
        raise InputError(f"{path}: labels has no 'background' of code 0; add it")
    for name, codes in labels.items():
        if not codes or not all(type(code) is int and code > 0 for code in codes):
            raise InputError(f"{path}: label {name!r} is {given[name]!r}, expected codes of 1 or more")
    _check_distinct(labels, path)
    classes, regions = classes_of_regions(labels)
    modalities = numbered_modalities(content["channel_names"], path, "channel_names")
    return checked(Study(str(content.get("name", root.resolve().name)), modalities, classes, regions), path)


def _check_distinct(labels: Mapping[str, list[int]], path: Path) -> None:
    first: dict[tuple[int, ...], str] = {}
    for name, codes in labels.items():
        other = first.setdefault(tuple(sorted(codes)), name)
        if other != name:
            raise InputError(f"{path}: labels {other!r} and {name!r} have the same codes, {codes}; correct one")


def _images(folder: Path, ending: str, study: Study) -> dict[str, dict[str, Path]]:
    """The files of each case, by modality."""
    found: dict[str, dict[str, Path]] = {}
    for file in _files(folder, ending):
        name, mark, number = file.name.removesuffix(ending).rpartition("_")
        if not (name and mark and len(number) == 4 and number.isdecimal() and int(number) < len(study.modalities)):
            last = len(study.modalities) - 1
            raise InputError(
                f"{file}: expected a name that ends in the number of a modality, _0000 to _{last:04}; rename or move it"
            )
        found.setdefault(name, {})[study.modalities[int(number)]] = file
    return found


def _files(folder: Path, ending: str) -> Iterable[Path]:
    return sorted(file for file in folder.glob(f"*{ending}") if not file.name.startswith("."))
