"""What the docs take for granted: small studies, runs and files, by the names that pages give them."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import yaml
from grid_files import write_grid
from layouts import COMPLETE, ORGANS, STROKES, WrittenCase, draw_cases, write
from test_importing import save as save_published

from passion.data.sources.brats import BRATS2020, SUFFIXES
from passion.data.sources.brats2023 import BRATS2023
from passion.data.sources.myops import MYOPS2020
from passion.networks import network_class

ROOT = Path(__file__).parents[1]
TINY = {
    "phantom brain": "--cases 8 --size 40",
    "phantom heart": "--cases 3",
    "inspect": "--workers 0",
    "convert": "--workers 0",
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
    "BraTS2021_Training_Data": ("brats", BRATS2020),
    "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData": ("brats2023", BRATS2023),
    "BraTS2024-GLI": ("brats2023", BRATS2023),
    "MyoPS2020": ("myops", MYOPS2020),
    "nnUNet_raw/Dataset001_BrainTumour": ("nnunet", replace(ORGANS, modalities=("T1", "T2"))),
    "Task01_BrainTumour": ("decathlon", replace(ORGANS, modalities=("T1", "T2"))),
    "strokes.csv": ("manifest", STROKES),
}
"""Layouts and studies of random voxels."""

NEW_CASES = {
    "cases": ["cases/one/t1c.nii.gz"],
    "new.csv": ["new/anna-t1c.nii.gz", "new/anna-flair.nii.gz", "new/bert-flair.nii.gz"],
    "imagesTs": ["imagesTs/anna_0001.nii.gz"],
}
"""Files of cases that nobody has prepared."""


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
    operands = words[2:3] if words[0] in ("phantom", "convert", "prepare") else []
    return [*operands, *(value for name, value in pairwise(words) if name in ("-o", "--out", "--probabilities"))]


@dataclass(frozen=True)
class Shelf:
    """Puts what a command reads where it looks for it. A run to be resumed was stopped in its first epoch.

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
        resumed = "--resume" in words
        written = [] if resumed else outputs(words)
        for name in written:
            remove(Path(name))
        for option, word in pairwise(["", *words]):
            if word not in written and not Path(word).exists():
                self._put(word, SUFFIXES.get(option.removeprefix("--"), ""))
        if resumed:
            remove(Path(outputs(words)[0]) / "checkpoints")

    def serve_python(self, code: str) -> None:
        """Put the published checkpoints that a block names into the working directory."""
        for name in re.findall(r'"(\S+\.pth)"', code):
            self.serve([name])

    def _put(self, name: str, suffix: str = "") -> None:
        here = Path(name)
        made = {"demo": lambda: shutil.copytree(self.demo, here), "study": lambda: write_grid(here, seeds=1, cases=2)}
        if name in made:
            made[name]()
        elif name in ("raw", "prepared", "split.csv", "presence.csv"):
            here.symlink_to(self.study / name)
        elif name in STUDIES:
            write_study(here)
        elif name.startswith("runs/"):
            self._put_run(here)
        elif name.startswith("configs/"):
            shutil.copytree(ROOT / "configs", "configs", dirs_exist_ok=True)
        elif name.endswith(".nii.gz"):
            suffix = suffix or SUFFIXES.get(name.removesuffix(".nii.gz").rpartition("-")[2], "t1ce")
            here.symlink_to(next(self.study.resolve().glob(f"raw/*/*_{suffix}.nii.gz")))
        elif name in NEW_CASES:
            self._put_new_cases(name)
        elif name.endswith(".pth"):
            save_published(here)

    def _put_new_cases(self, name: str) -> None:
        for file in NEW_CASES[name]:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            self._put(file)
        if name == "new.csv":
            Path(name).write_text(
                "case,t1c,flair\nanna,new/anna-t1c.nii.gz,new/anna-flair.nii.gz\nbert,,new/bert-flair.nii.gz\n"
            )

    def _put_run(self, here: Path) -> None:
        """METHOD or METHOD-SEED: the same scores, under the configuration of such a run."""
        method, _, seed = here.name.partition("-")
        shutil.copytree(self.run, here)
        configuration = yaml.safe_load((here / "config.yaml").read_text())
        configuration["training"]["seed"] = int(seed or 0)
        if method == "baseline":
            configuration["objective"] = {"name": "baseline"}
        (here / "config.yaml").write_text(yaml.safe_dump(configuration, sort_keys=False))


def remove(path: Path) -> None:
    """A file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_study(here: Path) -> None:
    """One of `STUDIES`; a manifest stands beside the folder of its files."""
    layout, study = STUDIES[str(here)]
    cases: dict[str, WrittenCase] = {}
    for seed in range(3):
        cases |= draw_cases(study, np.random.default_rng(seed), complete=layout in COMPLETE)
    folder = write(layout, here.with_suffix("") if layout == "manifest" else here, study, cases)
    for file in folder.glob("manifest.*"):
        text = file.read_text().replace("case_", f"{folder.name}/case_").replace(f"\n{folder.name}/", "\n")
        here.with_suffix(file.suffix).write_text(text)
