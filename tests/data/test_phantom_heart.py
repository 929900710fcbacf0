"""Heart phantoms: what they must resemble, the same bytes for the same seed, the layout."""

from dataclasses import replace
from pathlib import Path

import heart_acceptance
import numpy as np
import pytest
from brain_acceptance import findings
from command_line import passion, refused

from passion.data.phantom.heart import RANGES_ML, HeartCase, generate_case, write_study
from passion.data.phantom.noise import smooth_plane
from passion.data.phantom.tumour import largest_part
from passion.data.sources import read_study
from passion.data.sources.myops import MYOPS2020
from passion.data.volumes import read_case


@pytest.fixture(scope="module")
def cases() -> list[HeartCase]:
    return [generate_case(0, index) for index in range(25)]


def test_population_resembles_myops(cases: list[HeartCase]) -> None:
    results = findings(heart_acceptance.acceptance(cases), heart_acceptance.LIMITS)
    assert [result.name for result in results] == list(heart_acceptance.LIMITS)
    assert [result for result in results if not result.ok] == []


def test_volumes_spread_over_the_real_ranges(cases: list[HeartCase]) -> None:
    for name, (low, high) in RANGES_ML.items():
        volumes = [case.volumes_ml[name] for case in cases]
        assert max(volumes) - min(volumes) > (high - low) / 2


def test_hearts_are_not_alike(cases: list[HeartCase]) -> None:
    """The cavity's long half axis over its short one, by second moments, in the slice next to the base."""
    ratios = []
    for case in cases:
        x, y = np.nonzero(case.labels[..., -1] == MYOPS2020.classes["LV"])
        short, long = np.sqrt(np.linalg.eigvalsh(np.cov(x, y)))
        ratios.append(long / short)
    assert np.median(ratios) > 1.05
    assert 1.2 < max(ratios) < 1.8


def test_the_right_ventricle_is_one_piece_beside_the_wall(cases: list[HeartCase]) -> None:
    for case in cases:
        right = case.labels == MYOPS2020.classes["RV"]
        left = case.labels == MYOPS2020.classes["LV"]
        for number in range(right.shape[2]):
            assert np.array_equal(largest_part(right[..., number]), right[..., number])
            assert right[..., number].any()
            assert np.nonzero(right[..., number])[0].mean() < np.nonzero(left[..., number])[0].mean()


def test_every_case_is_a_stack_of_thick_slices_with_every_label(cases: list[HeartCase]) -> None:
    for case in cases:
        assert set(np.unique(case.labels)) == set(MYOPS2020.classes.values())
        assert 2 <= case.labels.shape[2] <= 6
        assert 0.73 <= abs(case.affine[0, 0]) <= 0.76
        assert 12 <= case.affine[2, 2] <= 23
        assert all(400 <= extent <= 512 for extent in case.labels.shape[:2])
        assert {image.dtype for image in (*case.images.values(), case.labels)} == {np.dtype(np.int16)}
        assert {image.shape for image in case.images.values()} == {case.labels.shape}


def test_the_apex_is_smaller_than_the_base(cases: list[HeartCase]) -> None:
    for case in cases:
        cavity = (case.labels == MYOPS2020.classes["LV"]).sum(axis=(0, 1))
        assert cavity[0] < cavity[-1]


def test_figures_of_a_case_made_by_hand() -> None:
    codes = MYOPS2020.classes
    labels = np.zeros((10, 10, 2), np.int16)
    for row, name in enumerate(("myocardium", "LV", "RV", "edema", "scar")):
        labels[row] = codes[name]
    lge = np.full_like(labels, 5)
    lge[labels == codes["scar"]] = 9
    lge[labels == codes["LV"]] = 12
    case = HeartCase({"bssfp": labels, "lge": lge, "t2": -labels}, labels, np.diag([-5.0, -5.0, 20.0, 1.0]))
    figures = heart_acceptance.case_figures(case)
    assert figures["scar, ml"] == pytest.approx(10.0)
    assert figures["AUC of LV on bssfp"] == 1.0
    assert figures["AUC of edema on lge"] == 0.5
    assert figures["AUC of edema on t2"] == 0.0
    assert figures["AUC of scar on lge"] == 1.0
    assert figures["AUC of scar against LV on lge"] == 0.0


