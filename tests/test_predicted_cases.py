"""Many cases, one after the other: results, what is said about them, going on, and what is refused."""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from command_line import passion, refused

from passion import Predictor, cli, predict, predicted_cases
from passion.runs import versions
from passion.segmentation import Segmentation

MODALITIES = ("t1", "t1ce", "flair", "t2")


def file_of(raw: Path, number: int, suffix: str) -> Path:
    name = f"BraTS20_Training_{number:03d}"
    return raw / name / f"{name}_{suffix}.nii.gz"


@pytest.fixture
def new(raw: Path, tmp_path: Path) -> Path:
    """Three cases: one complete, one with two modalities, one with a single one."""
    folder = tmp_path / "new"
    for number, suffixes in ((1, MODALITIES), (2, ("t1ce", "flair")), (3, ("t2",))):
        for suffix in suffixes:
            target = file_of(folder, number, suffix)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file_of(raw, number, suffix), target)
    return folder


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.nii.gz")}


def test_each_case_is_segmented_from_what_it_has(trained: Path, new: Path, tmp_path: Path) -> None:
    out, soft = tmp_path / "out", tmp_path / "soft"
    passion("predict", trained, "--cases", new, "-o", out, "--probabilities", soft, "--device", "cpu")
    table = pd.read_csv(out / "cases.csv").set_index("case")
    assert list(table["modalities"]) == ["t1+t1c+flair+t2", "t1c+flair", "t2"]
    assert (table["seconds"] > 0).all()
    files = {"t1c": file_of(new, 2, "t1ce"), "flair": file_of(new, 2, "flair")}
    alone = predict(trained, files, device="cpu", probabilities=True)
    name = "BraTS20_Training_002"
    image = nibabel.load(out / f"{name}.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), alone.labels)
    np.testing.assert_array_equal(image.affine, alone.affine)
    probabilities = np.asarray(nibabel.load(soft / f"{name}.nii.gz").dataobj)
    np.testing.assert_array_equal(probabilities, np.moveaxis(alone.probabilities(), 0, -1))
    voxel_ml = np.prod(image.header.get_zooms()) / 1000
    for region, codes in (("WT", [1, 2, 4]), ("TC", [1, 4]), ("ET", [4])):
        expected = np.isin(np.asarray(image.dataobj), codes).sum() * voxel_ml
        assert table.loc[name, f"{region}_ml"] == pytest.approx(expected, abs=1e-3)


def test_a_stopped_call_goes_on_and_a_changed_case_is_done_again(
    trained: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    out = tmp_path / "out"
    words = ("predict", trained, "--cases", new, "-o", out, "--device", "cpu")
    write, written = predicted_cases.write_answer, []

    def interrupted(*arguments: object) -> object:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(arguments)
        return write(*arguments)

    monkeypatch.setattr(predicted_cases, "write_answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        passion(*words)
    monkeypatch.undo()
    before = times(out)
    assert len(before) == 2
    passion(*words)
    assert "1 cases segmented, 2 kept" in capsys.readouterr().out
    assert before.items() <= times(out).items()
    file_of(new, 2, "flair").unlink()
    passion(*words)
    assert "1 cases segmented, 2 kept" in capsys.readouterr().out
    assert list(pd.read_csv(out / "cases.csv")["modalities"]) == ["t1+t1c+flair+t2", "t1c", "t2"]


def test_cases_that_an_earlier_version_segmented_are_kept(trained: Path, new: Path, tmp_path: Path, capsys) -> None:
    words = ("predict", trained, "--cases", new, "-o", tmp_path / "out", "--device", "cpu")
    passion(*words)
    record = tmp_path / "out/predict.json"
    content = json.loads(record.read_text())
    content["files"] = {
        case: {name: one[:2] for name, one in files.items()} for case, files in content["files"].items()
    }
    record.write_text(json.dumps(content))
    passion(*words)
    assert "0 cases segmented, 3 kept" in capsys.readouterr().out


def test_a_call_that_was_stopped_at_its_first_case_goes_on(
    trained: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    words = ("predict", trained, "--cases", new, "-o", tmp_path / "out", "--device", "cpu")
    words += ("--probabilities", tmp_path / "soft")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Segmentation, "save_probabilities", interrupted)
        with pytest.raises(KeyboardInterrupt):
            passion(*words)
    assert len(times(tmp_path / "out")) == 1
    passion(*words)
    assert "3 cases segmented, 0 kept" in capsys.readouterr().out


def test_one_process_at_a_time(trained: Path, new: Path, tmp_path: Path, capsys) -> None:
    """The lock is one between processes: this one would get it twice."""
    script = (
        "import sys; from pathlib import Path; from passion.files import alone_in\n"
        "with alone_in(Path(sys.argv[1]), 'no'): print(flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "out")], **pipes) as other:
        other.stdout.readline()
        line = refused(capsys, "predict", trained, "--cases", new, "-o", tmp_path / "out", "--device", "cpu")
        other.stdin.close()
    assert f"--out {tmp_path / 'out'}: another process is segmenting there" in line


def test_a_case_may_be_called_na(trained: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.csv").write_text(f"case,t2\nNA,{file_of(new, 3, 't2')}\n007,{file_of(new, 1, 't2')}\n")
    words = ("predict", trained, "--cases", tmp_path / "list.csv", "-o", tmp_path / "out", "--device", "cpu")
    passion(*words)
    (tmp_path / "out/007.nii.gz").unlink()
    before = (tmp_path / "out/cases.csv").read_text().splitlines()
    passion(*words)
    assert "1 cases segmented, 1 kept" in capsys.readouterr().out
    after = (tmp_path / "out/cases.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in after] == ["case", "007", "NA"]
    assert after[2] == before[2]


def test_what_was_segmented_in_another_way_is_not_mixed(
    trained: Path, raw: Path, new: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    words = ("predict", trained, "--cases", new, "-o", out, "--device", "cpu")
    passion(*words)
    before = times(out)
    assert "with mirror False, not True" in refused(capsys, *words, "--mirror")
    with monkeypatch.context() as later:
        later.setattr(predicted_cases, "versions", lambda: {**versions(), "torch": "9"})
        assert f"with torch {versions()['torch']}, not 9" in refused(capsys, *words)
    assert "with blend constant, not gaussian" in refused(capsys, *words, "--blend", "gaussian")
    assert "by other runs" in refused(capsys, "predict", trained, trained, *words[2:])
    assert f"not {raw}" in refused(capsys, "predict", trained, "--cases", raw, "-o", out)
    assert f"--out {new}: is --cases too" in refused(capsys, "predict", trained, "--cases", new, "-o", new)
    assert "holds something else" in refused(capsys, "predict", trained, "--cases", new, "-o", raw)
    assert "give a folder" in refused(capsys, "predict", trained, "--cases", new, "-o", tmp_path / "a.nii.gz")
    assert "leave one of them out" in refused(capsys, *words, "--t1", file_of(raw, 1, "t1"))
    (out / "predict.json").write_text("{")
    assert "cannot be read" in refused(capsys, *words)
    assert times(out) == before


def test_broken_cases_are_named_before_anything_is_computed(trained: Path, new: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    path = file_of(new, 1, "t2")
    path.write_bytes(path.read_bytes()[:-100])
    other = nibabel.load(file_of(new, 2, "flair"))
    nibabel.save(nibabel.Nifti1Image(np.asarray(other.dataobj)[1:], other.affine), file_of(new, 2, "flair"))
    words = ["predict", str(trained), "--cases", str(new), "-o", str(out), "--device", "cpu"]
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert "001_t2.nii.gz: cannot be read" in said
    assert "002_flair.nii.gz" in said
    assert not out.exists()
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--skip-broken"])
    both = capsys.readouterr()
    assert stop.value.code == 2
    assert "1 cases segmented, 0 kept" in both.out
    assert both.err.count("passion: error: ") == 2
    assert [path.name for path in out.glob("*.nii.gz")] == ["BraTS20_Training_003.nii.gz"]


def test_extensions_of_headers_are_passed_over_here_too(trained: Path, new: Path, tmp_path: Path) -> None:
    """Voxels begin late, and what is said of the extension before them is not true: other programs read such files."""
    words = ("--device", "cpu", "--cases")
    passion("predict", trained, "-o", tmp_path / "before", *words, new)
    for path in new.glob("*/*"):
        content = gzip.decompress(path.read_bytes())
        header = nibabel.Nifti1Header(content[:348], check=False)
        header["vox_offset"] = 1024
        extension = b"\x01\0\0\0" + np.array([7, 6], dtype="<i4").tobytes()
        content = (header.binaryblock + extension).ljust(1024, b"\0") + content[352:]
        path.write_bytes(gzip.compress(content))
    passion("predict", trained, "-o", tmp_path / "after", *words, new)
    for path in (tmp_path / "before").glob("*.nii.gz"):
        labels, again = (nibabel.load(folder / path.name) for folder in (path.parent, tmp_path / "after"))
        np.testing.assert_array_equal(labels.dataobj, again.dataobj)
        np.testing.assert_array_equal(labels.affine, again.affine)
    passion("convert", new, tmp_path / "converted", "--to", "manifest")


def test_what_only_voxels_tell_stops_one_case(trained: Path, new: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    image = nibabel.load(file_of(new, 1, "t2"))
    nibabel.save(nibabel.Nifti1Image(np.full(image.shape, 3, np.int16), image.affine), file_of(new, 1, "t2"))
    said = refused(capsys, "predict", trained, "--cases", new, "-o", out, "--device", "cpu")
    assert "001_t2.nii.gz: every voxel" in said
    assert len(times(out)) == 2
    assert list(json.loads((out / "predict.json").read_text())["files"]) == [
        "BraTS20_Training_002", "BraTS20_Training_003",
    ]  # fmt: skip


def test_what_may_make_an_answer_wrong_is_remarked(trained: Path, new: Path, tmp_path: Path, capsys) -> None:
    def rewrite(path: Path, affine: np.ndarray) -> None:
        image = nibabel.load(path)
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), path)

    thick, turned = file_of(new, 3, "t2"), file_of(new, 2, "flair")
    affine = nibabel.load(thick).affine
    rewrite(thick, affine @ np.diag([1, 1, 4, 1]))
    file_of(new, 2, "t1ce").unlink()
    rewrite(turned, affine[:, [1, 0, 2, 3]])
    out = tmp_path / "out"
    for done in ("3 cases segmented, 0 kept", "0 cases segmented, 3 kept"):
        passion("predict", trained, "--cases", new, "-o", out, "--device", "cpu")
        said = capsys.readouterr()
        assert done in said.out
        assert f"note: 2 cases have remarks that are worth reading before they are trusted, in {out}" in said.err
    whole, of_turned, of_thick = pd.read_csv(out / "cases.csv", keep_default_na=False)["remarks"]
    assert whole == ""
    assert of_turned == "flair: its axes run to PLS, those of the training cases to LPS"
    assert of_thick.startswith("t2: its voxels are ")
    passion("predict", trained, "--flair", turned, "-o", tmp_path / "one.nii.gz", "--device", "cpu")
    assert f"passion: note: {of_turned}" in capsys.readouterr().err
    assert list(predict(trained, {"flair": turned}, device="cpu").remarks) == [of_turned]


def test_what_grids_were_seen_is_exported_and_need_not_be_known(
    trained: Path, model: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turned = file_of(new, 2, "flair")
    image = nibabel.load(turned)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine[:, [1, 0, 2, 3]]), turned)
    words = ("--flair", turned, "-o", tmp_path / "out.nii.gz", "--device", "cpu")
    passion("predict", model, *words)
    assert "note: flair: its axes run to PLS" in capsys.readouterr().err
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run/grids.json").write_text("[]")
    assert "grids.json: does not describe grids; repeat the run" in refused(capsys, "predict", tmp_path / "run", *words)
    (tmp_path / "run/grids.json").unlink()
    passion("predict", tmp_path / "run", *words)
    assert "note" not in capsys.readouterr().err


def test_one_file_is_not_taken_for_two_modalities(trained: Path, new: Path, tmp_path: Path, capsys) -> None:
    file, out = file_of(new, 1, "t1"), tmp_path / "out"
    words = ("predict", trained, "--device", "cpu", "-o")
    line = refused(capsys, *words, tmp_path / "a.nii.gz", "--t1", file, "--flair", file)
    assert f"{file}: is given for t1 and for flair; give each" in line
    line = refused(capsys, *words, tmp_path / "a.nii.gz", "--t1", file, "--t1", file_of(new, 1, "t2"))
    assert "--t1: is given twice; leave one of them out" in line
    table = tmp_path / "new.csv"
    table.write_text(f"case,t1,flair\na,{file},{file}\n")
    assert f"{table}: {str(file)!r} is case 'a', column 't1', and case" in refused(
        capsys, *words, out, "--cases", table
    )


def test_a_predictor_segments_case_after_case(trained: Path, new: Path) -> None:
    predictor = Predictor.load(trained, device="cpu")
    for number in (1, 3):
        files = {"t2": file_of(new, number, "t2")}
        np.testing.assert_array_equal(predictor.segment(files).labels, predict(trained, files, device="cpu").labels)
