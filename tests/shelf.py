"""What the docs take for granted: small studies, runs and files, by the names that pages give them."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import yaml
from command_line import passion
from layouts import LAYOUTS, SHAPE, TUMOURS, WrittenCase
from test_importing import save as save_published

from passion.networks import network_class

ROOT = Path(__file__).parents[1]
TINY = {
    "phantom brain": "--cases 8 --size 40",
    "phantom heart": "--cases 3",
    "inspect": "--workers 0",
    "prepare": "--workers 0",
    "train": "--data.patch_size 32 --data.workers 0 --training.epochs 1 --training.validate_every 0 "
    "--training.accelerator cpu",
    "evaluate": "--device cpu",
    "predict": "--device cpu",
}
"""Words that make a command small; the last of a repeated option counts."""

SMALLER = {"20,0,5": "2,0,1", "1,1,1": "5,5,5", "1,1,none": "5,5,none"}
"""Sizes of parts, and voxels."""

STUDIES = {
    "BraTS2021_Training_Data": LAYOUTS["brats"],
    "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData": LAYOUTS["brats2023"],
    "MyoPS2020": LAYOUTS["myops"],
    "nnUNet_raw/Dataset001_BrainTumour": replace(LAYOUTS["nnunet"], study=replace(TUMOURS, modalities=("T1", "T2"))),
    "Task01_BrainTumour": LAYOUTS["decathlon"],
    "strokes.csv": LAYOUTS["manifest"],
}
"""Raw studies of random voxels."""


def tiny(words: Sequence[str]) -> list[str]:
    """The words of a command, and those that make it small."""
    name = command_name(words)
    if "--resume" in words:
        return [*words]
    more = TINY.get(name, "").split()
    if name == "train" and "--network.class_path" not in words:
        network = words[words.index("--network.name") + 1] if "--network.name" in words else "mmformer"
        more += [
            word for key, value in network_class(network).TINY.items() for word in (f"--network.{key}", f"{value}")
        ]
    return [*(SMALLER.get(word, word) for word in words), *more]


def command_name(words: Sequence[str]) -> str:
    """phantom has two words."""
    return " ".join(words[: 2 if words[0] == "phantom" else 1])


def outputs(words: Sequence[str]) -> list[str]:
    """What a command writes, in the order of its words."""
    operands = words[2:3] if words[0] in ("phantom", "prepare") else []
    return [*operands, *(value for name, value in pairwise(words) if name in ("-o", "--out", "--probabilities"))]


@dataclass(frozen=True)
class Shelf:
    """Puts what a command reads where it looks for it.

    Args:
        study: folder of raw, prepared, split.csv and presence.csv.
        run: a trained and evaluated run.
        demo: what the demonstration wrote.
    """

    study: Path
    run: Path
    demo: Path

    def serve(self, words: Sequence[str]) -> None:
        """Put into the working directory what the command lacks there, and out of its way what it is to write anew."""
        written = [] if "--resume" in words else outputs(words)
        for name in written:
            remove(Path(name))
        for word in words:
            if word not in written and not Path(word).exists():
                self._put(word, words)

    def _put(self, name: str, words: Sequence[str]) -> None:
        here = Path(name)
        if name == "split.csv" and words[1] in STUDIES:
            passion("split", words[1], "-o", here)
        elif name in ("raw", "prepared", "split.csv", "presence.csv"):
            here.symlink_to(self.study / name)
        elif name in STUDIES:
            write_study(here)
        elif name.startswith("runs/"):
            self._put_run(here)
        elif name == "demo":
            shutil.copytree(self.demo, here)
        elif name.startswith("configs/"):
            shutil.copytree(ROOT / "configs", "configs", dirs_exist_ok=True)
        elif name.endswith(".nii.gz"):
            here.symlink_to(next(self.study.glob("raw/*/*_t1ce.nii.gz")))
        elif name.endswith(".pth"):
            save_published(here)

    def _put_run(self, here: Path) -> None:
        """METHOD or METHOD-SEED: the same scores, under the configuration of such a run."""
        method, _, seed = here.name.partition("-")
        shutil.copytree(self.run, here)
        configuration = yaml.safe_load((here / "config.yaml").read_text())
        configuration["training"]["seed"] = int(seed or 0)
        if method == "baseline":
            configuration["objective"] = {"name": "baseline"}
        (here / "config.yaml").write_text(yaml.safe_dump(configuration))


def remove(path: Path) -> None:
    """A file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_study(here: Path) -> None:
    """One of `STUDIES`: six complete cases."""
    layout, random = STUDIES[str(here)], np.random.default_rng(0)
    cases = {
        f"case{number}": WrittenCase(
            {modality: random.normal(size=SHAPE).astype(np.float32) for modality in layout.study.modalities},
            random.choice(layout.study.codes, size=SHAPE).astype(np.int16),
        )
        for number in range(6)
    }
    folder = here.parent if here.suffix else here
    folder.mkdir(parents=True, exist_ok=True)
    written = layout.write(folder, layout.study, cases)
    if here.suffix:
        written.rename(here)
        written.with_suffix(".yaml").rename(here.with_suffix(".yaml"))