def test_figures_of_no_cases_are_refused() -> None:
    with pytest.raises(ValueError, match="no cases"):
        heart_acceptance.acceptance([])


def test_another_index_or_seed_is_another_case(cases: list[HeartCase]) -> None:
    other = generate_case(1, 0)
    assert other.labels.shape != cases[0].labels.shape or not np.array_equal(other.labels, cases[0].labels)
    assert cases[0].labels.shape != cases[1].labels.shape or not np.array_equal(cases[0].labels, cases[1].labels)


def test_noise_of_a_plane_has_unit_variance_and_the_asked_for_smoothness() -> None:
    plane = smooth_plane((300, 200), 12.0, 1.0, np.random.default_rng(0))
    assert plane.shape == (300, 200)
    assert plane.std() == pytest.approx(1, abs=0.1)
    assert np.corrcoef(plane[:-1].ravel(), plane[1:].ravel())[0, 1] > 0.9
    assert abs(np.corrcoef(plane[:-40].ravel(), plane[40:].ravel())[0, 1]) < 0.2


def test_the_same_seed_gives_the_same_bytes_however_many_cases(tmp_path: Path) -> None:
    write_study(tmp_path / "a", 2, seed=3)
    write_study(tmp_path / "b", 1, seed=3)
    files = sorted(path.relative_to(tmp_path / "b") for path in (tmp_path / "b").rglob("*_101_*"))
    assert len(files) == 4
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "b").rglob("*_101_*")}
    write_study(tmp_path / "b", 2, seed=3)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_source_reads_what_is_written_also_with_files_absent(tmp_path: Path) -> None:
    passion("phantom", "heart", tmp_path, "--cases", 2, "--seed", 1)
    (tmp_path / "train25/myops_training_102_DE.nii.gz").unlink()
    study, cases = read_study(tmp_path)
    assert study == replace(MYOPS2020, phantom=True)
    assert [case.name for case in cases] == ["myops_training_101", "myops_training_102"]
    assert [sorted(case.images) for case in cases] == [["bssfp", "lge", "t2"], ["bssfp", "t2"]]
    read = read_case(cases[0], study)
    made = generate_case(1, 0)
    np.testing.assert_array_equal(study.codes[read.labels], made.labels)
    np.testing.assert_array_equal(read.images["lge"].voxels, made.images["lge"])


def test_test_cases_without_labels_are_listed(tmp_path: Path) -> None:
    passion("phantom", "heart", tmp_path, "--cases", 1)
    (tmp_path / "test20").mkdir()
    for suffix in ("C0", "T2"):
        source = tmp_path / f"train25/myops_training_101_{suffix}.nii.gz"
        (tmp_path / f"test20/myops_test_201_{suffix}.nii.gz").write_bytes(source.read_bytes())
    _, cases = read_study(tmp_path)
    assert [(case.name, case.target is None) for case in cases] == [
        ("myops_test_201", True),
        ("myops_training_101", False),
    ]


@pytest.mark.parametrize("words", [("--cases", 0), ("--seed", -1)])
def test_numbers_that_make_no_sense_are_refused(
    words: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert str(words[1]) in refused(capsys, "phantom", "heart", tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert "other files" in refused(capsys, "phantom", "heart", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    write_study(tmp_path / "study", 1, seed=2)
    assert "other settings" in refused(capsys, "phantom", "heart", tmp_path / "study", "--cases", 1, "--seed", 3)


def test_uncompressed_files_count_and_a_case_may_have_no_modality(tmp_path: Path) -> None:
    for file in (
        "train25/myops_training_101_T2.nii", "train25/.hidden_C0.nii.gz", "train25/letter.txt",
        "train25_myops_gd/myops_training_102_gd.nii.gz",
    ):  # fmt: skip
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    _, cases = read_study(tmp_path)
    assert [(case.name, sorted(case.images), case.target is not None) for case in cases] == [
        ("myops_training_101", ["t2"], False),
        ("myops_training_102", [], True),
    ]
