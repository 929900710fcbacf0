"""nnU-Net's raw layout: `dataset.json`, `imagesTr/CASE_0000.nii.gz`, `labelsTr/CASE.nii.gz`, `imagesTs/`."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from passion.data.sources.contract import Source, nifti_names
from passion.data.sources.declaration import (
    DATASET,
    checked,
    classes_of_regions,
    mapping_of,
    numbered,
    numbered_modalities,
    read_dataset,
    require,
)
from passion.data.sources.description import DESCRIPTION, description_of, with_description
from passion.data.sources.plan import EXTENSIONS, Piece, Plan, ending_of, recoding
from passion.data.study import Case, Study
from passion.errors import InputError
from passion.reading import check_unique

FOLDERS = (("imagesTr", "labelsTr"), ("imagesTs", "labelsTs"))

LISTED = "dataset"
"""The key under which a `dataset.json` lists files that are elsewhere."""

RESERVED = ("background", "ignore")
"""Labels of these names are special to nnU-Net."""


class NNUNet(Source):
    """See `Source`."""

    LAYOUT = "nnU-Net raw, dataset.json, imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz"

    @staticmethod
    def read(root: Path) -> tuple[Study, list[Case]] | None:
        """Every name in the four folders, or every entry of `LISTED`, is a case.

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
        if LISTED in content:
            listed = mapping_of(content[LISTED], path, LISTED)
            cases = [_listed_case(name, entry, root, study) for name, entry in listed.items()]
        else:
            cases = [case for folders in FOLDERS for case in _cases(root, folders, ending, study)]
        if not cases:
            raise InputError(
                f"{root / 'imagesTr'}: holds no file that ends in _0000{ending}; are the images elsewhere?"
            )
        check_unique([case.name for case in cases], root)
        return study, sorted(cases, key=lambda case: case.name)

    @staticmethod
    def plan(study: Study, cases: Sequence[Case]) -> Plan:
        """What nnU-Net trains on, where cases are complete: labels are numbered, and are regions where that is no loss.

        Classes are numbered as they stand in the study, unless their codes are 0, 1, 2, ... already. What the words of
        nnU-Net leave out is described.
        """
        own = study.codes.tolist()
        codes = own if sorted(own) == list(range(len(own))) else list(range(len(own)))
        written = replace(study, classes=dict(zip(study.classes, codes, strict=True)))
        endings = {ending_of(image) for case in cases for image in (*case.images.values(), *_target(case))}
        ending = endings.pop() if len(endings) == 1 else EXTENSIONS[0]
        pieces: list[Piece] = []
        for case in cases:
            images, labels = FOLDERS[case.target is None]
            for number, modality in enumerate(study.modalities):
                if modality in case.images:
                    pieces.append(Piece(Path(images, f"{case.name}_{number:04}{ending}"), (case.images[modality],)))
            if case.target is not None:
                pieces.append(Piece(Path(labels, f"{case.name}{ending}"), (case.target,), recoding(study, codes)))
        content = {
            "name": study.name,
            **_words(written),
            "numTraining": sum(case.target is not None for case in cases),
            "file_ending": ending,
            DESCRIPTION: description_of(written),
        }
        incomplete = sum(len(case.images) < len(study.modalities) for case in cases)
        remark = (
            f"cases without every modality: {incomplete} of {len(cases)}; they can be read again, but nnU-Net itself "
            "takes complete cases only, and --complete leaves the others out"
        )
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        return Plan(pieces, {DATASET: text}, [remark] if incomplete else [])


def _target(case: Case) -> tuple[Path, ...]:
    return () if case.target is None else (case.target,)


def _words(study: Study) -> dict[str, Any]:
    """Modalities, and classes or regions as labels; the background is called so, whatever the study calls it."""
    painted = _painted(study)
    if painted is None:
        labels: dict[str, Any] = {name: code for name, code in study.classes.items() if code}
        order = {}
    else:
        unions = {name: [study.classes[part] for part in study.regions[name].classes] for name in painted}
        labels = {name: codes if len(codes) > 1 else codes[0] for name, codes in unions.items()}
        order = {"regions_class_order": list(painted.values())}
    special = [name for name in RESERVED if name in labels]
    if special:
        raise InputError(f"{study.name}: label {special[0]!r} is special to nnU-Net; rename it, in a manifest")
    return {"channel_names": numbered(study.modalities), "labels": {"background": 0, **labels}, **order}


