"""Damaged and hostile files of every kind that is read, drawn from a seed, and what reads them.

Whatever stands in a file, its reader gives an answer or raises InputError: nothing else, and soon.
"""

import gzip
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import torch
import yaml
from damage import LARGE, SHAPE, Random, bomb, damaged_bytes, damaged_text, nifti_bytes, other_values, wrong_field

from passion.configuration import Configuration, DataSettings
from passion.data.boxes import Box
from passion.data.inspection import inspect_case
from passion.data.nifti import open_nifti
from passion.data.prepare import prepare
from passion.data.sources import read_study
from passion.data.sources.brats import BRATS2020
from passion.data.split import read_split
from passion.data.store import PreparedStudy
from passion.data.study import Case, write_run_study
from passion.data.volumes import read_labels, read_volume
from passion.errors import InputError
from passion.missingness import read_presence
from passion.networks import build
from passion.runs import load_run
from passion.training.settings import TrainingSettings

CASES = tuple(f"case{number}" for number in range(4))
TINY = {"name": "mmformer", "width": 4, "token_dim": 16, "token_hidden": 16, "heads": 2}


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Args:
        write: puts an unharmed example into an empty folder.
        damage: changes it.
        read: does what the library does with it.
    """

    write: Callable[[Path], None]
    damage: Callable[[Path, Random], None]
    read: Callable[[Path], object]


def write_nifti(folder: Path) -> None:
    (folder / "kind").write_text("nifti")


def damage_nifti(folder: Path, random: Random) -> None:
    content = nifti_bytes(random)
    way = random.random()
    if way < 0.5:
        content = wrong_field(content, random)
    elif way < 0.7:
        content = damaged_bytes(content, random)
    elif way < 0.72:
        (folder / "a.nii.gz").write_bytes(bomb(random))
        return
    if random.random() < 0.5:
        (folder / "a.nii").write_bytes(content)
        return
    packed = gzip.compress(content, 1)
    way = random.random()
    if way < 0.4:
        packed = damaged_bytes(packed, random)
    elif way < 0.6:
        half = len(content) // 2
        packed = gzip.compress(content[:half], 1) + gzip.compress(content[half:], 1)
    elif way < 0.7:
        packed += random.bytes(int(random.integers(1, 100)))
    (folder / "a.nii.gz").write_bytes(packed)


def read_nifti(folder: Path) -> object:
    path = next(folder.glob("a.nii*"))
    with open_nifti(path) as file:
        file.read_last(file.shape[-1] - 1)
    inspect_case(Case("a", {"t1": path}, path), BRATS2020)
    volume = read_volume(path)
    if volume.voxels.max() < 5:
        read_labels(path, BRATS2020)
    return volume


def damage_one(*names: str) -> Callable[[Path, Random], None]:
    """Damages one of the named files, as text or as values."""

    def damage(folder: Path, random: Random) -> None:
        path = folder / str(random.choice(names))
        text = path.read_text(encoding="utf-8")
        if path.suffix in (".json", ".yaml") and random.random() < 0.6:
            value = other_values(yaml.safe_load(text), random)
            path.write_text(json.dumps(value) if path.suffix == ".json" else yaml.safe_dump(value), encoding="utf-8")
        else:
            path.write_bytes(damaged_text(text, random))

    return damage


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def write_nnunet(folder: Path) -> None:
    content = {
        "channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "core": 1, "all": [1, 2]},
        "file_ending": ".nii.gz", "regions_class_order": [1, 2],
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(content, indent=1))
    touch(folder, "imagesTr/a_0000.nii.gz", "imagesTr/b_0001.nii.gz", "labelsTr/a.nii.gz")


def write_decathlon(folder: Path) -> None:
    content = {
        "modality": {"0": "T1", "1": "T2"}, "labels": {"0": "background", "1": "core"},
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}], "test": ["./imagesTs/b.nii.gz"],
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(content, indent=1))
    touch(folder, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTs/b.nii.gz")


def write_manifest(folder: Path) -> None:
    (folder / "study.csv").write_text("case,dwi,adc,label\na,a.nii.gz,b.nii.gz,c.nii.gz\nb,,d.nii.gz,\n")
    (folder / "study.yaml").write_text(
        "name: Strokes\nmodalities: [dwi, adc]\nclasses: {background: 0, core: 1}\nregions:\n  all: [core]\n"
        "spacing_mm: [1, 1, null]\n"
    )
    touch(folder, "a.nii.gz", "b.nii.gz", "c.nii.gz", "d.nii.gz")


def write_split(folder: Path) -> None:
    rows = "".join(f"{name},{part}\n" for name, part in zip(CASES, ("train", "train", "val", "test"), strict=True))
    (folder / "split.csv").write_text("case,part\n" + rows)


def write_presence(folder: Path) -> None:
    (folder / "presence.csv").write_text("case,t1,t1c,flair,t2\ncase0,1,0,1,1\ncase1,1,1,0,1\nHG_case2,0,1,0,0\n")


def write_published(folder: Path) -> None:
    (folder / "presence.csv").write_text(
        'data_name,mask_id,mask,pos_mask_ids\ncase0,10,"[True, True, True, True]",[1]\n'
        'case1,2,"[True, False, True, True]",[2]\n'
    )


# Folders of our own

CONFIGURATION = Configuration(
    data=DataSettings(Path("prepared"), Path("split.csv"), patch_size=32, workers=0),
    training=TrainingSettings(epochs=1),
    network=TINY,
    objective={"name": "passion", "form": "paper"},
)


def write_run(folder: Path) -> None:
    torch.manual_seed(0)
    network = build(**TINY, modalities=4, classes=4, spatial_dims=2, patch_size=32, unimodal_decoder=False)
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    (folder / "config.yaml").write_text(CONFIGURATION.to_yaml())
    write_run_study(folder, BRATS2020.__class__(**{**vars(BRATS2020), "spatial_dims": 2}))
    (folder / "checkpoints").mkdir()
    torch.save({"state_dict": weights, "epoch": 0}, folder / "checkpoints/last.ckpt")


def damage_checkpoint(folder: Path, random: Random) -> None:
    path = folder / "checkpoints/last.ckpt"
    content = path.read_bytes()
    if random.random() < 0.3:
        path.write_bytes(damaged_bytes(content, random))
    elif random.random() < 0.5:
        path.write_bytes(packed_anew(content, random))
    else:
        stored = other_values(torch.load(path, weights_only=True), random)
        torch.save(stored, path)


def packed_anew(content: bytes, random: Random) -> bytes:
    """An archive with valid checksums whose entries are damaged, left out, large or compressed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        chosen = int(random.integers(len(old.infolist())))
        pickled = random.random() < 0.6
        for number, entry in enumerate(old.infolist()):
            part = old.read(entry)
            hit = entry.filename.endswith("data.pkl") if pickled else number == chosen
            if hit and random.random() < 0.1:
                continue
            if hit:
                part = damaged_bytes(part, random) if random.random() < 0.9 else bytes(LARGE)
            new.writestr(entry.filename, part, zipfile.ZIP_DEFLATED if random.random() < 0.05 else zipfile.ZIP_STORED)
    return out.getvalue()


