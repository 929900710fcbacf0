"""What can be wrong with files, each as somebody would meet it: what is there, and the command that meets it.

docs/wrong-input.md has a row for each; tests/test_wrong_input.py compares.
"""

import gzip
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import torch
from command_line import training_words

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
SHAPE = (6, 7, 8)
SUFFIXES = ("t1", "t1ce", "flair", "t2")

Words = Sequence[object]


@dataclass(frozen=True)
class Wrong:
    """An input, and a command that is given it.

    Args:
        title: of its row.
        spoil: makes `raw`, which is a study of three cases, or `study` and `run`, or what else is there, wrong.
        words: the command.
        code: its exit code.
        needs: what is there: "raw", "study" (also prepared, with split and presence), "run" (also trained).
    """

    title: str
    spoil: Callable[[], object]
    words: Words = ("prepare", "raw", "prepared", "--workers", 0)
    code: int = 2
    needs: str = "raw"


def write_raw(root: Path) -> None:
    """Three cases of random voxels in BraTS2020's layout."""
    random = np.random.default_rng(0)
    for name in "abc":
        for suffix in SUFFIXES:
            save(root / name / f"{name}_{suffix}.nii.gz", random.normal(size=SHAPE).astype(np.float32))
        save(root / name / f"{name}_seg.nii.gz", random.choice([0, 1, 2, 4], size=SHAPE).astype(np.uint8))


def save(path: Path, voxels: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)


def voxels_of(name: str) -> np.ndarray:
    return np.asarray(nibabel.load(image(name)).dataobj)


def image(name: str) -> Path:
    return Path(f"raw/{name[0]}/{name}.nii.gz")


def replaced(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[], None]:
    """Other voxels."""
    return lambda: save(image(name), change(voxels_of(name)))


