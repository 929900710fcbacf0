"""Writing a study in another layout: which files there are, what is in them, and everything that is refused."""

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

import nibabel
import numpy as np
import pytest
from command_line import passion, refused
from layouts import AFFINE, ORGANS, SHAPE, STROKES, STUDIES, draw_cases, save, save_cases, write

from passion.data.conversion import convert
from passion.data.sources import SOURCES, read_study
from passion.data.sources.brats import BRATS2020
from passion.data.sources.myops import MYOPS2020
from passion.data.study import Case, Channel, Region, Study

FILES = {
    "brats": "a/a_flair a/a_seg a/a_t1 a/a_t1ce a/a_t2 b/b_flair",
    "brats2023": "a/a-seg a/a-t1c a/a-t1n a/a-t2f a/a-t2w b/b-t2f",
    "myops": "test20/b_T2 train25/a_C0 train25/a_DE train25/a_T2 train25_myops_gd/a_gd",
    "nnunet": "imagesTr/a_0000 imagesTr/a_0001 imagesTs/b_0001 labelsTr/a",
    "decathlon": "imagesTr/a imagesTs/b labelsTr/a",
    "manifest": "a/adc a/dwi a/label b/adc",
}
"""Of a labelled case with all modalities, and one with the third or last only: by each layout's own documentation."""


def volumes(study: Study, names: str, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.integers(0, 999, SHAPE).astype(np.int16) for name in study.modalities if name in names.split()}


def two_cases(study: Study, root: Path, second: str) -> list[Case]:
    """A labelled case with all modalities, and one with those of `second`."""
    for name, modalities in (("a", " ".join(study.modalities)), ("b", second)):
        for modality, voxels in volumes(study, modalities).items():
            save(root / f"{name} {modality}.nii.gz", voxels)
    labels = np.random.default_rng(1).choice(study.codes, size=SHAPE).astype(np.int16)
    save(root / "labels.nii.gz", labels)
    images = {
        name: {modality: root / f"{name} {modality}.nii.gz" for modality in modalities.split()}
        for name, modalities in (("a", " ".join(study.modalities)), ("b", second))
    }
    return [Case("a", images["a"], root / "labels.nii.gz"), Case("b", images["b"])]


