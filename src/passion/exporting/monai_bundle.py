"""A run as a MONAI bundle, which MONAI's own tools load and run."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from monai.utils import IgniteInfo

from passion import __version__
from passion.errors import InputError
from passion.exporting.card import About
from passion.exporting.folder import prepare_export
from passion.exporting.page import page_of
from passion.files import replacing, replacing_folder, write_json, write_text
from passion.models import CHECKSUMS, Card, checksum
from passion.runs import CheckpointName, versions

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
BUNDLE_VERSION = "1.0.0"
WEIGHTS = "models/model.pt"

HOW = """\
With `passion` {version} or newer and `monai[fire,ignite]`:

    $ python -m monai.bundle run --config_file BUNDLE/configs/inference.json --meta_file BUNDLE/configs/metadata.json \\
          --bundle_root BUNDLE --dataset_dir CASES --output_dir OUT

`BUNDLE` is this folder. `CASES` holds a folder for each case, with files named after the modalities: {files}.
A modality without a file is absent. Files of other names are listed:
`--datalist "[{{'case': 'NAME', '{first}': 'FILE'}}]"`. The answers are `OUT/NAME_seg.nii.gz`.

The network takes images (B, {modalities}, *space) and `present` (B, {modalities}), true where a modality is there, and
answers with logits. Without `present` a modality counts as absent whose image is all zero, which is right for a whole
case only: windows should be told."""


def export_bundle(run: Path, out: Path, about: About, checkpoint: CheckpointName = "last") -> Card:
    """Write a run's checkpoint as a MONAI bundle.

    Args:
        run: folder of the run.
        out: the folder to write; must not exist.
        about: what only the user can say.
        checkpoint: "last" or "best".

    Returns:
        The card.

    Raises:
        InputError: see `passion.exporting.folder.prepare_export`.
    """
    card, network = prepare_export(run, out, checkpoint, about)
    _check_names(card["study"], run)
    names = card["study"]["modalities"]
    files = ", ".join(f"`{name}.nii.gz`" for name in names)
    how = HOW.format(version=__version__, modalities=len(names), first=names[0], files=files)
    # Into memory, since a file that is saved by name has that name in it, and so never the same bytes twice.
    weights = BytesIO()
    torch.save({f"segmenter.{name}": value for name, value in network.state_dict().items()}, weights)
    card = {**card, CHECKSUMS: {WEIGHTS: checksum(weights.getvalue())}}
    with replacing_folder(out) as beside:
        with replacing(beside / WEIGHTS) as file:
            file.write_bytes(weights.getvalue())
        write_json(beside / "configs" / "inference.json", inference_config(card))
        write_json(beside / "configs" / "metadata.json", metadata(card))
        write_text(beside / "docs" / "README.md", page_of(card, how))
    return card


def _check_names(study: Mapping[str, Any], run: Path) -> None:
    """MONAI takes words that begin with these signs for references and for code."""
    words = [study["name"], *study["modalities"], *study["classes"], *study["regions"]]
    odd = [word for word in words if word.startswith(("$", "@", "%", "_")) or "#" in word or "::" in word]
    if odd:
        raise InputError(
            f"{run}: the name {odd[0]!r} would be read as code in a MONAI bundle; export without --format monai"
        )


def inference_config(card: Card) -> dict[str, Any]:
    """What MONAI builds and runs, by name."""
    use = card["inference"]
    return {
        "imports": ["$import numpy as np", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/cases'",
        "output_dir": "$@bundle_root + '/out'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "study": card["study"],
        "modalities": "$@study['modalities']",
        "datalist": {"_target_": "passion.bundle.cases_in", "folder": "@dataset_dir", "modalities": "@modalities"},
        "network_def": {"_target_": "passion.bundle.SubsetNetwork", **card["network"]},
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {
                    "_target_": "LoadImaged", "keys": "@modalities", "allow_missing_keys": True,
                    "ensure_channel_first": True,
                },
                {
                    "_target_": "passion.bundle.StackModalitiesd", "study": "@study", "crop": use["crop"],
                    "patch_size": use["patch_size"],
                },
            ],
        },
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": {"_target_": "passion.bundle.SubsetInferer", "blend": use["blend"], "mirror": False},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "passion.bundle.LabelsOnOwnGridd", "study": "@study"},
                {
                    "_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_postfix": "seg",
                    "output_dtype": "$np.int16", "resample": False, "separate_folder": False,
                },
            ],
        },
        "handlers": [
            {
                "_target_": "CheckpointLoader", "load_path": f"$@bundle_root + '/{WEIGHTS}'",
                "load_dict": {"model": "@network"}, "map_location": "@device",
            },
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator", "device": "@device", "val_data_loader": "@dataloader",
            "network": "@network", "inferer": "@inferer", "postprocessing": "@postprocessing",
            "prepare_batch": {"_target_": "PrepareBatchExtraInput", "extra_keys": ["present"]},
            "val_handlers": "@handlers",
        },
        "run": ["$@evaluator.run()"],
    }  # fmt: skip


def metadata(card: Card) -> dict[str, Any]:
    """What the bundle is, by the names of MONAI's schema."""
    study, own = card["study"], versions()
    modalities, classes = list(study["modalities"]), study["classes"]
    channels = {str(index): name for index, name in enumerate(modalities)}
    answers = {str(index): name for index, name in enumerate(classes)}
    window = list(card["inference"]["patch_size"])
    return {
        "schema": SCHEMA,
        "version": BUNDLE_VERSION,
        "changelog": {BUNDLE_VERSION: "exported from a training run"},
        "monai_version": own["monai"],
        "pytorch_version": own["torch"],
        "numpy_version": own["numpy"],
        "required_packages_version": {
            "passion": own["passion"], "nibabel": own["nibabel"], "pytorch-ignite": IgniteInfo.OPT_IMPORT_VERSION,
        },
        "name": card["title"],
        "task": f"Segmentation of {study['name']} from any subset of {', '.join(modalities)}",
        "description": " ".join([card["title"] + ".", *card["use"]["limits"]]),
        "authors": card["authors"],
        "copyright": f"License of the weights: {card['license']}",
        "data_source": study["name"] + (" (phantoms)" if study["phantom"] else ""),
        "data_type": "nibabel",
        "image_classes": f"one channel a modality: {', '.join(modalities)}; {card['preparation']['normalisation']}",
        "pred_classes": ", ".join(f"{code} {name}" for name, code in classes.items()),
        "eval_metrics": _metrics(card["evaluation"]),
        "intended_use": card["use"]["intended"],
        "references": ["Shi et al., PASSION, ACM Multimedia 2024"],
        "network_data_format": {
            "inputs": {
                "image": _tensor("image", "magnitude", len(modalities), window, "float32", [], channels),
                "present": _tensor("mask", "which modalities are there", len(modalities), [], "bool", [0, 1], channels),
            },
            "outputs": {"pred": _tensor("image", "logits", len(classes), window, "float32", [], answers)},
            "post_processed_outputs": {
                "pred": _tensor(
                    "image", "segmentation", 1, ["*"] * 3, "int16", [min(classes.values()), max(classes.values())],
                    {"0": "label codes"},
                ),
            },
        },
    }  # fmt: skip


def _tensor(
    kind: str,
    meaning: str,
    channels: int,
    shape: Sequence[int | str],
    dtype: str,
    values: Sequence[int],
    names: Mapping[str, str],
) -> dict[str, Any]:
    return {
        "type": kind, "format": meaning, "num_channels": channels, "spatial_shape": shape, "dtype": dtype,
        "value_range": values, "is_patch_data": True, "channel_def": names,
    }  # fmt: skip


def _metrics(evaluation: Sequence[Mapping[str, Any]] | str) -> dict[str, float]:
    """Dice of each region, averaged over the subsets."""
    if isinstance(evaluation, str):
        return {}
    found: dict[str, list[float]] = {}
    for one in evaluation:
        for row in one["scores"]:
            found.setdefault(f"{one['part']} Dice {row['region']}", []).append(row["dice"])
    return {name: sum(values) / len(values) for name, values in found.items()}
