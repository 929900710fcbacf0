"""Layouts through the command line, 4D files, and everything that is refused."""

import json
import os
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import passion, refused
from layouts import AFFINE, ORGANS, SHAPE, TUMOURS, WrittenCase, save
from layouts import write as write_study

from passion import cli
from passion.commands.use import predict
from passion.data.sources import read_study, study_named
from passion.data.sources.brats import BRATS2020
from passion.data.study import Channel, Region, Study
from passion.data.volumes import read_image, read_volume
from passion.errors import InputError
from passion.options import parse


def complete(names: str = "abcd") -> dict[str, WrittenCase]:
    """Labelled cases with all modalities of `ORGANS`."""
    random = np.random.default_rng(0)
    return {
        name: WrittenCase(
            {modality: random.normal(size=SHAPE).astype(np.float32) for modality in ORGANS.modalities},
            random.choice(ORGANS.codes, size=SHAPE).astype(np.int16),
        )
        for name in names
    }


def write(layout: str, root: Path) -> Path:
    """Without the description of the study that only this package reads."""
    write_study(layout, root, ORGANS, complete())
    path = root / "dataset.json"
    if path.exists():
        content = json.loads(path.read_text())
        path.write_text(json.dumps({key: value for key, value in content.items() if key != "study"}))
    return root / "manifest.csv" if layout == "manifest" else root


def test_one_study_is_prepared_alike_from_every_layout(tmp_path: Path) -> None:
    stored = {}
    for layout in ("nnunet", "decathlon", "manifest"):
        out = tmp_path / f"{layout}-prepared"
        passion("prepare", write(layout, tmp_path / layout), out, "--layout", layout, "--workers", 0)
        stored[layout] = {path.relative_to(out): path.read_bytes() for path in out.rglob("*.npy")}
    assert len(stored["manifest"]) == 4 * (3 + 1)
    assert stored["nnunet"] == stored["decathlon"] == stored["manifest"]


def test_every_step_before_training_takes_a_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write("manifest", tmp_path / "raw")
    passion("inspect", raw, "--json", "--workers", 0)
    found = json.loads(capsys.readouterr().out)
    assert (found["study"], found["modalities"]) == ("Organs", ["CT", "T1-w", "pet"])
    assert [case["shape"] for case in found["cases"]] == [list(SHAPE)] * 4
    split, presence = tmp_path / "split.csv", tmp_path / "presence.csv"
    passion("split", raw, "--sizes", "2,1,1", "-o", split)
    passion("draw-missing", raw, "--split", split, "--rates", "CT=0,T1-w=0.5,pet=0.5", "-o", presence)
    rows = np.loadtxt(presence, delimiter=",", skiprows=1, usecols=(1, 2, 3))
    assert rows.sum(0).tolist() == [2, 1, 1]


def test_the_same_file_is_said_to_be_broken_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write("decathlon", tmp_path / "raw")
    (raw / "imagesTr/b.nii.gz").write_bytes(b"no image")
    assert cli.run(["inspect", str(raw), "--json", "--workers", "0"]) == 2
    cases = json.loads(capsys.readouterr().out)["cases"]
    assert [len(case["problems"]) for case in cases] == [0, 1, 0, 0]


def test_a_4d_file_is_refused_where_a_volume_is_meant(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).normal(size=(*SHAPE, 3)).astype(np.float32)
    path = tmp_path / "a.nii.gz"
    save(path, voxels)
    for index in range(3):
        np.testing.assert_array_equal(read_image(Channel(path, index, 3)).voxels, voxels[..., index])
    with pytest.raises(InputError, match=r"a.nii.gz: has shape \(6, 7, 8, 3\), expected a 3D volume"):
        read_volume(path)
    for count in (2, 4):
        with pytest.raises(InputError, match=rf"\(6, 7, 8, 3\), expected {count} volumes along a fourth axis"):
            read_image(Channel(path, 0, count))


def test_scaled_voxels_of_a_4d_file_are_those_of_the_whole_file(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(np.prod(SHAPE) * 2, dtype=np.int16).reshape(*SHAPE, 2), AFFINE)
    image.header.set_slope_inter(0.1, -3)
    nibabel.save(image, tmp_path / "a.nii.gz")
    whole = nibabel.load(tmp_path / "a.nii.gz").get_fdata()
    for index in range(2):
        read = read_image(Channel(tmp_path / "a.nii.gz", index, 2)).voxels
        np.testing.assert_allclose(read, whole[..., index], rtol=1e-6)


