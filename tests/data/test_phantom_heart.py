"""Heart phantoms: what they must resemble, the same bytes for the same seed, the layout."""

from pathlib import Path

import numpy as np
import pytest
from command_line import passion, refused

from passion.data.phantom import heart_acceptance
from passion.data.phantom.acceptance import findings
from passion.data.phantom.heart import HeartCase, generate_case, write_study
from passion.data.sources import read_study
from passion.data.sources.myops import MYOPS2020
from passion.data.volumes import read_case


@pytest.fixture(scope="module")
def cases() -> list[HeartCase]:
    return [generate_case(0, index) for index in range(10)]


def test_figures_are_within_their_limits(cases: list[HeartCase]) -> None:
    results = findings(heart_acceptance.acceptance(cases), heart_acceptance.LIMITS)
    assert not [result for result in results if not result.ok]


def test_every_case_is_a_stack_of_thick_slices_with_every_label(cases: list[HeartCase]) -> None:
    for case in cases:
        assert set(np.unique(case.labels)) == set(MYOPS2020.classes.values())
        assert 2 <= case.labels.shape[2] <= 6
        assert 0.73 <= abs(case.affine[0, 0]) <= 0.76
        assert 12 <= case.affine[2, 2] <= 23
        assert {image.shape for image in case.images.values()} == {case.labels.shape}


def test_the_apex_is_smaller_than_the_base(cases: list[HeartCase]) -> None:
    for case in cases:
        cavity = (case.labels == MYOPS2020.classes["LV"]).sum(axis=(0, 1))
        assert cavity[0] < cavity[-1]


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
    assert study == MYOPS2020
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