def contents(root: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("layout", SOURCES)
def test_files_are_called_as_the_layout_wants_it(layout: str, tmp_path: Path) -> None:
    study = STUDIES[layout]
    second = study.modalities[min(2, len(study.modalities) - 1)]
    cases = two_cases(study, tmp_path / "raw", " ".join(study.modalities) if layout == "decathlon" else second)
    convert(study, cases, SOURCES[layout], tmp_path / "out")
    found = sorted(name.removesuffix(".nii.gz") for name in contents(tmp_path / "out") if name.endswith(".nii.gz"))
    assert " ".join(found) == FILES[layout]


def test_files_that_need_no_change_are_copied_byte_for_byte(tmp_path: Path) -> None:
    a, b = two_cases(STROKES, tmp_path / "raw", "adc")
    plain = tmp_path / "raw/b adc.nii"
    plain.write_bytes(gzip.decompress(b.images["adc"].read_bytes()))
    cases = [a, Case("b", {"adc": plain})]
    convert(STROKES, cases, SOURCES["manifest"], tmp_path / "manifest")
    convert(STROKES, cases, SOURCES["nnunet"], tmp_path / "nnunet")
    assert (tmp_path / "manifest/a/dwi.nii.gz").read_bytes() == a.images["dwi"].read_bytes()
    assert (tmp_path / "nnunet/imagesTr/a_0000.nii.gz").read_bytes() == a.images["dwi"].read_bytes()
    assert (tmp_path / "manifest/b/adc.nii").read_bytes() == plain.read_bytes()
    assert gzip.decompress((tmp_path / "nnunet/imagesTs/b_0001.nii.gz").read_bytes()) == plain.read_bytes()


def test_files_of_nnunet_stay_uncompressed_where_all_are(tmp_path: Path) -> None:
    images = {name: tmp_path / f"{name}.nii" for name in STROKES.modalities}
    for path in images.values():
        save(path, np.ones(SHAPE, dtype=np.int16))
    save(tmp_path / "labels.nii", np.zeros(SHAPE, dtype=np.uint8))
    convert(STROKES, [Case("a", images, tmp_path / "labels.nii")], SOURCES["nnunet"], tmp_path / "out")
    assert json.loads((tmp_path / "out/dataset.json").read_text())["file_ending"] == ".nii"
    assert sorted(contents(tmp_path / "out")) == [
        "dataset.json", "imagesTr/a_0000.nii", "imagesTr/a_0001.nii", "labelsTr/a.nii"
    ]  # fmt: skip


def test_links_lead_to_the_files_that_need_no_change(tmp_path: Path) -> None:
    [a, b] = two_cases(STROKES, tmp_path / "raw", "adc")
    convert(STROKES, [a, b], SOURCES["nnunet"], tmp_path / "out", link=True)
    assert (tmp_path / "out/imagesTr/a_0000.nii.gz").readlink() == a.images["dwi"]
    assert not (tmp_path / "out/labelsTr/a.nii.gz").is_symlink()


def test_labels_of_nnunet_are_numbered_and_stay_where_they_are(tmp_path: Path) -> None:
    cases = two_cases(MYOPS2020, tmp_path / "raw", "lge")
    convert(MYOPS2020, cases, SOURCES["nnunet"], tmp_path / "out")
    before, after = nibabel.load(cases[0].target), nibabel.load(tmp_path / "out/labelsTr/a.nii.gz")
    numbers = {0: 0, 200: 1, 500: 2, 600: 3, 1220: 4, 2221: 5}
    np.testing.assert_array_equal(np.asarray(after.dataobj), np.vectorize(numbers.get)(np.asarray(before.dataobj)))
    np.testing.assert_array_equal(after.affine, before.affine)
    assert after.get_data_dtype() == np.uint8


def test_volumes_of_a_4d_file_keep_their_type_where_it_is_one_of_whole_numbers(tmp_path: Path) -> None:
    whole = np.arange(np.prod(SHAPE) * 2, dtype=np.int16).reshape(*SHAPE, 2)
    save(tmp_path / "whole.nii.gz", whole)
    scaled = nibabel.Nifti1Image(whole, AFFINE)
    scaled.header.set_slope_inter(0.25, -3)
    nibabel.save(scaled, tmp_path / "scaled.nii.gz")
    for name, dtype in (("whole", np.int16), ("scaled", np.float32)):
        images = {
            modality: Channel(tmp_path / f"{name}.nii.gz", index, 2)
            for index, modality in enumerate(STROKES.modalities)
        }
        convert(STROKES, [Case("a", images)], SOURCES["manifest"], tmp_path / name)
        expected = nibabel.load(tmp_path / f"{name}.nii.gz").get_fdata()
        for index, modality in enumerate(STROKES.modalities):
            written = nibabel.load(tmp_path / name / f"a/{modality}.nii.gz")
            np.testing.assert_array_equal(written.get_fdata(), expected[..., index])
            assert written.get_data_dtype() == dtype
        convert(STROKES, [Case("a", images)], SOURCES["decathlon"], tmp_path / f"{name} again")
        again = nibabel.load(tmp_path / f"{name} again/imagesTs/a.nii.gz")
        np.testing.assert_array_equal(again.get_fdata(), expected)
        assert again.get_data_dtype() == dtype


def test_a_study_of_one_modality_is_written_in_3d(tmp_path: Path) -> None:
    study = replace(STROKES, modalities=("adc",))
    convert(study, two_cases(study, tmp_path / "raw", "adc"), SOURCES["decathlon"], tmp_path / "out")
    assert nibabel.load(tmp_path / "out/imagesTr/a.nii.gz").shape == SHAPE
    assert read_study(tmp_path / "out")[0] == study


def test_modalities_on_different_grids_do_not_go_into_one_file(tmp_path: Path, capsys) -> None:
    raw = write("manifest", tmp_path / "raw", STROKES, draw_cases(STROKES, np.random.default_rng(0), complete=True))
    path = next(raw.glob("*/adc.nii.gz"))
    save(path, np.ones((3, 3, 3), dtype=np.int16))
    line = refused(capsys, "convert", raw, tmp_path / "out", "--to", "decathlon", "--workers", 0)
    assert f"{path}: is on another grid than dwi.nii.gz, and cannot go into one file with it; choose another" in line


def painted(labels: Mapping[str, int | list[int]], order: list[int], label_map: np.ndarray) -> np.ndarray:
    """What nnU-Net makes of the true masks of its regions: later ones over earlier ones."""
    out = np.zeros_like(label_map)
    for codes, code in zip(list(labels.values())[1:], order, strict=True):
        out[np.isin(label_map, codes)] = code
    return out


NESTED = {"all": Region(("b", "c", "a")), "two": Region(("b", "a")), "one": Region(("a",))}


@pytest.mark.parametrize(
    ("regions", "are_labels"),
    [
        (BRATS2020.regions, True),
        (MYOPS2020.regions, True),
        (NESTED, True),
        (dict(reversed(NESTED.items())), True),
        ({"left": Region(("a", "b")), "right": Region(("b", "c")), "one": Region(("c",))}, True),
        ({"left": Region(("a", "b")), "right": Region(("b", "c"))}, False),
        ({"all": Region(("a", "b", "c"))}, False),
        ({"two": Region(("a", "b")), "one": Region(("b",))}, False),
        ({"a": Region(("a",)), "c": Region(("c",))}, False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_regions_are_labels_of_nnunet_where_they_give_every_class_back(
    regions: Mapping[str, Region], are_labels: bool, tmp_path: Path
) -> None:
    names = {name for region in regions.values() for name in region.classes}
    names |= set("abc") if names <= set("abc") else set()
    classes = {"background": 0, **{name: code for code, name in enumerate(sorted(names), start=1)}}
    study = replace(STROKES, classes=classes, regions=regions)
    convert(study, two_cases(study, tmp_path / "raw", "adc"), SOURCES["nnunet"], tmp_path / "out")
    content = json.loads((tmp_path / "out/dataset.json").read_text())
    label_map = np.asarray(nibabel.load(tmp_path / "out/labelsTr/a.nii.gz").dataobj)
    if not are_labels:
        assert content["labels"] == study.classes
        assert "regions_class_order" not in content
        return
    assert list(content["labels"]) == ["background", *sorted(regions, key=lambda name: -len(regions[name].classes))]
    np.testing.assert_array_equal(painted(content["labels"], content["regions_class_order"], label_map), label_map)


@pytest.mark.parametrize("study", [BRATS2020, MYOPS2020, ORGANS, STROKES], ids=lambda study: study.name)
def test_nnunet_takes_what_is_written_for_it(study: Study, tmp_path: Path) -> None:
    """Its own check of a dataset, which reads every file, and its own way from regions to a label map."""
    verification = pytest.importorskip(
        "nnunetv2.experiment_planning.verify_dataset_integrity",
        reason="nnU-Net is not installed: pip install -e .[nnunet]",
    )
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    cases = save_cases(tmp_path / "raw", draw_cases(study, np.random.default_rng(0), complete=True))
    convert(study, cases, SOURCES["nnunet"], tmp_path / "Dataset001_Study")
    verification.verify_dataset_integrity(str(tmp_path / "Dataset001_Study"), 1)
    content = json.loads((tmp_path / "Dataset001_Study/dataset.json").read_text())
    manager = LabelManager(content["labels"], content.get("regions_class_order"))
    label_map = np.asarray(nibabel.load(next((tmp_path / "Dataset001_Study/labelsTr").iterdir())).dataobj)
    masks = manager.foreground_regions if manager.has_regions else manager.all_labels
    truth = np.stack([np.isin(label_map, mask) for mask in masks]).astype(np.float32)
    np.testing.assert_array_equal(manager.convert_probabilities_to_segmentation(truth), label_map)


def stop_at(copy_number: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Interrupts the process at one of the copies; gives the names of all that were begun."""
    copy, begun = shutil.copyfileobj, []

    def copy_or_stop(source: IO[bytes], sink: IO[bytes]) -> None:
        begun.append(source.name)
        if len(begun) == copy_number:
            raise KeyboardInterrupt
        copy(source, sink)

    monkeypatch.setattr(shutil, "copyfileobj", copy_or_stop)
    return begun


def test_a_stopped_conversion_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = two_cases(STROKES, tmp_path / "raw", "adc")
    begun = stop_at(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        convert(STROKES, cases, SOURCES["manifest"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / ".out.partial/a/.partial-1234label.nii.gz").write_bytes(b"what a killed process leaves")
    convert(STROKES, cases, SOURCES["manifest"], tmp_path / "out")
    assert (len(begun), len(set(begun))) == (5, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]
    convert(STROKES, cases, SOURCES["manifest"], tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_a_stopped_conversion_begins_again_where_a_file_has_changed(tmp_path: Path, monkeypatch) -> None:
    cases = two_cases(STROKES, tmp_path / "raw", "adc")
    stop_at(4, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        convert(STROKES, cases, SOURCES["manifest"], tmp_path / "out")
    save(cases[0].images["dwi"], np.ones((3, 3, 3), dtype=np.int16))
    convert(STROKES, cases, SOURCES["manifest"], tmp_path / "out")
    assert nibabel.load(tmp_path / "out/a/dwi.nii.gz").shape == (3, 3, 3)


def test_one_process_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write("manifest", tmp_path / "raw", STROKES, draw_cases(STROKES, np.random.default_rng(0)))
    words = ["convert", str(raw), str(tmp_path / "out"), "--to", "nnunet", "--workers", "0"]
    script = (
        "import shutil, sys, time; from passion import cli\n"
        "shutil.copyfileobj = lambda *_: (print(flush=True), time.sleep(99))\n"
        "cli.run(sys.argv[1:])"
    )
    other = subprocess.Popen([sys.executable, "-c", script, *words], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    before = contents(tmp_path)
    for options in ([], ["--link"]):
        assert "out: another process is writing it; wait" in refused(capsys, *words, *options)
        assert contents(tmp_path) == before
    other.kill()
    other.wait()
    passion(*words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw", "raw files"]
    assert [path.name for path in (tmp_path / "out").rglob(".*")] == []


def test_an_empty_folder_that_a_link_leads_to_is_filled(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    convert(STROKES, two_cases(STROKES, tmp_path / "raw", "adc"), SOURCES["manifest"], tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk/a/dwi.nii.gz").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "out", "raw"]


def test_the_command_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write("brats", tmp_path / "raw", BRATS2020, draw_cases(BRATS2020, np.random.default_rng(0)))
    (raw / "LICENSE.txt").write_text("free")
    passion("convert", raw, tmp_path / "out", "--to", "nnunet", "--workers", 0)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{tmp_path / 'out'}: 6 cases"
    assert said[1].startswith("cases without every modality: 5 of 6; they can be read again, but nnU-Net itself takes")
    assert (tmp_path / "out/LICENSE.txt").read_text() == "free"
    passion("convert", raw, tmp_path / "complete", "--to", "decathlon", "--complete", "--workers", 0)
    assert capsys.readouterr().out == f"{tmp_path / 'complete'}: 1 of 6 cases, those with every modality\n"


def test_the_help_names_every_layout(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        passion("convert", "--help")
    assert f"layout to write: {', '.join(list(SOURCES)[:-1])} or {list(SOURCES)[-1]}" in " ".join(
        capsys.readouterr().out.split()
    )


def test_what_cannot_be_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write("manifest", tmp_path / "raw", STROKES, draw_cases(STROKES, np.random.default_rng(2)))
    before = contents(tmp_path)

    def said(*words: object) -> str:
        line = refused(capsys, "convert", raw, tmp_path / "out", "--workers", 0, *words)
        assert contents(tmp_path) == before
        assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
        return line

    assert "--to 'bids' is unknown; there are: brats, brats2023, decathlon," in said("--to", "bids")
    assert "Strokes: modality 'dwi' is none of BraTS2020's, t1, t1c, flair, t2; choose" in said("--to", "brats")
    line = said("--to", "decathlon")
    assert "layout decathlon keeps all modalities of a case in one file; --complete leaves such cases out" in line
    assert "exists; name a new folder" in refused(capsys, "convert", raw, raw, "--to", "nnunet")


def test_a_class_that_a_public_study_has_not_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cavity = replace(BRATS2020, name="Cavities", classes={**BRATS2020.classes, "RC": 5})
    raw = write("manifest", tmp_path / "raw", cavity, draw_cases(cavity, np.random.default_rng(0)))
    line = refused(capsys, "convert", raw, tmp_path / "out", "--to", "brats2023")
    assert "Cavities: class 'RC', of regions none, is not one class of BraTS2023; choose another layout" in line


@pytest.mark.parametrize("name", ["ignore", "background"])
def test_names_that_are_special_to_nnunet_are_refused(name: str, tmp_path: Path, capsys) -> None:
    study = replace(ORGANS, classes={"air": 0, name: 1}, regions={"all": Region((name,))})
    raw = write("manifest", tmp_path / "raw", study, draw_cases(study, np.random.default_rng(0)))
    line = refused(capsys, "convert", raw, tmp_path / "out", "--to", "nnunet")
    assert f"label {name!r} is special to nnU-Net; rename it, in a manifest" in line


def test_a_case_without_any_modality_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write("brats", tmp_path / "raw", BRATS2020, draw_cases(BRATS2020, np.random.default_rng(0)))
    save(raw / "empty/empty_seg.nii.gz", np.zeros(SHAPE, dtype=np.uint8))
    line = refused(capsys, "convert", raw, tmp_path / "out", "--to", "manifest")
    assert "case empty has no modality at all" in line
    passion("convert", raw, tmp_path / "out", "--to", "manifest", "--complete", "--workers", 0)
    assert len(read_study(tmp_path / "out")[1]) == 1


def test_a_study_without_complete_cases_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "raw/a/a_t1.nii.gz", np.ones(SHAPE, dtype=np.uint8))
    line = refused(capsys, "convert", tmp_path / "raw", tmp_path / "out", "--to", "nnunet", "--complete")
    assert "none of the 1 cases has every modality; leave out --complete" in line


def test_a_label_that_is_not_the_studys_is_refused_where_codes_change(tmp_path: Path, capsys) -> None:
    raw = write("brats", tmp_path / "raw", BRATS2020, draw_cases(BRATS2020, np.random.default_rng(0)))
    case = next(case for case in read_study(raw)[1] if case.target is not None)
    save(case.target, np.full(SHAPE, 3, dtype=np.uint8))
    line = refused(capsys, "convert", raw, tmp_path / "out", "--to", "nnunet", "--workers", 0)
    assert f"{case.target}: label 3 is not one of BraTS2020's (0, 1, 2, 4)" in line
    assert [path.name for path in tmp_path.iterdir()] == [*(path.name for path in tmp_path.glob("raw*"))]


def test_a_description_that_is_not_of_the_same_study_is_refused(tmp_path: Path, capsys) -> None:
    for layout, key in (("nnunet", "channel_names"), ("decathlon", "modality")):
        raw = write(layout, tmp_path / layout, ORGANS, draw_cases(ORGANS, np.random.default_rng(0), complete=True))
        path = raw / "dataset.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, key: {"0": "CT", "1": "mr", "2": "pet"}}))
        line = refused(capsys, "inspect", raw)
        assert f"{path}: {key!r} is not what 'study' says; make them agree, or remove 'study'" in line
        path.write_text(json.dumps({**content, "study": {**content["study"], "regions": {}}}))
        assert "regions is {}, expected names with values" in refused(capsys, "inspect", raw)
