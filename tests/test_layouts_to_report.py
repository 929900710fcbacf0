"""One study in each layout from raw files to a page."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from command_line import passion
from layouts import COMPLETE

from passion.data.sources import SOURCES, read_study

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
