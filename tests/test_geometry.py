"""Modalities and labels on grids of their own, from NIfTI files to predictions: everything stays at its place in mm."""

import csv
import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import passion, refused
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial.transform import Rotation

from passion import cli
from passion.data.boxes import Box
from passion.data.store import PreparedStudy

CENTRE_MM = np.array([12.0, -7.0, 21.0])
"""Of the head."""

BLOB_MM = np.array([17.0, -11.0, 24.0])
"""Of what is to be found in it, a ball of radius 8 mm."""

TURNED = Rotation.from_euler("xyz", [12, -5, 8], degrees=True).as_matrix()
"""An oblique scan."""

GRIDS = {
    "t1": ("PIR", np.eye(3), (1.5, 1.5, 1.25), (40, 42, 36)),
    "t1c": ("LPS", np.eye(3), (1.0, 1.0, 1.0), (52, 60, 48)),
    "flair": ("LPS", TURNED, (0.9, 0.9, 3.5), (64, 70, 18)),
    "label": ("PIR", np.eye(3), (1.5, 1.5, 1.25), (40, 42, 36)),
}
"""Directions of the axes, a turn, spacing in mm along them, and shape; only the label has that of another, t1."""

CASES = "abcde"

OPTIONS = ("--resample", "t1c", "--spacing", "1.15,1.15,none", "--orientation", "LPS")


def affine_around(axes: str, turn: np.ndarray, spacing_mm: Sequence[float], shape: Sequence[int]) -> np.ndarray:
    """Of a grid in whose middle the head is, but for a bit that keeps voxels of two grids from lying just half way."""
    lps = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.eye(4)
    for column, (code, step) in enumerate(zip(axes, spacing_mm, strict=True)):
        axis, sign = lps[code]
        affine[:3, column] = turn[:, axis] * sign * step
    affine[:3, 3] = CENTRE_MM - affine[:3, :3] @ ((np.array(shape) - 1) / 2 + 0.137)
    return affine


def scene(affine: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """What is at the voxels: intensities of a head, and the labels."""
    places_mm = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    head = (((places_mm - CENTRE_MM) / [18, 22, 17]) ** 2).sum(-1) < 1
    blob = np.linalg.norm(places_mm - BLOB_MM, axis=-1) < 8
    texture = np.sin(places_mm.sum(-1) / 5)
    return (head * (20 + 2 * texture + 80 * blob)).astype(np.float32), blob.astype(np.uint8)


def save(path: Path, name: str) -> None:
    axes, turn, spacing_mm, shape = GRIDS[name]
    affine = affine_around(axes, turn, spacing_mm, shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(scene(affine, shape)[name == "label"], affine), path)


def write_study(root: Path, absent: Sequence[tuple[str, str]] = ()) -> Path:
    """A study whose files are on the grids of `GRIDS`; returns the manifest."""
    rows = []
    for case in CASES:
        row = {"case": case}
        for name in GRIDS:
            if (case, name) not in absent:
                row[name] = f"{case}/{name}.nii.gz"
                save(root / row[name], name)
        rows.append(row)
    with (root / "blobs.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["case", *GRIDS])
        table.writeheader()
        table.writerows(rows)
    study = {
        "name": "Blobs", "modalities": ["t1", "t1c", "flair"], "classes": {"background": 0, "blob": 1},
        "regions": {"blob": ["blob"]},
    }  # fmt: skip
    (root / "blobs.yaml").write_text(yaml.safe_dump(study))
    return root / "blobs.csv"


def reorient(source: Path, out: Path, axes: str) -> None:
    """Permute and flip the voxel axes of a file together with its affine."""
    image = nibabel.load(source)
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(axes))
    out.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image.as_reoriented(turn), out)


