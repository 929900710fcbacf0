"""The Medical Segmentation Decathlon's layout: `dataset.json` lists 4D files whose last axis holds the modalities."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from passion.data.sources.contract import Source
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
from passion.data.sources.plan import EXTENSIONS, Piece, Plan, ending_of, stem_of, with_ending
from passion.data.study import Case, Channel, Study
from passion.errors import InputError
from passion.reading import check_unique, is_file


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

    @staticmethod
    def plan(study: Study, cases: Sequence[Case]) -> Plan:
        """The modalities of a case are one file, so all must be there; what the words leave out is described."""
        pieces: list[Piece] = []
        training, test = [], []
        for case in cases:
            absent = [modality for modality in study.modalities if modality not in case.images]
            if absent:
                raise InputError(
                    f"case {case.name} has no {absent[0]}, and layout decathlon keeps all modalities of a case in one "
                    "file; --complete leaves such cases out, and other layouts take them"
                )
            parts = tuple(case.images[modality] for modality in study.modalities)
            ending = ending_of(parts[0]) if len(parts) == 1 else EXTENSIONS[0]
            image = Path("imagesTs" if case.target is None else "imagesTr", f"{case.name}{ending}")
            pieces.append(Piece(image, parts))
            if case.target is None:
                test.append(f"./{image}")
            else:
                labels = with_ending(Path("labelsTr", case.name), case.target)
                pieces.append(Piece(labels, (case.target,)))
                training.append({"image": f"./{image}", "label": f"./{labels}"})
        content = {
            "name": study.name,
            "tensorImageSize": "3D" if len(study.modalities) == 1 else "4D",
            **_words(study),
            "numTraining": len(training),
            "numTest": len(test),
            "training": training,
            "test": test,
            DESCRIPTION: description_of(study),
        }
        return Plan(pieces, {DATASET: json.dumps(content, indent=2, ensure_ascii=False) + "\n"})


def _words(study: Study) -> dict[str, Any]:
    return {
        "modality": numbered(study.modalities),
        "labels": {str(code): name for name, code in study.classes.items()},
    }


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
    study = checked(Study(str(content.get("name", root.resolve().name)), modalities, classes, regions), path)
    return with_description(study, content, path, _words)


def _list(content: Mapping[str, Any], key: str, root: Path) -> list[Any]:
    entries = content.get(key, [])
    if not isinstance(entries, list):
        raise InputError(f"{root / DATASET}: {key!r} is {entries!r:.80}, expected a list of cases")
    return entries


def _training_case(entry: object, root: Path, modalities: tuple[str, ...]) -> Case:
    if not isinstance(entry, dict) or not {"image", "label"} <= entry.keys():
        raise InputError(f"{root / DATASET}: 'training' has {entry!r:.80}, expected an 'image' and a 'label'")
    path = _file(entry["image"], root)
    return Case(stem_of(path), _channels(path, modalities), _file(entry["label"], root))


def _test_case(entry: object, root: Path, modalities: tuple[str, ...]) -> Case:
    path = _file(entry, root)
    return Case(stem_of(path), _channels(path, modalities))


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
    if not is_file(path):
        first = path.with_name(f"{stem_of(path)}_0000{ending_of(path)}")
        remedy = (
            f"{first.name} is there, as in nnU-Net 1; convert it with nnUNetv2_convert_old_nnUNet_dataset"
            if is_file(first)
            else "get it, or take it off the list"
        )
        raise InputError(f"{root / DATASET}: lists {entry!r}, and there is no such file; {remedy}")
    return path