def write_prepared(folder: Path) -> None:
    random = np.random.default_rng(0)
    images = {}
    for modality in ("t1", "flair"):
        images[modality] = folder / f"{modality}.nii"
        nibabel.save(nibabel.Nifti1Image(random.normal(size=SHAPE).astype(np.float32), np.eye(4)), images[modality])
    prepare(BRATS2020, [Case("a", images)], folder / "prepared", 0)


def damage_prepared(folder: Path, random: Random) -> None:
    names = ("study.json", "cases/a/case.json", "cases/a/t1.npy")
    path = folder / "prepared" / names[int(random.integers(3))]
    if path.suffix == ".npy":
        path.write_bytes(damaged_bytes(path.read_bytes(), random))
        if random.random() < 0.5:  # as an earlier version stored it, without digests
            record = folder / "prepared/cases/a/case.json"
            record.write_text(json.dumps({**json.loads(record.read_text()), "arrays": {
                "t1": {"size": None, "sha256": None}, "flair": {"size": None, "sha256": None}}}))  # fmt: skip
    else:
        damage_one(path.name)(path.parent, random)


def read_prepared(folder: Path) -> object:
    study = PreparedStudy.open(folder / "prepared")
    case = study.case("a")
    case.check_sizes()
    return [case.read_image(name, Box.whole(SHAPE)) for name in case.boxes]


KINDS = {
    "nifti": Kind(write_nifti, damage_nifti, read_nifti),
    "nnunet": Kind(write_nnunet, damage_one("dataset.json"), lambda folder: read_study(folder)),
    "decathlon": Kind(write_decathlon, damage_one("dataset.json"), lambda folder: read_study(folder)),
    "manifest": Kind(
        write_manifest, damage_one("study.csv", "study.yaml"), lambda folder: read_study(folder / "study.csv")
    ),
    "split": Kind(write_split, damage_one("split.csv"), lambda folder: read_split(folder / "split.csv", CASES)),
    "presence": Kind(
        write_presence, damage_one("presence.csv"),
        lambda folder: read_presence(folder / "presence.csv", CASES, BRATS2020.modalities),
    ),
    "published presence": Kind(
        write_published, damage_one("presence.csv"),
        lambda folder: read_presence(folder / "presence.csv", CASES, BRATS2020.modalities),
    ),
    "run": Kind(
        write_run, damage_one("config.yaml", "study.json"), lambda folder: load_run(folder)
    ),
    "checkpoint": Kind(write_run, damage_checkpoint, lambda folder: load_run(folder)),
    "prepared": Kind(write_prepared, damage_prepared, read_prepared),
}  # fmt: skip

SHARES = {"nifti": 0.5, "run": 0.08, "checkpoint": 0.06, "prepared": 0.08}
"""How many of the inputs are of a kind; the others share the rest alike."""


def draw_kind(random: Random) -> str:
    """The name of a kind."""
    others = [name for name in KINDS if name not in SHARES]
    rest = (1 - sum(SHARES.values())) / len(others)
    return str(random.choice(list(KINDS), p=[SHARES.get(name, rest) for name in KINDS]))


def write_examples(folder: Path) -> Path:
    """An unharmed example of each kind, in folders of these names."""
    for name, kind in KINDS.items():
        (folder / name).mkdir(parents=True)
        kind.write(folder / name)
    return folder


def draw(seed: int, index: int) -> tuple[str, Random]:
    """The kind of input number `index`, and what damages it."""
    random = np.random.default_rng([seed, index])
    return draw_kind(random), random


def outcome_of(name: str, random: Random, examples: Path, work: Path) -> str:
    """What comes of a damaged input: "answered" or "refused"; every other exception is let through.

    Args:
        name: of its kind.
        random: see `draw`.
        examples: see `write_examples`.
        work: folder to write it to; what was there is removed.
    """
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(examples / name, work)
    KINDS[name].damage(work, random)
    try:
        KINDS[name].read(work)
    except InputError as error:
        lines = str(error).splitlines()
        if not 1 <= len(lines) <= 4:  # a line for each of the files
            raise AssertionError(f"not a line, but {lines}") from error
        return "refused"
    return "answered"
