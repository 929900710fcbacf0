"""Broken cases are left out, damaged arrays noticed, older formats read, ordinary files accepted."""

import json
import os
import re
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from command_line import answer, listing, passion, training_words
from wrong_inputs import (
    SHAPE,
    flipped,
    image,
    replaced,
    rewritten,
    save,
    two_broken,
    voxels_of,
    with_format,
    write_raw,
)

from passion.data.boxes import Box
from passion.data.sources import read_study
from passion.data.split import read_split
from passion.data.store import PreparedStudy
from passion.data.study import read_run_study
from passion.errors import InputError


def prepared_images(modality: str = "t1", case: str = "a") -> np.ndarray:
    study = PreparedStudy.open(Path("prepared"))
    return study.case(case).read_image(modality, Box.whole(SHAPE))


def test_broken_cases_are_left_out_when_that_is_asked_for(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_broken()
    passion("prepare", "raw", "prepared", "--workers", 0, "--skip-broken")
    captured = capsys.readouterr()
    notes = [line for line in captured.err.splitlines() if line.startswith("passion: note: left out: raw/")]
    assert [note.split(":")[3].strip() for note in notes] == ["raw/a/a_t1.nii.gz", "raw/b/b_t2.nii.gz"]
    assert captured.out.splitlines()[-1] == "prepared: 1 cases, 1 of them prepared now, 2 left out"
    study = PreparedStudy.open(Path("prepared"))
    assert study.cases == ("c",)
    assert set(study.left_out) == {"a", "b"}
    assert "checksum" in study.left_out["a"]
    write_raw(Path("raw"))
    passion("prepare", "raw", "prepared", "--workers", 0)
    mended = PreparedStudy.open(Path("prepared"))
    assert (mended.cases, mended.left_out) == (("a", "b", "c"), {})


def test_a_case_that_was_good_and_breaks_is_left_out_too(here: Path) -> None:
    passion("prepare", "raw", "prepared", "--workers", 0)
    two_broken()
    passion("prepare", "raw", "prepared", "--workers", 0, "--skip-broken")
    assert PreparedStudy.open(Path("prepared")).cases == ("c",)


def test_where_every_case_is_broken_nothing_is_prepared(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        rewritten(f"{name}_t1", lambda content: content[:500])()
    before = listing()
    lines, code = answer(["prepare", "raw", "prepared", "--workers", "0", "--skip-broken"], capsys)
    assert (len(lines), code) == (3, 2)
    assert listing() == before


def test_training_and_scoring_pass_over_what_was_left_out(
    raw: Path, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """One training case and one for testing are broken; another for testing breaks after it was prepared."""
    monkeypatch.chdir(tmp_path)
    for name in ("split.csv", "presence.csv"):
        shutil.copy(study / name, name)
    shutil.copytree(raw, "raw")
    split = read_split(Path("split.csv"), [path.name for path in raw.iterdir() if path.is_dir()])
    broken = [split["train"][0], split["test"][0]]
    for name in broken:
        path = Path(f"raw/{name}/{name}_flair.nii.gz")
        path.write_bytes(path.read_bytes()[:100])
    empty = split["train"][1]
    labels = Path(f"raw/{empty}/{empty}_seg.nii.gz")
    save(labels, np.zeros((40, 40, 40), dtype=np.uint8), nibabel.load(labels).affine)
    passion("prepare", "raw", "prepared", "--workers", 0, "--skip-broken")
    words = training_words(Path(), Path("run"), "--training.epochs", 1, "--training.validate_every", 0)
    passion(*words)
    assert f"passes over {', '.join(broken)}" in " ".join(capsys.readouterr().err.split())
    assert read_split(Path("run/split.csv"), [*split["train"], *split["val"], *split["test"]])["train"] == tuple(
        name for name in split["train"] if name not in broken
    )
    tested = [*split["test"][1:], split["val"][0]]
    Path("tested.csv").write_text("case,part\n" + "".join(f"{name},test\n" for name in [*tested, broken[1]]))
    damaged = Path(f"prepared/cases/{tested[-1]}/t1.npy")
    damaged.write_bytes(flipped(damaged.read_bytes()))
    scored = ("evaluate", "run", "--split", "tested.csv", "--device", "cpu")
    lines, code = answer([str(word) for word in scored], capsys)
    assert code == 2
    assert f"passion: error: {damaged}: does not hold what was written" in lines[-1]
    if len(tested) > 1:
        passion(*scored, "--skip-broken")
        assert set(pd.read_csv("run/evaluation/test-last/scores.csv")["case"]) == set(tested[:-1])
        settings = json.loads(Path("run/evaluation/test-last/settings.json").read_text())
        assert list(settings["left_out"]) == [tested[-1]]


def test_damage_is_noticed_when_training_reads_it_also_in_a_worker(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("prepared", "split.csv", "presence.csv"):
        (shutil.copytree if (study / name).is_dir() else shutil.copy)(study / name, name)
    for path in Path("prepared").glob("cases/*/*.npy"):
        path.write_bytes(flipped(path.read_bytes()))
    for workers in (0, 1):
        out = Path(f"run{workers}")
        words = [str(word) for word in training_words(Path(), out, "--data.workers", workers)]
        lines, code = answer(words, capsys)
        assert code == 2
        assert len(lines) == 1
        assert re.match(r"passion: error: prepared/cases/\w+/\w+\.npy: does not hold what was written", lines[0])
    passion("prepare", study / "raw", "prepared", "--workers", 0)
    assert PreparedStudy.open(Path("prepared")).check(PreparedStudy.open(Path("prepared")).cases) == {}


def test_a_prepared_study_of_the_format_before_is_read(here: Path) -> None:
    passion("prepare", "raw", "prepared", "--workers", 0)
    expected = prepared_images()
    with_format("prepared/study.json", 3)()
    for path in Path("prepared").glob("cases/*/case.json"):
        content = json.loads(path.read_text())
        content.pop("arrays")
        path.write_text(json.dumps(content))
    np.testing.assert_array_equal(prepared_images(), expected)
    path = Path("prepared/cases/a/t1.npy")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"t1.npy: is no array; repair it"):
        prepared_images()


def test_a_run_of_the_format_before_is_read(trained: Path, tmp_path: Path) -> None:
    content = json.loads((trained / "study.json").read_text())
    assert content.pop("format") == 2
    (tmp_path / "study.json").write_text(json.dumps(content))
    assert read_run_study(tmp_path) == read_run_study(trained)


def test_whole_numbers_in_floats_links_and_a_trailing_axis_are_ordinary(here: Path) -> None:
    passion("prepare", "raw", "prepared", "--workers", 0)
    expected = prepared_images()
    labels = PreparedStudy.open(Path("prepared")).case("a").read_target(Box.whole(SHAPE))
    replaced("a_t1", lambda voxels: voxels[..., None])()
    replaced("a_seg", lambda voxels: voxels.astype(np.float64))()
    Path("elsewhere").mkdir()
    image("a_flair").rename("elsewhere/x.nii.gz")
    image("a_flair").symlink_to(here / "elsewhere/x.nii.gz")
    Path("raw/b").rename("elsewhere/b")
    Path("raw/b").symlink_to(here / "elsewhere/b")
    save(Path("raw/c/c_t2.nii"), voxels_of("c_t2"))
    image("c_t2").unlink()
    Path("raw/c/c_seg.nii.gz").rename("raw/c/W39_1998.09.19_Segm.nii.gz")
    passion("prepare", "raw", "prepared", "--workers", 0)
    np.testing.assert_array_equal(prepared_images(), expected)
    study = PreparedStudy.open(Path("prepared"))
    np.testing.assert_array_equal(study.case("a").read_target(Box.whole(SHAPE)), labels)
    assert all(len(study.case(name).boxes) == 4 for name in "abc")
    assert study.case("c").target_box is not None


@pytest.mark.parametrize("name", ["Müller 漢字 🙂", "x" * 120, "a,b; 'c' \"d\" [e]"])
def test_unusual_names_are_ordinary(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("raw/a").rename(f"raw/{name}")
    for path in list(Path(f"raw/{name}").iterdir()):
        path.rename(path.with_name(path.name.replace("a_", f"{name}_", 1)))
    Path("ü" * 100).mkdir()
    out = Path("ü" * 100, name)
    passion("inspect", "raw", "--workers", 0)
    passion("prepare", "raw", out, "--workers", 0)
    passion("split", "raw", "-o", out / f"{name}.csv")
    assert name in PreparedStudy.open(out).cases
    split = read_split(out / f"{name}.csv", PreparedStudy.open(out).cases)
    assert name in {case for cases in split.values() for case in cases}


@pytest.mark.parametrize("name", [b"two\nlines", b"latin-1 \xff"])
def test_names_that_no_table_can_hold_are_refused(name: bytes, here: Path) -> None:
    Path("raw/a").rename(Path("raw", os.fsdecode(name)))
    for path in list(Path("raw", os.fsdecode(name)).iterdir()):
        path.rename(path.with_name(path.name.replace("a_", os.fsdecode(name) + "_", 1)))
    with pytest.raises(InputError, match="cannot be called so; rename it"):
        read_study(Path("raw"))


def test_files_that_were_exchanged_are_noticed(here: Path) -> None:
    """Unpacked together and not compressed, they have the same time and size."""
    for name in ("t1", "t2"):
        image = nibabel.load(f"raw/a/a_{name}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine), f"raw/a/a_{name}.nii")
        Path(f"raw/a/a_{name}.nii.gz").unlink()
        os.utime(f"raw/a/a_{name}.nii", (1e9, 1e9))
    passion("prepare", "raw", "prepared", "--workers", 0)
    before = {name: Path(f"prepared/cases/a/{name}.npy").read_bytes() for name in ("t1", "t2")}
    Path("raw/a/a_t1.nii").rename("raw/a/a")
    Path("raw/a/a_t2.nii").rename("raw/a/a_t1.nii")
    Path("raw/a/a").rename("raw/a/a_t2.nii")
    passion("prepare", "raw", "prepared", "--workers", 0)
    after = {name: Path(f"prepared/cases/a/{name}.npy").read_bytes() for name in ("t1", "t2")}
    assert after == {"t1": before["t2"], "t2": before["t1"]}
    assert before["t1"] != before["t2"]


def test_a_case_that_was_withdrawn_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    passion("prepare", "raw", "prepared", "--workers", 0)
    shutil.rmtree("raw/b")
    passion("prepare", "raw", "prepared", "--workers", 0)
    said = capsys.readouterr().err
    assert "prepared: has 1 cases from before that raw has not, the first is b; if it was withdrawn, remove" in said
    assert "prepared/cases/b" in said


def test_scoring_what_a_run_was_trained_on_is_said(trained: Path, study: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(trained, tmp_path / "run")
    split = pd.read_csv(study / "split.csv")
    case = split.loc[split["part"] == "train", "case"].iloc[0]
    split.loc[split["case"] == case, "part"] = "test"
    split.to_csv(tmp_path / "leak.csv", index=False)
    passion("evaluate", tmp_path / "run", "--split", tmp_path / "leak.csv", "--device", "cpu")
    assert f"leak.csv: 1 of its 3 cases were trained or validated on, the first is {case}" in capsys.readouterr().err
    assert json.loads((tmp_path / "run/evaluation/test-last/settings.json").read_text())["seen_in_training"] == 1