def with_value(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(voxels: np.ndarray) -> np.ndarray:
        changed = voxels.astype(np.float32)
        changed[1, 2, 3] = value
        return changed

    return change


def rewritten(name: str, change: Callable[[bytes], bytes]) -> Callable[[], None]:
    """Other bytes of the compressed file."""
    return lambda: image(name).write_bytes(change(image(name).read_bytes())) and None


def with_header(name: str, **fields: object) -> Callable[[], None]:
    """Other fields of the header."""

    def spoil() -> None:
        content = gzip.decompress(image(name).read_bytes())
        header = nibabel.Nifti1Header(content[:348], check=False)
        for field, value in fields.items():
            header[field] = value
        image(name).write_bytes(gzip.compress(header.binaryblock + content[348:]))

    return spoil


def flipped(content: bytes, place: int | None = None) -> bytes:
    """One byte changed, in the middle or at a place."""
    place = len(content) // 2 if place is None else place % len(content)
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


def other_checksum(content: bytes) -> bytes:
    """A gzip file in whose last eight bytes, where the checksum stands, something has changed."""
    return flipped(content, -6)


def bomb() -> None:
    """A small file that unpacks to 64 MiB, which its header does not say."""
    content = gzip.decompress(image("a_t1").read_bytes())
    with gzip.open(image("a_t1"), "wb", 6) as file:
        file.write(content)
        for _ in range(64):
            file.write(bytes(2**20))


def twice_in_table(path: str) -> Callable[[], None]:
    """The last row of a CSV file stands there twice."""
    return lambda: (
        Path(path).write_text(Path(path).read_text() + Path(path).read_text().splitlines()[-1] + "\n") and None
    )


def manifest_with_twice() -> None:
    Path("raw.csv").write_text("case,t1,label\na,raw/a/a_t1.nii.gz,\na,raw/a/a_t1.nii.gz,\n")
    Path("raw.yaml").write_text(
        "name: X\nmodalities: [t1]\nclasses: {background: 0, core: 1}\nregions: {all: [core]}\n"
    )


def slice_as_case() -> None:
    shutil.copytree("raw/a", "raw/a_slice_3")
    for path in list(Path("raw/a_slice_3").iterdir()):
        path.rename(path.with_name(path.name.replace("a_", "a_slice_3_", 1)))


def case_elsewhere() -> None:
    entry = {"images": ["../raw/a/a_t1.nii.gz"], "label": "../raw/a/a_seg.nii.gz"}
    content = {"channel_names": {"0": "t1"}, "labels": {"background": 0, "core": 1}, "file_ending": ".nii.gz"}
    Path("nnunet").mkdir()
    Path("nnunet/dataset.json").write_text(json.dumps({**content, "dataset": {"../../escaped": entry}}))


def yaml_with_object() -> None:
    manifest_with_twice()
    Path("raw.yaml").write_text("name: !!python/object/apply:os.mkdir [trapped]\n")


def yaml_with_alias() -> None:
    manifest_with_twice()
    Path("raw.yaml").write_text("name: &a x\nmodalities: [*a]\n")


def without_images() -> None:
    for suffix in SUFFIXES:
        image(f"a_{suffix}").unlink()


def without_t2() -> None:
    for name in "abc":
        image(f"{name}_t2").unlink()


def both_endings() -> None:
    save(image("a_t1").with_suffix(""), voxels_of("a_t1"))


def misnamed() -> None:
    image("a_t1").rename("raw/a/a_t1.nii")


def dangling() -> None:
    image("a_t1").unlink()
    image("a_t1").symlink_to("nowhere.nii.gz")


def two_broken() -> None:
    rewritten("a_t1", other_checksum)()
    replaced("b_t2", with_value(np.nan))()


FIRST_PREPARED = Path("study/prepared/cases/BraTS20_Training_001")


def part_of_split(part: str) -> str:
    rows = [row.split(",") for row in Path("study/split.csv").read_text().splitlines()]
    return next(name for name, own in rows if own == part)


def cut_array() -> None:
    path = next(Path("study/prepared/cases", part_of_split("train")).glob("t*.npy"))
    os.truncate(path, path.stat().st_size - 1000)


def flip_array() -> None:
    path = Path("study/prepared/cases", part_of_split("test"), "flair.npy")
    path.write_bytes(flipped(path.read_bytes()))


def with_format(path: str, number: object) -> Callable[[], None]:
    return lambda: Path(path).write_text(json.dumps({**json.loads(Path(path).read_text()), "format": number})) and None


class Trap:
    """Makes a folder when it is unpickled without care."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("trapped",)


def checkpoint_with_code() -> None:
    torch.save({"state_dict": {}, "epoch": 0, "more": Trap()}, "study/run/checkpoints/last.ckpt")


def foreign_network() -> None:
    """A class whose module would leave a trace if it were imported."""
    path = Path("study/run/config.yaml")
    Path("trap_module.py").write_text("import os\nos.mkdir('trapped')\n")
    path.write_text(path.read_text().replace("name: mmformer", "name: trap_module.Network"))


def flip_checkpoint() -> None:
    path = Path("study/run/checkpoints/last.ckpt")
    path.write_bytes(flipped(path.read_bytes()))


def file_in_the_way() -> None:
    Path("file").write_text("")


def nothing() -> None:
    pass


TRAIN = training_words(Path("study"), Path("out"))
EVALUATE = ("evaluate", "study/run", "--prepared", "study/prepared", "--device", "cpu")
PREDICT = ("predict", "study/run", "--t1", "raw/a/a_t1.nii.gz", "--device", "cpu")
INSPECT = ("inspect", "raw", "--workers", 0)

ROWS = (
    Wrong("damaged gzip", rewritten("a_t1", other_checksum)),
    Wrong("gzip that ends early", rewritten("a_t1", lambda content: content[:1000])),
    Wrong("no NIfTI file", rewritten("a_t1", lambda content: gzip.compress(b"no image"))),
    Wrong("several broken files", two_broken),
    Wrong("header that promises more than there is", with_header("a_t1", dim=[3, 6, 7, 90, 1, 1, 1, 1])),
    Wrong("header that promises terabytes", with_header("a_t1", dim=[3, 32767, 32767, 32767, 1, 1, 1, 1])),
    Wrong("gzip bomb", bomb),
    Wrong("4D where 3D is meant", replaced("a_t1", lambda voxels: np.stack([voxels] * 2, axis=-1))),
    Wrong("no voxel along an axis", with_header("a_t1", dim=[3, 6, 0, 8, 1, 1, 1, 1])),
    Wrong("NaN", replaced("a_t1", with_value(np.nan))),
    Wrong("infinity", replaced("a_t1", with_value(np.inf))),
    Wrong("constant volume", replaced("a_t1", lambda voxels: np.full_like(voxels, 7))),
    Wrong("empty volume", replaced("a_t1", np.zeros_like)),
    Wrong("mask in place of an image", replaced("a_t1", lambda voxels: (voxels > 0).astype(np.uint8))),
    Wrong("complex voxels", replaced("a_t1", lambda voxels: voxels.astype(np.complex64))),
    Wrong("affine without inverse", with_header("a_t1", sform_code=1, srow_x=[0, 0, 0, 0])),
    Wrong("compressed file that is called .nii", misnamed),
    Wrong("link that leads nowhere", dangling),
    Wrong("two files for one modality", both_endings),
    Wrong("all modalities of a case absent", without_images),
    Wrong("modality that no case has", without_t2),
    Wrong("label that is no whole number", replaced("a_seg", with_value(0.5))),
    Wrong("label out of range", replaced("a_seg", with_value(3))),
    Wrong("labels on another grid", replaced("a_seg", lambda voxels: voxels[:-1])),
    Wrong("labels of background only", replaced("a_seg", np.zeros_like), INSPECT, 0),
    Wrong("no label file", lambda: image("a_seg").unlink(), INSPECT, 0),
    Wrong("case twice in a manifest", manifest_with_twice, ("inspect", "raw.csv")),
    Wrong("case called as a slice of another", slice_as_case),
    Wrong("case called as a path", case_elsewhere, ("prepare", "nnunet", "prepared", "--workers", 0)),
    Wrong("case twice in a split", twice_in_table("study/split.csv"), TRAIN, needs="study"),
    Wrong("case twice in a presence matrix", twice_in_table("study/presence.csv"), TRAIN, needs="study"),
    Wrong("YAML that builds an object", yaml_with_object, ("inspect", "raw.csv")),
    Wrong("YAML with an alias", yaml_with_alias, ("inspect", "raw.csv")),
    Wrong("prepared array that was cut", cut_array, TRAIN, needs="study"),
    Wrong("prepared array that was damaged", flip_array, EVALUATE, needs="run"),
    Wrong("prepared study of a later version", with_format("study/prepared/study.json", 99), TRAIN, needs="study"),
    Wrong("run of a later version", with_format("study/run/study.json", 99), EVALUATE, needs="run"),
    Wrong("damaged checkpoint", flip_checkpoint, EVALUATE, needs="run"),
    Wrong("checkpoint with code in it", checkpoint_with_code, EVALUATE, needs="run"),
    Wrong("run whose network is anybody's class", foreign_network, (*PREDICT, "-o", "out.nii.gz"), needs="run"),
    Wrong("output under a file", file_in_the_way, ("prepare", "raw", "file/prepared", "--workers", 0)),
    Wrong("output with too long a name", nothing, ("split", "raw", "-o", "x" * 300)),
)


def arrange(row: Wrong, raw: Path, study: Path) -> None:
    """Put what the row needs into the working directory, and spoil it."""
    shutil.copytree(raw, "raw")
    if row.needs != "raw":
        parts = ("prepared", "split.csv", "presence.csv", *(("run",) if row.needs == "run" else ()))
        for part in parts:
            (shutil.copytree if (study / part).is_dir() else shutil.copy)(study / part, _made(Path("study", part)))
    row.spoil()


def _made(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    return path
