"""From raw files to a page, and everything that is refused on the way."""

import gzip
import itertools
import json
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from command_line import RATES, passion, refused, training_words

from passion import InferenceSettings, Predictor, cli, predict
from passion.data.study import read_run_study
from passion.errors import InputError

FIRST = "BraTS20_Training_001"


def file_of(raw: Path, suffix: str, case: str = FIRST) -> Path:
    return raw / case / f"{case}_{suffix}.nii.gz"


def rewrite(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None) -> None:
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine if affine is None else affine), path)


def listing(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


def test_scores_have_a_row_for_every_case_subset_and_region(trained: Path, study: Path) -> None:
    scores = pd.read_csv(trained / "evaluation/test-last/scores.csv")
    split = pd.read_csv(study / "split.csv")
    cases = split.loc[split["part"] == "test", "case"]
    modalities = read_run_study(trained).modalities
    subsets = ["+".join(s) for n in range(1, 5) for s in itertools.combinations(modalities, n)]
    expected = set(itertools.product(cases, subsets, ["WT", "TC", "ET"]))
    assert set(scores[["case", "subset", "region"]].itertuples(index=False, name=None)) == expected
    assert len(scores) == len(expected)
    assert scores["dice"].between(0, 1).all()
    assert (scores.loc[scores["prediction_empty"] & ~scores["reference_empty"], "hd95_reference"] == 1).all()


def test_history_has_every_term_preference_and_beta_of_every_epoch(trained: Path) -> None:
    history = pd.read_csv(trained / "history.csv", keep_default_na=False)
    for quantity in ("segmentation", "deep_supervision", "pixel", "semantic", "preference", "beta", "total"):
        assert set(history.loc[history["quantity"] == quantity, "epoch"]) == {0, 1}, quantity
    assert set(history.loc[history["quantity"] == "beta", "part"]) == {"t1", "t1c", "flair", "t2"}


def test_prediction_has_the_input_grid_and_the_raw_codes(trained: Path, raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "seg.nii.gz"
    passion("predict", trained, "--t1c", file_of(raw, "t1ce"), "--flair", file_of(raw, "flair"), "-o", out)
    image, result = nibabel.load(file_of(raw, "flair")), nibabel.load(out)
    assert result.shape == image.shape
    np.testing.assert_array_equal(result.affine, image.affine)
    assert set(np.unique(np.asarray(result.dataobj))) <= {0, 1, 2, 4}


def test_python_and_command_line_predict_alike(trained: Path, raw: Path, tmp_path: Path) -> None:
    files = {"t1c": file_of(raw, "t1ce"), "flair": file_of(raw, "flair")}
    out, soft = tmp_path / "seg.nii.gz", tmp_path / "soft.nii.gz"
    words = [word for name, path in files.items() for word in (f"--{name}", path)]
    passion("predict", trained, *words, "-o", out, "--probabilities", soft, "--blend", "gaussian", "--device", "cpu")
    settings = InferenceSettings(blend="gaussian")
    arrays = {name: np.asarray(nibabel.load(path).dataobj) for name, path in files.items()}
    affine = nibabel.load(files["t1c"]).affine
    found = predict(trained, arrays, affine, device="cpu", settings=settings, probabilities=True)
    assert found.modalities == "t1c+flair"
    np.testing.assert_array_equal(found.labels, np.asarray(nibabel.load(out).dataobj))
    probabilities = found.probabilities()
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(found.study.codes[probabilities.argmax(0)], found.labels)
    np.testing.assert_array_equal(np.moveaxis(probabilities, 0, -1), np.asarray(nibabel.load(soft).dataobj))


def test_several_runs_are_averaged_and_mirror_images_too(trained: Path, raw: Path) -> None:
    files = {"t2": file_of(raw, "t2")}
    one = predict(trained, files, device="cpu", probabilities=True)
    twice = predict([trained, trained], files, device="cpu", probabilities=True)
    np.testing.assert_allclose(twice.in_box, one.in_box, atol=1e-6)
    predictor = Predictor.load(trained, device="cpu", settings=InferenceSettings(mirror=True))
    mirrored = predictor.segment(files, probabilities=True)
    image = np.asarray(nibabel.load(files["t2"]).dataobj)
    turned = predictor.segment({"t2": image[::-1]}, probabilities=True)
    np.testing.assert_allclose(turned.probabilities()[:, ::-1], mirrored.probabilities(), atol=1e-4)
    assert np.abs(mirrored.in_box - one.in_box).max() > 1e-3


def test_predict_in_python_refuses(trained: Path, raw: Path) -> None:
    volume = np.arange(27.0).reshape(3, 3, 3)
    for images, message in (({}, "at least one"), ({"pet": volume}, "'pet'"), ({"t1": volume[0]}, "3D array")):
        with pytest.raises(InputError, match=message):
            predict(trained, images, device="cpu")


def test_scores_have_surface_and_lesion_wise_dice(trained: Path) -> None:
    scores = pd.read_csv(trained / "evaluation/test-last/scores.csv")
    assert list(scores)[3:9] == ["dice", "hd95", "hd95_pooled", "hd95_reference", "surface_dice", "lesion_dice"]
    for column in ("surface_dice", "lesion_dice"):
        assert scores[column].between(0, 1).all()
    settings = json.loads((trained / "evaluation/test-last/settings.json").read_text())
    assert settings["surface_tolerance"] == 1.0


def test_a_study_that_a_run_does_not_find_can_be_named(
    trained: Path, study: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    settings = run / "config.yaml"
    settings.write_text(settings.read_text().replace(str(study), "study"))
    monkeypatch.chdir(tmp_path)
    line = refused(capsys, "evaluate", "run", "--device", "cpu")
    assert line.endswith("run: was trained on study/prepared, which is not here; say where it is with --prepared")
    passion("evaluate", "run", "--device", "cpu", "--prepared", study / "prepared")


def test_the_tolerance_is_a_distance(trained: Path, tmp_path: Path, capsys) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    before = pd.read_csv(run / "evaluation/test-last/scores.csv")
    assert "tolerance -1.0" in refused(capsys, "evaluate", run, "--device", "cpu", "--tolerance", -1)
    pd.testing.assert_frame_equal(pd.read_csv(run / "evaluation/test-last/scores.csv"), before)
    passion("evaluate", run, "--device", "cpu", "--tolerance", 200)
    after = pd.read_csv(run / "evaluation/test-last/scores.csv")
    pd.testing.assert_frame_equal(after.drop(columns="surface_dice"), before.drop(columns="surface_dice"))
    both = ~(after["prediction_empty"] | after["reference_empty"])
    assert (after.loc[both, "surface_dice"] == 1).all()
    text = capsys.readouterr().out
    assert text.count("Weighted") == 3
    assert "by the share of training cases" in text


def test_a_run_is_compared_with_another(trained: Path, tmp_path: Path, capsys) -> None:
    other = shutil.copytree(trained, tmp_path / "other")
    config = (other / "config.yaml").read_text()
    (other / "config.yaml").write_text(config.replace("epochs: 2", "epochs: 3"))
    scores = pd.read_csv(other / "evaluation/test-last/scores.csv")
    better = scores.assign(dice=(scores["dice"] + 0.05).clip(upper=1))
    better.to_csv(other / "evaluation/test-last/scores.csv", index=False)
    passion("compare", trained, other, "-o", tmp_path / "differences.csv")
    text = capsys.readouterr().out
    assert "Dice [%]: difference to run" in text
    assert "HD95 pooled [mm]: difference to run" in text
    written = pd.read_csv(tmp_path / "differences.csv").set_index(["metric", "region"])
    expected = 100 * (better["dice"] - scores["dice"]).mean()
    assert written.loc[("dice", "Avg."), "difference"] == pytest.approx(expected)
    assert written.loc[("hd95_pooled", "Avg."), "difference"] == 0
    assert "shares no seed and case" in refused(capsys, "compare", trained)
    assert "--metric" in refused(capsys, "compare", trained, other, "--metric", "iou").replace('"metric"', "--metric")


def test_report_is_one_page(trained: Path, tmp_path: Path) -> None:
    passion("report", trained, "-o", tmp_path / "report.html")
    assert "flair" in (tmp_path / "report.html").read_text()


def test_really_absent_files_are_normal_in_every_step(raw: Path, tmp_path: Path) -> None:
    incomplete = tmp_path / "raw"
    shutil.copytree(raw, incomplete)
    for number, (first, second) in enumerate(itertools.combinations(["t1", "t1ce", "flair", "t2"], 2), start=1):
        case = f"BraTS20_Training_{number:03d}"
        file_of(incomplete, first, case).unlink()
        file_of(incomplete, second, case).unlink()
    passion("inspect", incomplete, "--workers", 0)
    passion("split", incomplete, "-o", tmp_path / "split.csv")
    passion("prepare", incomplete, tmp_path / "prepared", "--workers", 0)
    words = list(training_words(tmp_path, tmp_path / "run", "--training.epochs", 1))
    position = words.index("--data.presence")
    passion(*words[:position], *words[position + 2 :])
    passion("evaluate", tmp_path / "run", "--device", "cpu")
    passion("report", tmp_path / "run", "-o", tmp_path / "report.html")


def test_inspect_finds_every_problem(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "raw"
    shutil.copytree(raw, broken)
    file_of(broken, "t1").write_bytes(file_of(raw, "t1").read_bytes()[:3000])
    voxels = np.asarray(nibabel.load(file_of(raw, "t2")).dataobj, dtype=np.float32)
    voxels[3, 3, 3] = np.nan
    rewrite(file_of(broken, "t2"), voxels)
    assert cli.run(["inspect", str(broken), "--json", "--workers", "0"]) == 2
    found = json.loads(capsys.readouterr().out)
    problems = [problem for case in found["cases"] for problem in case["problems"]]
    assert len(problems) == 2
    assert found["presence_counts"] == dict.fromkeys(["t1", "t1c", "flair", "t2"], 8)


def corrupt(raw: Path) -> str:
    file_of(raw, "t1").write_bytes(gzip.compress(b"no image"))
    return f"{FIRST}_t1.nii.gz: cannot be read"


def truncated(raw: Path) -> str:
    path = file_of(raw, "t1ce")
    path.write_bytes(path.read_bytes()[:2000])
    return f"{FIRST}_t1ce.nii.gz: cannot be read"


def unknown_label(raw: Path) -> str:
    voxels = np.asarray(nibabel.load(file_of(raw, "seg")).dataobj).copy()
    voxels[5, 5, 5] = 3
    rewrite(file_of(raw, "seg"), voxels)
    return "label 3 is not one of"


def other_shape(raw: Path) -> str:
    voxels = np.asarray(nibabel.load(file_of(raw, "flair")).dataobj)
    rewrite(file_of(raw, "flair"), voxels[:-1])
    return "differs in shape (39, 40, 40) instead of (40, 40, 40); bring all to one grid with --resample t1"


def other_affine(raw: Path) -> str:
    image = nibabel.load(file_of(raw, "flair"))
    rewrite(file_of(raw, "flair"), np.asarray(image.dataobj), image.affine + np.eye(4))
    return "is on another grid than t1, BraTS20_Training_001_t1.nii.gz: differs in "


def not_a_number(raw: Path) -> str:
    voxels = np.asarray(nibabel.load(file_of(raw, "t2")).dataobj, dtype=np.float32)
    voxels[0, 0, 0] = np.nan
    rewrite(file_of(raw, "t2"), voxels)
    return "1 voxels are NaN"


def constant(raw: Path) -> str:
    rewrite(file_of(raw, "t2"), np.full((40, 40, 40), 7, dtype=np.int16))
    return "every voxel is 7"


def no_modality(raw: Path) -> str:
    for suffix in ("t1", "t1ce", "flair", "t2"):
        file_of(raw, suffix).unlink()
    return "has no modality at all"


def modality_of_nobody(raw: Path) -> str:
    for path in raw.glob("*/*_t2.nii.gz"):
        path.unlink()
    return "modality 't2' is in none of the 8 cases"


@pytest.mark.parametrize(
    "spoil",
    [
        corrupt,
        truncated,
        unknown_label,
        other_shape,
        other_affine,
        not_a_number,
        constant,
        no_modality,
        modality_of_nobody,
    ],
)
def test_prepare_refuses_and_writes_nothing(
    spoil, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "raw"
    shutil.copytree(raw, broken)
    expected = spoil(broken)
    before = listing(tmp_path)
    assert expected in refused(capsys, "prepare", broken, tmp_path / "prepared", "--workers", 0)
    assert listing(tmp_path) == before
    assert cli.run(["inspect", str(broken), "--workers", "0"]) == 2


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ("t1=1,t1c=0.4,flair=0.6,t2=0.8", "outside [0, 1)"),
        ("t1=-0.1,t1c=0.4,flair=0.6,t2=0.8", "outside [0, 1)"),
        ("t1=x,t1c=0.4,flair=0.6,t2=0.8", "is not of the form"),
        ("t1=0.2", "give one rate for each"),
        ("t1=0.2,t1=0.3,t1c=0.4,flair=0.6,t2=0.8", "t1 is there twice"),
        ("t1=0.9,t1c=0.9,flair=0.9,t2=0.9", "under 1"),
    ],
)
def test_wrong_rates_are_refused(rates: str, said: str, study: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "presence.csv"
    words = ("draw-missing", study / "raw", "--split", study / "split.csv", "--rates", rates, "-o", out)
    assert said in refused(capsys, *words)
    assert not out.exists()


def test_a_run_folder_that_exists_is_refused(study: Path, trained: Path, capsys) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    assert "exists" in refused(capsys, *training_words(study, trained))
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data.patch_size", "40"], "multiple of 16"),
        (["--objective.gamma", "1"], "--objective.gamma"),
        (["--network.name", "unet"], "network 'unet' is unknown"),
        (["--objective.name", "magic"], "objective 'magic' is unknown"),
        (["--training.epochs", "many"], "training.epochs"),
        (["--training.epochs", "0"], "must be at least 1"),
        (["--data.setting", "pdt"], "has no missing modality"),
        (["--data.split", "nowhere.csv"], "nowhere.csv"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_train_refuses_and_writes_nothing(words: list[str], said: str, study: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    assert said in refused(capsys, *training_words(study, out, *words))
    assert not out.exists()


def test_predict_refuses(trained: Path, raw: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "seg.nii.gz"
    assert "give at least one modality" in refused(capsys, "predict", trained, "-o", out)
    assert "no such file" in refused(capsys, "predict", trained, "--t1", tmp_path / "no.nii.gz", "-o", out)
    assert "--pet" in refused(capsys, "predict", trained, "--pet", file_of(raw, "t1"), "-o", out)
    assert "must end in" in refused(capsys, "predict", trained, "--t1", file_of(raw, "t1"), "-o", tmp_path / "a.png")
    assert "is not a run folder" in refused(capsys, "predict", tmp_path, "--t1", file_of(raw, "t1"), "-o", out)
    assert not out.exists()


def test_commands_name_what_is_unknown(tmp_path: Path, capsys) -> None:
    assert "'fly' is not a command" in refused(capsys, "fly")
    assert "--colour" in refused(capsys, "inspect", tmp_path, "--colour", "red")
    assert "no such folder" in refused(capsys, "inspect", tmp_path / "nowhere")
    assert "no case of a known layout" in refused(capsys, "inspect", tmp_path)
    assert "is not a run folder" in refused(capsys, "evaluate", tmp_path)


def test_given_lists_make_the_split(raw: Path, tmp_path: Path, capsys) -> None:
    for part, numbers in (("train", (1, 2, 3)), ("val", (4,)), ("test", (5,))):
        (tmp_path / f"{part}.txt").write_text("".join(f"HG_BraTS20_Training_{n:03d}\n" for n in numbers))
    lists = [word for part in ("train", "val", "test") for word in (f"--{part}", tmp_path / f"{part}.txt")]
    passion("split", raw, *lists, "-o", tmp_path / "split.csv")
    assert pd.read_csv(tmp_path / "split.csv")["part"].value_counts().to_dict() == {"train": 3, "val": 1, "test": 1}
    assert "give all three lists" in refused(capsys, "split", raw, *lists[:2], "-o", tmp_path / "other.csv")


def test_folds_test_every_case_once(raw: Path, tmp_path: Path, capsys) -> None:
    passion("split", raw, "--folds", 3, "-o", tmp_path / "split.csv")
    tables = [pd.read_csv(tmp_path / f"split-{fold}.csv") for fold in (1, 2, 3)]
    tested = pd.concat(table[table["part"] == "test"] for table in tables)["case"]
    assert sorted(tested) == sorted(tables[0]["case"])
    for table in tables:
        assert table["case"].is_unique
        assert set(table["part"]) == {"train", "val", "test"}
    assert "leave out --sizes" in refused(capsys, "split", raw, "--folds", 3, "--sizes", "3,1,1", "-o", tmp_path / "x")
    assert "--folds 1" in refused(capsys, "split", raw, "--folds", 1, "-o", tmp_path / "x")
    assert "--folds 99" in refused(capsys, "split", raw, "--folds", 99, "-o", tmp_path / "x")


def test_rates_are_realised_within_half_a_case(study: Path) -> None:
    drawn = pd.read_csv(study / "presence.csv")
    for part in RATES.split(","):
        name, rate = part.split("=")
        assert abs(drawn[name].sum() - len(drawn) * (1 - float(rate))) <= 0.5


def test_waiting_threads_leave_the_cores_to_others(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    passion("inspect", raw, "--workers", 0)
    assert os.environ["GOMP_SPINCOUNT"] == cli.SPINS
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    passion("inspect", raw, "--workers", 0)
    assert os.environ["GOMP_SPINCOUNT"] == "7"