def middle_mm(path: Path) -> np.ndarray:
    """Of the voxels that are labelled."""
    image = nibabel.load(path)
    return nibabel.affines.apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj) == 1)[:, :3]).mean(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw, prepared at 1.15 mm on the grid of t1c, and a run of a network that knows the answer."""
    folder = tmp_path_factory.mktemp("geometry")
    raw = write_study(folder / "raw", absent=[("b", "t1c"), ("c", "flair")])
    passion("prepare", raw, folder / "prepared", *OPTIONS, "--workers", 0)
    passion("split", raw, "--sizes", "2,0,3", "-o", folder / "split.csv")
    passion("train", "--data.prepared", folder / "prepared", "--data.split", folder / "split.csv",
            "--data.patch_size", 32, "--data.workers", 0, "--network.class_path", "own_networks.BrightIsForeground",
            "--objective.name", "baseline", "--training.epochs", 1, "--training.validate_every", 0,
            "--training.accelerator", "cpu", "--out", folder / "run")  # fmt: skip
    passion("evaluate", folder / "run", "--device", "cpu")
    return folder


def test_files_on_other_grids_are_refused_with_the_remedy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["prepare", str(folder / "raw/blobs.csv"), str(folder / "no"), "--workers", "0"])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("passion: error: ")]
    assert len(lines) == len(CASES)
    t1, t1c = (nibabel.load(folder / f"raw/a/{name}.nii.gz").affine[:3, 3] for name in ("t1", "t1c"))
    assert lines[0].endswith(
        "a/t1c.nii.gz: is on another grid than t1, t1.nii.gz: differs in shape (52, 60, 48) instead of (40, 42, 36), "
        f"spacing by 0.5 mm, direction by 90 degrees, origin by {np.linalg.norm(t1 - t1c):.3g} mm; "
        "bring all to one grid with --resample t1"
    )
    assert not (folder / "no").exists()


def test_inspect_says_what_would_be_moved(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = folder / "raw/blobs.csv"
    assert cli.run(["inspect", str(raw), "--workers", "0"]) == 2
    assert capsys.readouterr().out.count("problem: ") == 5
    assert cli.run(["inspect", str(raw), "--resample", "t1c", "--json", "--workers", "0"]) == 0
    cases = {case["name"]: case for case in json.loads(capsys.readouterr().out)["cases"]}
    assert cases["a"]["remarks"] == ["case a: t1, flair, target would be brought to the grid of t1c"]
    assert (cases["a"]["shape"], cases["a"]["orientation"]) == ([52, 60, 48], "LPS")
    assert cases["b"]["remarks"] == ["case b: flair would be brought to the grid of t1"]


def test_the_prepared_study_keeps_references_as_they_are_drawn(folder: Path) -> None:
    prepared = PreparedStudy.open(folder / "prepared")
    assert prepared.study.resample == ("t1c",)
    assert prepared.study.spacing_mm == (1.15, 1.15, None)
    for name in prepared.cases:
        case = prepared.case(name)
        assert case.grid.spacing_mm == pytest.approx((1.15, 1.15, 1.0 if name != "b" else 1.5))
        assert case.grid.orientation == "LPS"
        label = nibabel.load(folder / f"raw/{name}/label.nii.gz")
        np.testing.assert_array_equal(case.read_reference(), np.asarray(label.dataobj))
        np.testing.assert_allclose(case.own_grid.affine, label.affine)


def test_preparing_again_keeps_the_cases_and_never_mixes_grids(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = folder / "raw/blobs.csv", folder / "prepared"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.npy")}
    passion("prepare", raw, out, *OPTIONS, "--workers", 0)
    printed = capsys.readouterr().out
    assert "5 cases, 0 of them prepared now" in printed
    assert "cases without t1c: 1; they are on the grid of the first modality that they have" in printed
    for words in (OPTIONS[:2], OPTIONS[2:], OPTIONS[:4], ["--resample", "t1", *OPTIONS[2:]], []):
        line = refused(capsys, "prepare", raw, out, *words, "--workers", 0)
        assert "prepared: was prepared with --resample t1c --orientation LPS --spacing 1.15,1.15,none, not with" in line
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.npy")} == before
    assert not list(folder.glob(".prepared*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--resample", "pet"], "--resample pet: 'pet' is no modality of the study; it has t1, t1c, flair"),
        (["--resample", "t1,t1"], "names 't1' twice"),
        (["--spacing", "1,1"], "give three voxel sizes in mm"),
        (["--spacing", "1,1,0"], "give three voxel sizes in mm"),
        (["--spacing", "1,1,nan"], "give three voxel sizes in mm"),
        (["--spacing", "1 mm,1,1"], "give three voxel sizes in mm"),
        (["--orientation", "LPI2"], "--orientation LPI2: give three sides"),
        (["--orientation", "LRS"], "--orientation LRS: give three sides"),
        (["--resample", "t1c", "--spacing", "0.001,0.001,0.001"], "52000 x 60000 x 48000 voxels; give a coarser"),
        (["--resample", "t1c", "--spacing", "1e-300,1,1"], "e+301 x 60 x 48 voxels; give a coarser --spacing"),
        (["--resample", "t1c", "--spacing", "1e-320,1,1"], "inf x 60 x 48 voxels; give a coarser --spacing"),
        (["--resample", "t1c", "--spacing", "1e308,1,1"], "along X would not fill a voxel"),
        (["--resample", "t1c", "--spacing", "none,none,50"], "its 48 mm along Z would not fill a voxel"),
    ],
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_nonsense_is_refused(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write_study(tmp_path / "raw", absent=list(itertools.product("bcde", ["t1", "t1c", "flair", "label"])))
    table = pd.read_csv(raw)
    table[:1].to_csv(raw, index=False)
    assert said in refused(capsys, "prepare", raw, tmp_path / "prepared", *words, "--workers", 0)
    assert not (tmp_path / "prepared").exists()
    assert not (tmp_path / ".prepared.partial").exists()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_header_of_astronomical_voxels_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write_study(tmp_path / "raw")
    for path in (tmp_path / "raw/a").glob("*.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(np.asarray(nibabel.load(path).dataobj), np.diag([1e18, 1, 1, 1])), path)
    words = ("prepare", raw, tmp_path / "prepared", "--resample", "t1c", "--workers", 0, "--spacing")
    line = refused(capsys, *words, "1,1,1")
    assert "raw/a/t1c.nii.gz: brought to a spacing of 1 x 1 x 1 mm, it would have 5.2e+19 x 60 x 48 voxels;" in line


def test_a_file_that_lies_elsewhere_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write_study(tmp_path / "raw")
    for name, case in (("flair", "a"), ("label", "b")):
        path = tmp_path / f"raw/{case}/{name}.nii.gz"
        image = nibabel.load(path)
        affine = image.affine.copy()
        affine[:3, 3] += 500
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), path)
    out = tmp_path / "prepared"
    with pytest.raises(SystemExit):
        cli.main(["prepare", str(raw), str(out), "--resample", "t1c", "--workers", "0"])
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert [Path(line.split(": ")[2]).parts[-2:] for line in lines] == [("a", "flair.nii.gz"), ("b", "label.nii.gz")]
    assert all("nothing of it is in the field of view" in line for line in lines)
    assert cli.run(["inspect", str(raw), "--resample", "t1c", "--workers", "0"]) == 2
    assert capsys.readouterr().out.count("nothing of it is in the field of view") == 2


def test_labels_out_of_reach_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write_study(tmp_path / "raw")
    image = nibabel.load(tmp_path / "raw/a/label.nii.gz")
    labels = np.zeros(image.shape, dtype=np.uint8)
    labels[20, 20, 18] = labels[0, 0, 0] = 1
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [-10, 0, 0]
    nibabel.save(nibabel.Nifti1Image(labels, affine), tmp_path / "raw/a/label.nii.gz")
    passion("inspect", raw, "--resample", "t1c", "--workers", 0)
    assert "case a: 50.0% of the labels are where t1c has no voxels" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("axes", "names"), [("RAS", GRIDS), ("SPL", GRIDS), ("LAS", ["t1", "flair", "label"])])
def test_voxel_axes_may_be_permuted_and_flipped(axes: str, names: Sequence[str], folder: Path, tmp_path: Path) -> None:
    """A raw file whose axes are turned together with its affine is prepared to the same voxels."""
    raw = write_study(tmp_path / "raw", absent=[("b", "t1c"), ("c", "flair")])
    for name in names:
        for path in (tmp_path / "raw").glob(f"*/{name}.nii.gz"):
            reorient(path, path, axes)
    out = tmp_path / "prepared"
    passion("prepare", raw, out, *OPTIONS, "--workers", 0)
    for path in sorted((folder / "prepared").rglob("*.npy")):
        if path.name != "reference.npy":
            got = np.load(out / path.relative_to(folder / "prepared"))
            np.testing.assert_allclose(got, np.load(path), atol=2e-3, err_msg=str(path))


def test_without_an_orientation_the_reference_keeps_its_own(folder: Path, tmp_path: Path) -> None:
    passion("prepare", folder / "raw/blobs.csv", tmp_path / "prepared", "--resample", "t1c", "--workers", 0)
    prepared = PreparedStudy.open(tmp_path / "prepared")
    for name in prepared.cases:
        reference = nibabel.load(folder / f"raw/{name}/{'t1' if name == 'b' else 't1c'}.nii.gz")
        case = prepared.case(name)
        assert case.grid.shape == reference.shape
        np.testing.assert_allclose(case.grid.affine, reference.affine)
        assert case.resampled == (name != "b")


def test_studies_on_one_grid_are_prepared_as_without_resampling(raw: Path, study: Path, tmp_path: Path) -> None:
    passion("prepare", raw, tmp_path / "prepared", "--resample", "t1c", "--workers", 0)
    for path in (study / "prepared").rglob("*.npy"):
        np.testing.assert_array_equal(
            np.load(tmp_path / "prepared" / path.relative_to(study / "prepared")), np.load(path)
        )


def test_scores_are_those_on_the_label_files_grid(folder: Path) -> None:
    """Against an own Dice: the network's rule applied by hand, looked up at the places in mm of the label's voxels."""
    scores = pd.read_csv(folder / "run/evaluation/test-last/scores.csv")
    assert scores["dice"].min() > 0.9
    prepared = PreparedStudy.open(folder / "prepared")
    for row in scores.itertuples():
        case, label = prepared.case(row.case), nibabel.load(folder / f"raw/{row.case}/label.nii.gz")
        images = [case.read_image(name, Box.whole(case.grid.shape)) for name in row.subset.split("+")]
        bright = (np.mean(images, axis=0) > 2).astype(float)
        blob = RegularGridInterpolator([np.arange(extent) for extent in bright.shape], bright)
        voxels = np.moveaxis(np.indices(label.shape), 0, -1)
        there = nibabel.affines.apply_affine(np.linalg.inv(case.grid.affine) @ label.affine, voxels)
        found = blob(there.clip(0, np.array(case.grid.shape) - 1)) > 0.5
        true = np.asarray(label.dataobj) == 1
        assert 2 * (found & true).sum() / (found.sum() + true.sum()) == pytest.approx(row.dice, abs=0.005)


def test_a_run_is_scored_on_its_spacing_however_files_came_to_one_grid(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, run = folder / "raw/blobs.csv", tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "checkpoints", "study.json", "split.csv"):
        (run / name).symlink_to(folder / "run" / name)
    passion("prepare", raw, tmp_path / "plain", "--resample", "t1c", "--workers", 0)
    line = refused(capsys, "evaluate", run, "--prepared", tmp_path / "plain", "--device", "cpu")
    assert line.endswith(
        "plain: holds Blobs prepared with --resample t1c --spacing none,none,none, the run was trained on Blobs with "
        "--resample t1c --orientation LPS --spacing 1.15,1.15,none; prepare it alike"
    )
    passion("prepare", raw, tmp_path / "other", "--resample", "t1", *OPTIONS[2:4], "--workers", 0)
    passion("evaluate", run, "--prepared", tmp_path / "other", "--device", "cpu")
    assert pd.read_csv(run / "evaluation/test-last/scores.csv")["dice"].min() > 0.9


def test_what_was_begun_with_other_options_is_not_continued(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = tmp_path / ".prepared.partial"
    shutil.copytree(folder / "prepared", begun)
    words = ("prepare", folder / "raw/blobs.csv", tmp_path / "prepared", "--workers", 0)
    assert f"{begun}: was prepared with --resample t1c" in refused(capsys, *words, "--resample", "t1")
    passion(*words, *OPTIONS)
    assert "0 of them prepared now" in capsys.readouterr().out
    assert not begun.exists()


def test_predict_needs_one_grid_or_a_reference(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "seg.nii.gz"
    files = ["--t1", folder / "raw/a/t1.nii.gz", "--flair", folder / "raw/a/flair.nii.gz"]
    for words, reference in (([], "t1"), (["--resample", "flair"], "flair"), (["--resample", "t1c,flair"], "flair")):
        passion("predict", folder / "run", *files, *words, "-o", out, "--device", "cpu")
        assert f"segmented from t1+flair, on the grid of {reference}" in capsys.readouterr().out
        source = nibabel.load(folder / f"raw/a/{reference}.nii.gz")
        assert nibabel.load(out).shape == source.shape
        np.testing.assert_array_equal(nibabel.load(out).affine, source.affine)
        np.testing.assert_allclose(middle_mm(out), BLOB_MM, atol=0.5)
    assert "'pet' is no modality" in refused(capsys, "predict", folder / "run", *files, "--resample", "pet", "-o", out)
    content = json.loads((folder / "run/study.json").read_text())
    plain = folder / "plain"
    plain.mkdir()
    for path in ("config.yaml", "checkpoints"):
        (plain / path).symlink_to(folder / "run" / path)
    (plain / "study.json").write_text(json.dumps({**content, "resample": []}))
    line = refused(capsys, "predict", plain, *files, "-o", folder / "no.nii.gz")
    assert line.endswith("bring all to one grid with --resample t1")
    assert not (folder / "no.nii.gz").exists()


@pytest.mark.parametrize("axes", ["LPS", "RAS", "LAS", "PIR", "ASL"])
@pytest.mark.parametrize("turn", [np.eye(3), TURNED], ids=["straight", "oblique"])
def test_a_prediction_is_where_its_input_is(axes: str, turn: np.ndarray, folder: Path, tmp_path: Path) -> None:
    """Shape, affine, codes and units of the input; the blob at its place in mm; probabilities too."""
    shape, spacing_mm = (50, 44, 30, 1), (0.9, 1.1, 2.5)
    affine = affine_around(axes, turn, spacing_mm, shape[:3])
    image = nibabel.Nifti1Image(scene(affine, shape[:3])[0][..., None], affine)
    image.set_sform(affine, 4)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    image.header["cal_max"] = 100
    nibabel.save(image, tmp_path / "image.nii.gz")
    out, soft = tmp_path / "seg.nii.gz", tmp_path / "soft.nii"
    passion("predict", folder / "run", "--flair", tmp_path / "image.nii.gz", "-o", out, "--probabilities", soft,
            "--device", "cpu")  # fmt: skip
    source = nibabel.load(tmp_path / "image.nii.gz")
    for path, wanted in ((out, shape), (soft, (*shape[:3], 2))):
        found = nibabel.load(path)
        assert found.shape == wanted
        np.testing.assert_array_equal(found.affine, source.affine)
        np.testing.assert_array_equal(found.get_qform(), source.get_qform())
        assert [int(found.header[code]) for code in ("sform_code", "qform_code")] == [4, 1]
        assert found.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_allclose(middle_mm(out), BLOB_MM, atol=0.5)
    labels = np.asarray(nibabel.load(out).dataobj)[..., 0]
    truth = scene(affine, shape[:3])[1]
    assert 2 * (labels * truth).sum() / (labels.sum() + truth.sum()) > 0.85
    np.testing.assert_allclose(np.asarray(nibabel.load(soft).dataobj).sum(-1), 1, atol=1e-5)
