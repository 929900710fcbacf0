"""Public data sets as they come out of their archives, and what is easily wrong with them."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_line import listing, passion, refused
from layouts import SHAPE, STROKES, STUDIES, draw_cases, save, write

from passion.cli import run
from passion.data.new_cases import read_new_cases
from passion.data.sources import SOURCES, read_study
from passion.data.study import Case, Region
from passion.errors import InputError

RANDOM = np.random.default_rng(0)
BRATS = ("t1", "t1ce", "t2", "flair")


def save_image(path: Path) -> Path:
    save(path, RANDOM.integers(1, 999, SHAPE).astype(np.int16))
    return path


def save_labels(path: Path, codes: Sequence[int]) -> Path:
    save(path, RANDOM.choice(codes, size=SHAPE).astype(np.uint8))
    return path


def save_brats(folder: Path, labels: str | None = None, ending: str = ".nii.gz") -> None:
    for suffix in BRATS:
        save_image(folder / f"{folder.name}_{suffix}{ending}")
    if labels:
        save_labels(folder / f"{labels}{ending}", [0, 1, 2, 4])


def shown(cases: Sequence[Case]) -> list[tuple[str, list[str], bool]]:
    return [(case.name, sorted(case.images), case.target is not None) for case in cases]


ALL = ["flair", "t1", "t1c", "t2"]


def test_brats_2018_and_2019_have_grades(tmp_path: Path) -> None:
    for grade, name in (("HGG", "Brats18_2013_10_1"), ("LGG", "Brats18_TCIA09_141_1")):
        save_brats(tmp_path / grade / name, f"{name}_seg")
    (tmp_path / "survival_data.csv").write_text("Brats18ID,Age,Survival,ResectionStatus\n")
    study, cases = read_study(tmp_path)
    assert study.name == "BraTS2020"
    assert shown(cases) == [("Brats18_2013_10_1", ALL, True), ("Brats18_TCIA09_141_1", ALL, True)]


def test_brats_2020_has_one_label_file_of_another_name(tmp_path: Path) -> None:
    save_brats(tmp_path / "BraTS20_Training_354", "BraTS20_Training_354_seg", ".nii")
    save_brats(tmp_path / "BraTS20_Training_355", "W39_1998.09.19_Segm", ".nii")
    save_brats(tmp_path / "BraTS20_Validation_001")
    (tmp_path / "name_mapping.csv").write_text("Grade,BraTS_2017_subject_ID\n")
    assert shown(read_study(tmp_path)[1]) == [
        ("BraTS20_Training_354", ALL, True), ("BraTS20_Training_355", ALL, True), ("BraTS20_Validation_001", ALL, False)
    ]  # fmt: skip


def test_an_image_that_is_there_compressed_and_not_is_a_problem_of_its_case(tmp_path: Path) -> None:
    for name in "abc":
        save_brats(tmp_path / f"raw/{name}", f"{name}_seg")
    shutil.copy(tmp_path / "raw/a/a_t2.nii.gz", tmp_path / "raw/a/a_t2.nii")
    shutil.copy(tmp_path / "raw/b/b_seg.nii.gz", tmp_path / "raw/b/b_seg.nii")
    lines = [
        f"{tmp_path}/raw/{case}/{case}_{what}.nii.gz: {case}_{what}.nii is there too, for the same image; remove one"
        for case, what in (("a", "t2"), ("b", "seg"))
    ]
    for command in (["prepare"], ["convert", "--to", "nnunet"]):
        with pytest.raises(InputError) as said:
            run([*command, str(tmp_path / "raw"), str(tmp_path / "out"), "--workers", "0"])
        assert str(said.value).splitlines() == lines
    assert not (tmp_path / "out").exists()
    passion("prepare", tmp_path / "raw", tmp_path / "out", "--skip-broken", "--workers", 0)
    assert [path.name for path in (tmp_path / "out/cases").iterdir()] == ["c"]


def test_folders_that_are_called_like_files_are_none(tmp_path: Path) -> None:
    """As archives of some mirrors are unpacked."""
    for suffix in BRATS:
        save_image(tmp_path / f"a/a_{suffix}.nii/00000057_brain_{suffix}.nii")
    with pytest.raises(InputError, match="holds no case of a known layout"):
        read_study(tmp_path)


def test_images_of_other_names_are_of_no_layout(tmp_path: Path) -> None:
    """UPENN-GBM and UCSF-PDGM."""
    for suffix in ("T1", "T1GD", "T2", "FLAIR"):
        save_image(tmp_path / f"upenn/UPENN-GBM-00001_11/UPENN-GBM-00001_11_{suffix}.nii.gz")
        save_image(tmp_path / f"ucsf/UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_{suffix}.nii.gz")
    for folder in ("upenn", "ucsf"):
        with pytest.raises(InputError, match=r"no case of a known layout .* or list its files in a manifest"):
            read_study(tmp_path / folder)


def test_a_label_more_than_the_layout_knows_is_added_in_a_manifest(tmp_path: Path, capsys) -> None:
    """BraTS 2024 after treatment: label 4 is the resection cavity."""
    name = "BraTS-GLI-02060-100"
    for suffix in ("t1n", "t1c", "t2w", "t2f"):
        save_image(tmp_path / "raw" / name / f"{name}-{suffix}.nii.gz")
    save_labels(tmp_path / "raw" / name / f"{name}-seg.nii.gz", [0, 1, 2, 3, 4])
    line = refused(capsys, "prepare", tmp_path / "raw", tmp_path / "prepared", "--workers", 0)
    assert "label 4 is not one of BraTS2023's (0, 1, 2, 3); recode the file, or add the label to" in line
    passion("convert", tmp_path / "raw", tmp_path / "own", "--to", "manifest", "--link", "--workers", 0)
    path = tmp_path / "own/manifest.yaml"
    words = yaml.safe_load(path.read_text())
    words["classes"]["RC"] = 4
    words["regions"]["RC"] = ["RC"]
    path.write_text(yaml.safe_dump(words, sort_keys=False))
    study, _ = read_study(tmp_path / "own")
    assert study.regions["RC"] == Region(("RC",))
    passion("prepare", tmp_path / "own", tmp_path / "prepared", "--workers", 0)


def test_the_test_set_of_myops_has_no_labels(tmp_path: Path) -> None:
    for folder, name in (("train25", "myops_training_101"), ("test20", "myops_test_201")):
        for suffix in ("C0", "DE", "T2"):
            save_image(tmp_path / folder / f"{name}_{suffix}.nii.gz")
    save_labels(tmp_path / "train25_myops_gd/myops_training_101_gd.nii.gz", [0, 200])
    modalities = ["bssfp", "lge", "t2"]
    assert shown(read_study(tmp_path)[1]) == [
        ("myops_test_201", modalities, False), ("myops_training_101", modalities, True)
    ]  # fmt: skip
    save_image(tmp_path / "test20/myops_training_101_C0.nii.gz")
    with pytest.raises(InputError, match="case 'myops_training_101' is listed twice"):
        read_study(tmp_path)


def save_task01(root: Path) -> dict[str, object]:
    """Task01_BrainTumour of the Decathlon, with two of its cases."""
    for path in ("imagesTr/BRATS_457", "imagesTs/BRATS_575"):
        save(root / f"{path}.nii.gz", RANDOM.normal(size=(*SHAPE, 4)).astype(np.float32))
    save_labels(root / "labelsTr/BRATS_457.nii.gz", [0, 1, 2, 3])
    content = {
        "name": "BRATS",
        "tensorImageSize": "4D",
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
        "numTraining": 484,
        "numTest": 266,
        "training": [{"image": "./imagesTr/BRATS_457.nii.gz", "label": "./labelsTr/BRATS_457.nii.gz"}],
        "test": ["./imagesTs/BRATS_575.nii.gz"],
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return content


def test_the_decathlons_first_task(tmp_path: Path) -> None:
    save_task01(tmp_path)
    study, cases = read_study(tmp_path)
    assert study.modalities == ("FLAIR", "T1w", "t1gd", "T2w")
    assert dict(study.classes) == {"background": 0, "edema": 1, "non-enhancing tumor": 2, "enhancing tumour": 3}
    modalities = ["FLAIR", "T1w", "T2w", "t1gd"]
    assert shown(cases) == [("BRATS_457", modalities, True), ("BRATS_575", modalities, False)]


def test_the_first_nnunet_is_told_from_the_decathlon(tmp_path: Path) -> None:
    save_task01(tmp_path)
    (tmp_path / "imagesTr/BRATS_457.nii.gz").rename(tmp_path / "imagesTr/BRATS_457_0000.nii.gz")
    with pytest.raises(InputError, match=r"as in nnU-Net 1; convert it with nnUNetv2_convert_old_nnUNet_dataset"):
        read_study(tmp_path)


def test_a_byte_order_mark_is_no_part_of_a_dataset(tmp_path: Path) -> None:
    save_task01(tmp_path)
    path = tmp_path / "dataset.json"
    before = read_study(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_study(tmp_path) == before


def save_nnunet(root: Path, **more: object) -> None:
    content = {
        "channel_names": {"0": "CT", "1": "PET"},
        "labels": {"background": 0, "tumour": 1},
        "numTraining": 1,
        "file_ending": ".nii.gz",
        **more,
    }
    root.mkdir(exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(content))


def test_nnunets_test_cases_may_have_labels(tmp_path: Path) -> None:
    save_nnunet(tmp_path)
    for case in ("imagesTr/a", "imagesTs/b", "imagesTs/c"):
        for number in range(2):
            save_image(tmp_path / f"{case}_{number:04}.nii.gz")
    for case in ("labelsTr/a", "labelsTs/b"):
        save_labels(tmp_path / f"{case}.nii.gz", [0, 1])
    assert [(case.name, case.target is not None) for case in read_study(tmp_path)[1]] == [
        ("a", True), ("b", True), ("c", False)
    ]  # fmt: skip


def test_nnunets_files_may_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGES", str(tmp_path / "images"))
    listed = {"a": {"images": ["${IMAGES}/ct.nii.gz", "../images/pet.nii.gz"], "label": "../images/label.nii.gz"}}
    save_nnunet(tmp_path / "raw", dataset=listed)
    with pytest.raises(InputError, match=r"case 'a' lists .*images/ct.nii.gz, and there is no such file"):
        read_study(tmp_path / "raw")
    for name in ("ct", "pet", "label"):
        save_image(tmp_path / f"images/{name}.nii.gz")
    [case] = read_study(tmp_path / "raw")[1]
    assert {name: os.path.realpath(path) for name, path in case.files.items()} == {
        "CT": str(tmp_path / "images/ct.nii.gz"),
        "PET": str(tmp_path / "images/pet.nii.gz"),
        "target": str(tmp_path / "images/label.nii.gz"),
    }
    for wrong, said in (
        ({"a": {"images": ["x"], "label": "y"}}, r"images \['x'\], expected a file for each modality"),
        ({"a": {"images": ["x", "y"]}}, "has no key 'label'"),
        ([], r"dataset is \[\], expected names with values"),
    ):
        save_nnunet(tmp_path / "raw", dataset=wrong)
        with pytest.raises(InputError, match=said):
            read_study(tmp_path / "raw")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/dev/null/victim", "cannot be called so; rename it"),
        ("../../escaped", "cannot be called so; rename it"),
        ("a\\b", "cannot be called so; rename it"),
        ("", "cannot be called so; rename it"),
        ("a ", "cannot be called so; rename it"),
        ("a_slice_3", "is called as a slice of case 'a' is; rename it, without _slice_"),
    ],
)
def test_nnunets_listed_cases_stay_within_the_study(name: str, said: str, trained: Path, here: Path, capsys) -> None:
    files = [f"../raw/a/a_{suffix}.nii.gz" for suffix in ("t1", "t2", "seg")]
    listed = {name: {"images": files[:2], "label": files[2]}}
    save_nnunet(Path("nnunet"), channel_names={"0": "t1", "1": "t2"}, dataset=listed)
    before = listing()
    for words in (
        ("prepare", "nnunet", "out/prepared"),
        ("convert", "nnunet", "out/raw", "--to", "manifest"),
        ("predict", trained, "--cases", "nnunet", "-o", "out/masks"),
    ):
        assert f"nnunet: case {name!r} {said}" in refused(capsys, *words)
    assert listing() == before


@pytest.mark.parametrize("layout", SOURCES)
def test_no_layout_takes_a_case_for_a_slice(layout: str, tmp_path: Path) -> None:
    cases = draw_cases(STUDIES[layout], np.random.default_rng(0), complete=True)
    named = {f"a_slice_{number}": case for number, case in enumerate(cases.values())}
    raw = write(layout, tmp_path / "raw", STUDIES[layout], named)
    with pytest.raises(InputError, match="case 'a_slice_0' is called as a slice of case 'a' is"):
        read_study(raw)
    with pytest.raises(InputError, match="case 'a_slice_0' is called as a slice of case 'a' is"):
        read_new_cases(raw, None, STUDIES[layout])


def manifest(tmp_path: Path) -> Path:
    """A table as this package writes it."""
    cases = draw_cases(STROKES, np.random.default_rng(1))
    return write("manifest", tmp_path / "raw with space", STROKES, cases) / "manifest.csv"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: "\ufeff" + text.replace(",", ";").replace("\n", "\r\n"),
        lambda text: text.replace(",", "\t"),
        lambda text: text + ",,,\n\n , ,,\n",
        lambda text: text.replace("\n", ",,\n"),
        lambda text: text.replace(",", " , "),
        lambda text: "\n".join(",".join(f'"{cell}"' for cell in row.split(",")) for row in text.splitlines()),
    ],
    ids=["Windows", "mark", "semicolons", "tabs", "empty rows", "empty columns", "spaces", "quotes"],
)
def test_tables_of_spreadsheets_are_read(change, tmp_path: Path) -> None:
    path = manifest(tmp_path)
    before = read_study(path)
    path.write_bytes(change(path.read_text()).encode())
    path.with_suffix(".yaml").write_bytes(b"\xef\xbb\xbf" + path.with_suffix(".yaml").read_bytes())
    assert read_study(path) == before
    renamed = path.rename(path.with_suffix(".CSV"))
    assert read_study(renamed) == before


def test_paths_may_be_absolute_or_of_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = manifest(tmp_path)
    _, before = read_study(path)
    monkeypatch.setenv("HOME", str(path.parent))
    for prefix in ("~/", f"{path.parent}/", "./"):
        moved = path.with_name("moved.csv")
        moved.with_suffix(".yaml").write_text(path.with_suffix(".yaml").read_text())
        moved.write_text(path.read_text().replace("case_", prefix + "case_").replace(f"\n{prefix}", "\n"))
        assert read_study(moved)[1] == before
    path.write_text(path.read_text().replace(",case_", ",~nobody-at-all/case_"))
    with pytest.raises(InputError, match="there is no file '~nobody-at-all/case_"):
        read_study(path)


def test_a_file_in_two_cells_is_refused(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    case = next(case.name for case in read_study(path)[1] if {"dwi", "target"} <= case.files.keys())
    path.write_text(path.read_text().replace(f"{case}/label.nii.gz", f"./{case}/dwi.nii.gz"))
    with pytest.raises(InputError, match=rf"'{case}', column 'dwi', and case '{case}', column 'label'; correct one"):
        read_study(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spatial_dims": 4}, "spatial_dims is 4, expected 2 for slices or 3 for volumes"),
        (
            {"regions": {"core": {"classes": ["core"], "colour": 1}}},
            "regions.core.colour is unknown; there are",
        ),
        ({"regions": {"core": {"classes": ["core"], "minimum_mm3": -1}}}, "minimum_mm3 -1, expected a volume"),
        (
            {"regions": {"core": {"classes": ["core"], "averaged": "no"}}},
            "averaged is 'no', expected true or false",
        ),
        ({"regions": {"core": {"averaged": False}}}, "regions.core.classes is missing"),
    ],
    ids=str,
)
def test_a_wrong_description_is_refused(change: dict[str, object], said: str, tmp_path: Path, capsys) -> None:
    path = manifest(tmp_path).with_suffix(".yaml")
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    assert said in refused(capsys, "inspect", path.with_suffix(".csv"))
