"""One study in each layout from raw files to a page, and the commands of the page on layouts."""

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import passion
from layouts import COMPLETE, ORGANS, STROKES, WrittenCase, draw_cases, write

from passion.data.sources import SOURCES, read_study
from passion.data.sources.brats import BRATS2020
from passion.data.sources.brats2023 import BRATS2023
from passion.data.sources.myops import MYOPS2020

PAGE = Path(__file__).parents[1] / "docs/layouts.md"
SHOWN = re.findall(r"^    \$ passion (.*)$", PAGE.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def brains(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three phantoms, as BraTS has them."""
    folder = tmp_path_factory.mktemp("layouts") / "brats"
    for case in sorted(raw.glob("BraTS20*"))[:3]:
        shutil.copytree(case, folder / case.name)
    return folder


@pytest.fixture(scope="module")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layouts") / "myops"
    passion("phantom", "heart", folder, "--cases", 3)
    return folder


@pytest.mark.parametrize("layout", SOURCES)
def test_from_raw_files_to_a_page(layout: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A modality of the first case is absent where the layout allows it."""
    phantoms, raw = request.getfixturevalue("hearts" if layout == "myops" else "brains"), tmp_path / "raw"
    passion("convert", phantoms, raw, "--to", layout, "--workers", 0)
    study, cases = read_study(raw)
    if layout not in COMPLETE:
        absent = cases[0].files[study.modalities[0]]
        absent.unlink()
        if layout == "manifest":
            table = raw / "manifest.csv"
            table.write_text(table.read_text().replace(str(absent.relative_to(raw)), ""))
    passion("inspect", raw, "--layout", layout, "--workers", 0)
    passion("split", raw, "--layout", layout, "--sizes", f"{len(cases) - 1},0,1", "-o", tmp_path / "split.csv")
    passion("prepare", raw, tmp_path / "prepared", "--layout", layout, "--workers", 0)
    passion("train", "--data.prepared", tmp_path / "prepared", "--data.split", tmp_path / "split.csv",
            "--data.patch_size", 32, "--data.crop", "centre", "--data.workers", 0, "--data.samples_per_epoch", 1,
            "--network.name", "rfnet", "--network.width", 4, "--training.epochs", 1, "--training.validate_every", 0,
            "--training.accelerator", "cpu", "--out", tmp_path / "run")  # fmt: skip
    passion("evaluate", tmp_path / "run", "--device", "cpu")
    passion("report", tmp_path / "run", "-o", tmp_path / "report.html")
    scores = pd.read_csv(tmp_path / "run/evaluation/test-last/scores.csv")
    assert set(scores["region"]) == set(study.regions)
    page = (tmp_path / "report.html").read_text()
    assert all(name in page for name in (*study.modalities, *study.averaged_regions))


def test_the_commands_of_the_page_on_layouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, in the order of the page, on studies that are called as there."""
    monkeypatch.chdir(tmp_path)
    brains = replace(ORGANS, modalities=("T1", "T2"))
    for layout, folder, study in (
        ("brats", "BraTS2021_Training_Data", BRATS2020),
        ("brats2023", "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData", BRATS2023),
        ("brats2023", "BraTS2024-GLI", BRATS2023),
        ("myops", "MyoPS2020", MYOPS2020),
        ("nnunet", "nnUNet_raw/Dataset001_BrainTumour", brains),
        ("decathlon", "Task01_BrainTumour", brains),
        ("manifest", "strokes", STROKES),
    ):
        cases: dict[str, WrittenCase] = {}
        for seed in range(3):
            cases |= draw_cases(study, np.random.default_rng(seed), complete=layout in COMPLETE)
        write(layout, Path(folder), study, cases)
    for ending in (".csv", ".yaml"):
        text = Path(f"strokes/manifest{ending}").read_text()
        Path(f"strokes{ending}").write_text(text.replace("case_", "strokes/case_").replace("\nstrokes/", "\n"))
    for line in SHOWN:
        words = shlex.split(line)
        passion(*words, *(["--workers", 0] if words[0] in ("inspect", "prepare", "convert") else []))
    assert read_study(Path("gliomas"))[0] == BRATS2020
    assert {len(case.images) for case in read_study(Path("nnUNet_raw/Dataset101_Gliomas"))[1]} == {4}
    assert read_study(Path("nnUNet_raw/Dataset002_BrainTumour"))[0].modalities == brains.modalities
