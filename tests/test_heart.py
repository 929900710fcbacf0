"""The whole chain on hearts: slices of another spacing, centre crops, subjects scored in mm on their own grids."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from command_line import passion

from passion.data.store import PreparedStudy

PIXEL_MM = 0.75


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw, prepared and a run that is trained and evaluated."""
    folder = tmp_path_factory.mktemp("heart")
    raw, split, presence = folder / "raw", folder / "split.csv", folder / "presence.csv"
    passion("phantom", "heart", raw, "--cases", 4, "--seed", 0)
    (raw / "train25/myops_training_104_T2.nii.gz").unlink()
    passion("inspect", raw, "--workers", 0)
    passion("split", raw, "--sizes", "3,0,1", "--seed", 1, "-o", split)
    passion("draw-missing", raw, "--split", split, "--rates", "bssfp=0.3,lge=0.3,t2=0.3", "-o", presence)
    passion("prepare", raw, folder / "prepared", "--workers", 0)
    passion("train", "--data.prepared", folder / "prepared", "--data.split", split, "--data.presence", presence,
            "--data.patch_size", 64, "--data.crop", "centre", "--data.workers", 0, "--data.samples_per_epoch", 4,
            "--network.name", "rfnet", "--network.width", 4, "--objective.name", "pmr", "--training.epochs", 1,
            "--training.validate_every", 0, "--training.accelerator", "cpu", "--out", folder / "run")  # fmt: skip
    passion("evaluate", folder / "run", "--device", "cpu")
    return folder


def test_slices_are_brought_to_one_spacing_and_references_are_kept_as_they_are(folder: Path) -> None:
    prepared = PreparedStudy.open(folder / "prepared")
    for name in prepared.cases:
        case = prepared.case(name)
        assert case.grid.spacing_mm[:2] == pytest.approx((PIXEL_MM, PIXEL_MM))
        raw = nibabel.load(folder / f"raw/train25_myops_gd/{name}_gd.nii.gz")
        assert case.own_grid.spacing_mm == pytest.approx(raw.header.get_zooms(), rel=1e-4)
        np.testing.assert_array_equal(prepared.study.codes[case.read_reference()], np.asarray(raw.dataobj))


def test_every_region_and_subset_is_scored_by_subject(folder: Path) -> None:
    scores = pd.read_csv(folder / "run/evaluation/test-last/scores.csv")
    assert set(scores["region"]) == {"LVB", "RVB", "MYO", "edema", "scar"}
    assert len(scores) == scores["subset"].nunique() * 5
    assert scores["subset"].nunique() in (3, 7)


def test_predictions_are_on_the_grid_of_the_files_and_empty_outside_the_centre(folder: Path) -> None:
    image = folder / "raw/train25/myops_training_101_DE.nii.gz"
    passion("predict", folder / "run", "--lge", image, "-o", folder / "seg.nii.gz", "--device", "cpu")
    result, source = nibabel.load(folder / "seg.nii.gz"), nibabel.load(image)
    assert result.shape == source.shape
    np.testing.assert_array_equal(result.affine, source.affine)
    found = np.argwhere(np.asarray(result.dataobj) > 0)
    extent_mm = (found.max(0) - found.min(0) + 1)[:2] * source.header.get_zooms()[:2]
    assert (extent_mm <= 64 * PIXEL_MM + 1).all()


def test_the_page_shows_hearts(folder: Path) -> None:
    passion("report", folder / "run", "-o", folder / "report.html")
    assert "lge" in (folder / "report.html").read_text()