def _painted(study: Study) -> dict[str, int] | None:
    """The code that each region is painted with, in the order of painting, to get the label map back.

    nnU-Net paints one predicted region over the other. From large to small, each must leave one class of its own to be
    seen, and all classes be seen so. None where they are not, and where each region is a class.
    """
    order = sorted(study.regions, key=lambda name: -len(study.regions[name].classes))
    codes = {}
    for position, name in enumerate(order):
        later = {part for other in order[position + 1 :] for part in study.regions[other].classes}
        seen = [study.classes[part] for part in study.regions[name].classes if part not in later]
        if len(seen) != 1:
            return None
        codes[name] = seen[0]
    unions = any(len(region.classes) > 1 for region in study.regions.values())
    return codes if unions and {0, *codes.values()} == set(study.classes.values()) else None


def _study(content: Mapping[str, Any], root: Path) -> Study:
    path = root / DATASET
    given = mapping_of(content["labels"], path, "labels")
    labels = {name: codes if isinstance(codes, list) else [codes] for name, codes in given.items()}
    if "ignore" in labels:
        raise InputError(
            f"{path}: labels has 'ignore', and only whole label maps are read; remove it, and the files that use it"
        )
    if labels.pop("background", None) != [0]:
        raise InputError(f"{path}: labels has no 'background' of code 0; add it")
    for name, codes in labels.items():
        if not codes or not all(type(code) is int and code > 0 for code in codes):
            raise InputError(f"{path}: label {name!r} is {given[name]!r}, expected codes of 1 or more")
    _check_distinct(labels, path)
    classes, regions = classes_of_regions(labels)
    modalities = numbered_modalities(content["channel_names"], path, "channel_names")
    study = checked(Study(str(content.get("name", root.resolve().name)), modalities, classes, regions), path)
    return with_description(study, content, path, _words)


def _check_distinct(labels: Mapping[str, list[int]], path: Path) -> None:
    first: dict[tuple[int, ...], str] = {}
    for name, codes in labels.items():
        other = first.setdefault(tuple(sorted(codes)), name)
        if other != name:
            raise InputError(f"{path}: labels {other!r} and {name!r} have the same codes, {codes}; correct one")


def _listed_case(name: str, entry: object, root: Path, study: Study) -> Case:
    """A case whose files `dataset.json` names, with variables of the environment in their paths."""
    path = root / DATASET
    words = mapping_of(entry, path, f"case {name!r}")
    require(words, path, "images", "label")
    images, label = words["images"], words["label"]
    if not isinstance(images, list) or len(images) != len(study.modalities):
        raise InputError(f"{path}: case {name!r} has images {images!r:.80}, expected a file for each modality")
    files = [root / os.path.expandvars(str(file)) for file in (*images, label)]
    for file in files:
        if not file.is_file():
            raise InputError(
                f"{path}: case {name!r} lists {file}, and there is no such file; get it, or remove the case"
            )
    return Case(name, dict(zip(study.modalities, files, strict=False)), files[-1])


def _cases(root: Path, folders: tuple[str, str], ending: str, study: Study) -> list[Case]:
    images = _images(root / folders[0], ending, study)
    labels = {file.name.removesuffix(ending): file for file in _files(root / folders[1], ending)}
    return [Case(name, images.get(name, {}), labels.get(name)) for name in images.keys() | labels.keys()]


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
    names = nifti_names(folder) if folder.is_dir() else []
    for name in names:
        if not name.endswith(ending):
            raise InputError(
                f"{folder / name}: is not called {ending}, which {DATASET} says is the file_ending; convert or move it"
            )
    return [folder / name for name in names]