def test_a_constant_volume_of_a_4d_file_is_named(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).normal(size=(*SHAPE, 3)).astype(np.float32)
    voxels[..., 1] = 0
    save(tmp_path / "a.nii.gz", voxels)
    with pytest.raises(InputError, match=r"every voxel of volume 1 \(from 0\) is 0; write each modality to a file"):
        read_image(Channel(tmp_path / "a.nii.gz", 1, 3))


def test_a_case_without_a_file_of_one_number_lacks_that_modality(tmp_path: Path) -> None:
    raw = write("nnunet", tmp_path / "raw")
    (raw / "imagesTr/b_0001.nii.gz").unlink()
    (raw / "labelsTr/c.nii.gz").unlink()
    _, cases = read_study(raw)
    assert [sorted(case.images) for case in cases] == [
        ["CT", "T1-w", "pet"], ["CT", "pet"], ["CT", "T1-w", "pet"], ["CT", "T1-w", "pet"]
    ]  # fmt: skip
    assert [case.target is None for case in cases] == [False, False, True, False]


def test_a_study_of_one_modality_has_3d_files(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    save(tmp_path / "imagesTr/a.nii.gz", voxels)
    save(tmp_path / "labelsTr/a.nii.gz", np.zeros(SHAPE, dtype=np.uint8))
    content = {
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "spleen"},
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    _, [case] = read_study(tmp_path)
    np.testing.assert_array_equal(read_image(case.images["CT"]).voxels, voxels)


def test_a_dataset_that_was_converted_to_nnunet_keeps_its_old_key(tmp_path: Path) -> None:
    raw = write("nnunet", tmp_path / "raw")
    content = json.loads((raw / "dataset.json").read_text())
    expected = read_study(raw)
    (raw / "dataset.json").write_text(json.dumps({**content, "modality": {"0": "CT"}}))
    assert read_study(raw) == expected


def test_only_public_studies_have_a_name() -> None:
    assert study_named("BraTS2020") == BRATS2020
    with pytest.raises(InputError, match=r"'Organs' is unknown; there are: BraTS2020, BraTS2023, MyoPS2020$"):
        study_named("Organs")


def test_a_name_in_both_grades_is_refused(tmp_path: Path) -> None:
    for grade in ("HGG", "LGG"):
        save(tmp_path / grade / "a/a_t1.nii.gz", np.ones(SHAPE, dtype=np.float32))
    with pytest.raises(InputError, match="case 'a' is listed twice"):
        read_study(tmp_path)


def test_unknown_layouts_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write("nnunet", tmp_path / "raw")
    names = "brats, brats2023, decathlon, manifest, myops, nnunet"
    for words in (
        ("inspect", raw),
        ("split", raw, "-o", tmp_path / "a.csv"),
        ("draw-missing", raw, "--split", tmp_path / "a.csv", "--rates", "a=0", "-o", tmp_path / "b.csv"),
        ("prepare", raw, tmp_path / "prepared"),
    ):
        assert f"--layout 'bids' is unknown; there are: {names}" in refused(capsys, *words, "--layout", "bids")
        assert "holds no case of layout myops, which is MyoPS2020" in refused(capsys, *words, "--layout", "myops")


Content = dict[str, object]


@pytest.mark.parametrize(
    ("layout", "change", "said"),
    [
        ("nnunet", {"labels": None}, "has no key 'labels'"),
        ("nnunet", {"file_ending": None}, "has no key 'file_ending'"),
        ("nnunet", {"file_ending": ".png"}, "file_ending is '.png', expected .nii.gz or .nii"),
        ("nnunet", {"file_ending": ".nii"}, "a_0000.nii.gz: is not called .nii, which dataset.json says"),
        ("nnunet", {"channel_names": None}, "names no modality; add them under one of channel_names, modality"),
        ("nnunet", {"channel_names": []}, "channel_names is [], expected names with values"),
        ("nnunet", {"channel_names": {"0": "CT", "2": "pet"}}, "channel_names numbers 0, 2, expected 0, 1"),
        ("nnunet", {"channel_names": {"0": "CT", "1": 2}}, "expected a name for each number"),
        ("nnunet", {"channel_names": {"0": "CT", "1": "T1 w"}}, "modality 'T1 w' cannot be called so"),
        ("nnunet", {"channel_names": {"0": "CT", "1": "label"}}, "modality 'label' cannot be called so"),
        ("nnunet", {"channel_names": {"0": "CT", "1": "ct"}}, "modality 'CT' is there twice"),
        ("nnunet", {"channel_names": {"0": "CT"}}, "a_0001.nii.gz: expected a name that ends in the number"),
        ("nnunet", {"labels": {"liver": 1}}, "labels has no 'background' of code 0"),
        ("nnunet", {"labels": {"background": 0, "ignore": 2}}, "labels has 'ignore'"),
        ("nnunet", {"labels": {"background": 0, "liver": "1"}}, "label 'liver' is '1', expected codes"),
        ("nnunet", {"labels": {"background": 0, "liver": []}}, "label 'liver' is [], expected codes"),
        ("nnunet", {"labels": {"background": 0, "a": [1, 2], "b": [2, 1]}}, "labels 'a' and 'b' have the same codes"),
        ("nnunet", {"labels": {"background": 0, "a": 70000}}, "class 'a' has code 70000, expected a whole number from"),
        ("nnunet", {"labels": {"background": 0}}, "expected a background of code 0 and 1 to 255 others"),
        ("decathlon", {"modality": None}, "names no modality; add them"),
        ("decathlon", {"training": None}, "has no key 'training'"),
        ("decathlon", {"training": [], "test": []}, "lists no case under 'training'"),
        ("decathlon", {"training": "all"}, "'training' is 'all', expected a list"),
        ("decathlon", {"training": ["./imagesTr/a.nii.gz"]}, "expected an 'image' and a 'label'"),
        ("decathlon", {"test": ["./imagesTs/z.nii.gz"]}, "lists './imagesTs/z.nii.gz', and there is no such file"),
        ("decathlon", {"test": ["./imagesTr/a.nii.gz"]}, "case 'a' is listed twice"),
        ("decathlon", {"test": [7]}, "lists 7, expected the path of a .nii.gz or .nii file"),
        ("decathlon", {"labels": {"0": "background", "1": "a", "2": "a"}}, "a name of its own for each"),
        ("decathlon", {"labels": {"background": "0"}}, "labels has 'background': '0', expected a code"),
        ("decathlon", {"labels": {"1": "liver"}}, "expected a background '0'"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_a_wrong_dataset_is_refused(
    layout: str, change: Content, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = write(layout, tmp_path / "raw")
    path = raw / "dataset.json"
    content = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    line = refused(capsys, "prepare", raw, tmp_path / "prepared", "--workers", 0)
    assert said in line
    assert str(raw) in line
    assert not (tmp_path / "prepared").exists()


@pytest.mark.parametrize(("text", "said"), [("{", "cannot be read as JSON"), ("[1]", "expected names with values")])
def test_a_dataset_that_cannot_be_read_is_refused(text: str, said: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "dataset.json").write_text(text)
    for more in ((), ("--layout", "nnunet"), ("--layout", "decathlon")):
        line = refused(capsys, "inspect", tmp_path, *more)
        assert f"{tmp_path / 'dataset.json'}: " in line
        assert said in line


def test_columns_for_people_are_passed_over(tmp_path: Path) -> None:
    raw = write("manifest", tmp_path / "raw")
    table, expected = pd.read_csv(raw), read_study(raw)
    table.assign(**{"#age": 40, "# site": "x"}).to_csv(raw, index=False)
    assert read_study(raw) == expected
    table.assign(age=40).to_csv(raw, index=False)
    with pytest.raises(InputError, match=r"'age' is unknown; expected .*; begin the name with # if it is for people"):
        read_study(raw)


def test_a_case_in_two_parts_is_refused(tmp_path: Path) -> None:
    raw = write("nnunet", tmp_path / "raw")
    save(raw / "imagesTs/a_0000.nii.gz", np.ones(SHAPE, dtype=np.float32))
    with pytest.raises(InputError, match="case 'a' is listed twice"):
        read_study(raw)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"regions": None}, "manifest.yaml: has no key 'regions'"),
        ({"colour": "red"}, "key 'colour' is unknown; there are: name, modalities, classes, regions, spacing_mm"),
        ({"modalities": "CT"}, "modalities is 'CT', expected a list"),
        ({"modalities": ["CT", 3]}, "modalities[1] is 3, expected a text"),
        ({"modalities": []}, "there is no modality; name at least one"),
        ({"modalities": ["CT", "T1-w", "us"]}, "manifest.csv: has no column 'us'"),
        ({"modalities": ["CT", "pet"]}, "manifest.csv: column 'T1-w' is unknown; expected case, CT, pet, label"),
        ({"classes": ["liver"]}, "classes is ['liver'], expected names with values"),
        ({"classes": {"background": 0, "liver": 1.5}}, "classes.liver is 1.5, expected a whole number"),
        ({"classes": {"background": 0, "liver": True}}, "classes.liver is True, expected a whole number"),
        ({"classes": {"background": 0, "a": 1, "b": 1}}, "class 'a' has code 1, and another class too"),
        ({"classes": {"liver": 1, "lesion": 2}}, "expected a background of code 0"),
        ({"regions": {"all": ["liver", "spleen"]}}, "region 'all' is made of ['liver', 'spleen'], expected some of"),
        ({"regions": {"all": "liver"}}, "regions.all.classes is 'liver', expected a list"),
        ({"spacing_mm": [1, 1]}, "spacing_mm is [1.0, 1.0], expected three numbers of mm"),
        ({"spacing_mm": [1, 0, None]}, "spacing_mm is [1.0, 0.0, None], expected three numbers of mm"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_a_wrong_description_is_refused(
    change: Content, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = write("manifest", tmp_path / "raw")
    path = raw.with_suffix(".yaml")
    content = {**yaml.safe_load(path.read_text()), **change}
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    assert said in refused(capsys, "inspect", raw)


def no_description(raw: Path) -> str:
    raw.with_suffix(".yaml").unlink()
    return "manifest.yaml: no such file; write one with name, modalities, classes, regions"


def no_yaml(raw: Path) -> str:
    raw.with_suffix(".yaml").write_text("name: [")
    return "manifest.yaml: cannot be read as YAML"


def no_file(raw: Path) -> str:
    raw.write_text(raw.read_text().replace("b/pet.nii.gz", "b/nose.nii.gz"))
    return "manifest.csv: case 'b', column 'pet': there is no file 'b/nose.nii.gz'"


def twice(raw: Path) -> str:
    raw.write_text(raw.read_text() + raw.read_text().splitlines()[-1] + "\n")
    return "manifest.csv: case 'd' is listed twice"


def no_label_column(raw: Path) -> str:
    raw.write_text(re.sub(r"label", "labels", raw.read_text(), count=1))
    return "manifest.csv: has no column 'label'"


def no_row(raw: Path) -> str:
    raw.write_text(raw.read_text().splitlines()[0] + "\n")
    return "manifest.csv: lists no case"


def name_that_leads_elsewhere(raw: Path) -> str:
    raw.write_text(raw.read_text().replace("\nb,", "\n../b,"))
    return "manifest.csv: case '../b' cannot be called so"


@pytest.mark.parametrize(
    "spoil", [no_description, no_yaml, no_file, twice, no_label_column, no_row, name_that_leads_elsewhere]
)
def test_a_wrong_manifest_is_refused(
    spoil: Callable[[Path], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = write("manifest", tmp_path / "raw")
    said = spoil(raw)
    assert said in refused(capsys, "inspect", raw)


def test_a_row_that_ends_early_lacks_what_follows(tmp_path: Path) -> None:
    raw = write("manifest", tmp_path / "raw")
    raw.write_text(raw.read_text().replace(",b/pet.nii.gz,b/label.nii.gz", ""))
    _, cases = read_study(raw)
    assert (sorted(cases[1].images), cases[1].target) == (["CT", "T1-w"], None)


def test_the_manifest_of_the_docs_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/layouts.md").read_text()
    table = re.search(r"((?:^    .*,.*\n)+)", page[page.index("    case,") :], re.MULTILINE)
    description = re.search(r"((?:^    .*\n)+)", page[page.index("    name:") :], re.MULTILINE)
    (tmp_path / "strokes.csv").write_text(textwrap.dedent(table[1]))
    (tmp_path / "strokes.yaml").write_text(textwrap.dedent(description[1]))
    for name in ("anna/dwi", "anna/adc", "anna/lesion", "bert/dwi", "bert/lesion"):
        save(tmp_path / f"{name}.nii.gz", np.ones(SHAPE, dtype=np.float32))
    study, cases = read_study(tmp_path / "strokes.csv")
    assert study == Study(
        name="Strokes",
        modalities=("dwi", "adc"),
        classes={"background": 0, "core": 1, "penumbra": 2},
        regions={"lesion": Region(("core", "penumbra")), "core": Region(("core",), minimum_mm3=50)},
        spacing_mm=(1.0, 1.0, None),
    )
    assert [(case.name, sorted(case.images), case.target) for case in cases] == [
        ("anna", ["adc", "dwi"], tmp_path / "anna/lesion.nii.gz"), ("bert", ["dwi"], tmp_path / "bert/lesion.nii.gz")
    ]  # fmt: skip


def test_a_modality_with_a_hyphen_is_an_option_of_predict(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(json.dumps(ORGANS.to_dict()))
    arguments = parse("predict", predict, [str(tmp_path), "--T1-w", "a.nii", "--pet", "b.nii", "-o", "c.nii"])
    assert arguments["images"] == {"T1-w": Path("a.nii"), "pet": Path("b.nii")}


def test_overlapping_regions_are_unions_of_classes(tmp_path: Path) -> None:
    """BraTS as nnU-Net's documentation writes it."""
    content = {
        "channel_names": {"0": "T2w", "1": "FLAIR"},
        "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3},
        "regions_class_order": [1, 2, 3],
        "file_ending": ".nii.gz",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    save(tmp_path / "imagesTr/a_0000.nii.gz", np.ones(SHAPE, dtype=np.float32))
    study, _ = read_study(tmp_path)
    assert study.codes.tolist() == [0, 1, 2, 3]
    assert {name: study.region_classes(name) for name in study.regions} == {
        "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]
    }  # fmt: skip
    assert study.classes == TUMOURS.classes


def test_files_that_no_case_has_are_noted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt name makes a modality absent, a misspelt folder the whole case."""
    Path("raw/a/a_t1.nii.gz").rename("raw/a/a_T1.nii.gz")
    Path("raw/b").rename("raw/patient b")
    for words in (("inspect", "raw"), ("prepare", "raw", "prepared")):
        cli.run([*words, "--workers", "0"])
        said = capsys.readouterr().err
        assert "6 files in the folders of cases are taken for no modality, the first is raw/a/a_T1.nii.gz" in said


def test_a_folder_that_may_not_be_looked_into_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be a case, and it may be nothing of ours, as lost+found at the root of a disk."""
    Path("raw/lost+found").mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "lost+found" and access(path, mode))
    assert cli.run(["inspect", "raw", "--workers", "0"]) == 0
    said = capsys.readouterr()
    assert "note: raw/lost+found: may not be looked into; if it holds a case, change its permissions" in said.err


def test_a_table_leaves_out_what_it_likes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    passion("convert", "raw", "converted", "--to", "manifest")
    table = pd.read_csv("converted/manifest.csv")
    table.iloc[:1].to_csv("converted/manifest.csv", index=False)
    passion("inspect", "converted", "--workers", 0)
    assert "taken for no modality" not in capsys.readouterr().err


def test_a_file_of_nnunet_with_another_ending_is_no_absent_modality(tmp_path: Path) -> None:
    raw = write("nnunet", tmp_path / "raw")
    image = next(raw.glob("imagesTr/*_0000.nii.gz"))
    nibabel.save(nibabel.load(image), image.with_suffix(""))
    image.unlink()
    with pytest.raises(
        InputError, match=rf"{image.with_suffix('')}: is not called \.nii\.gz, which dataset\.json says"
    ):
        read_study(raw)
