"""The Medical Segmentation Decathlon's layout: `dataset.json` lists 4D files whose last axis holds the modalities."""

from collections.abc import Mapping
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
from passion.data.study import Case, Channel, Study
from passion.errors import InputError


class Decathlon(Source):
    """See `Source`."""

    LAYOUT = "Medical Segmentation Decathlon, dataset.json, imagesTr/CASE.nii.gz in 4D, labelsTr/CASE.nii.gz"

    @staticmethod
    def read(root: Path) -> tuple[Study, list[Case]] | None:
        """Every file that dataset.json lists is a case with all modalities; those of "test" have no target."""
        content = read_dataset(root, "modality")
        if content is None:
            return None
        require(content, root / DATASET, "labels", "training")
        study = _study(content, root)
        cases = [_training_case(entry, root, study.modalities) for entry in _list(content, "training", root)]
        cases += [_test_case(entry, root, study.modalities) for entry in _list(content, "test", root)]
        if not cases:
            raise InputError(f"{root / DATASET}: lists no case under 'training'; add some")
        check_unique([case.name for case in cases], root / DATASET)
        return study, sorted(cases, key=lambda case: case.name)


def _study(content: Mapping[str, Any], root: Path) -> Study:
    path = root / DATASET
    labels = mapping_of(content["labels"], path, "labels")
    wrong = [code for code, name in labels.items() if not (code.isdecimal() and isinstance(name, str))]
    if wrong:
        raise InputError(f"{path}: labels has {wrong[0]!r}: {labels[wrong[0]]!r}, expected a code and its class's name")
    names = {int(code): name for code, name in labels.items() if int(code)}
    if "0" not in labels or len(set(names.values())) < len(labels) - 1:
        raise InputError(
            f"{path}: labels is {labels!r:.80}, expected a background '0' and a name of its own for each other code"
        )
    classes, regions = classes_of_regions({name: [code] for code, name in names.items()})
    modalities = numbered_modalities(content["modality"], path, "modality")
    return checked(Study(str(content.get("name", root.resolve().name)), modalities, classes, regions), path)


def _list(content: Mapping[str, Any], key: str, root: Path) -> list[Any]:
    entries = content.get(key, [])
    if not isinstance(entries, list):
        raise InputError(f"{root / DATASET}: {key!r} is {entries!r:.80}, expected a list of cases")
    return entries


def _training_case(entry: object, root: Path, modalities: tuple[str, ...]) -> Case:
    if not isinstance(entry, dict) or not {"image", "label"} <= entry.keys():
        raise InputError(f"{root / DATASET}: 'training' has {entry!r:.80}, expected an 'image' and a 'label'")
    path = _file(entry["image"], root)
    return Case(_name(path), _channels(path, modalities), _file(entry["label"], root))


def _test_case(entry: object, root: Path, modalities: tuple[str, ...]) -> Case:
    path = _file(entry, root)
    return Case(_name(path), _channels(path, modalities))


def _channels(path: Path, modalities: tuple[str, ...]) -> dict[str, Path | Channel]:
    """Where each modality is; the files of a study of one modality are 3D."""
    if len(modalities) == 1:
        return {modalities[0]: path}
    return {modality: Channel(path, index, len(modalities)) for index, modality in enumerate(modalities)}


def _file(entry: object, root: Path) -> Path:
    if not isinstance(entry, str) or not entry.endswith(EXTENSIONS):
        raise InputError(
            f"{root / DATASET}: lists {entry!r:.80}, expected the path of a {' or '.join(EXTENSIONS)} file"
        )
    path = root / entry
    if not path.is_file():
        raise InputError(
            f"{root / DATASET}: lists {entry!r}, and there is no such file; get it, or take it off the list"
        )
    return path


def _name(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")
