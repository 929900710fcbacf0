"""Splits that keep the scans of a patient together."""

from pathlib import Path

import pytest
from command_line import passion, refused

from passion.data.split import PARTS, check_patients, draw_folds, draw_split, patients_of, read_list, read_split
from passion.errors import InputError

SCANS = [f"P{patient:02}_{scan}" for patient in range(40) for scan in range(1 + patient % 3)]
WHOSE = patients_of(SCANS, "^[^_]+")


@pytest.mark.parametrize("seed", range(5))
def test_scans_of_a_patient_stay_together(seed: int) -> None:
    split = draw_split(SCANS, seed, patients=WHOSE)
    assert sorted(name for part in PARTS for name in split[part]) == sorted(SCANS)
    check_patients(split, WHOSE, "the draw")
    sizes = draw_split(SCANS, seed)
    for part in PARTS:
        assert abs(len(split[part]) - len(sizes[part])) <= 2
    folds = draw_folds(SCANS, seed, 5, WHOSE)
    assert sorted(name for fold in folds for name in fold["test"]) == sorted(SCANS)
    for fold in folds:
        check_patients(fold, WHOSE, "the draw")
        assert sorted(name for part in PARTS for name in fold[part]) == sorted(SCANS)


def test_a_patient_in_two_parts_is_named() -> None:
    split = {"train": ("P00_0", "P01_0"), "val": (), "test": ("P01_1",)}
    with pytest.raises(InputError, match="lists: patient 'P01' is both in train and in test; keep one"):
        check_patients(split, patients_of([name for names in split.values() for name in names], "P.."), "lists")


def test_sizes_that_a_patient_fills_alone_are_refused() -> None:
    scans = ["a_1", "a_2", "a_3", "b_1"]
    with pytest.raises(InputError, match="--patient: leaves nobody for"):
        draw_split(scans, 0, {"train": 2, "val": 1, "test": 1}, patients_of(scans, "^."))


def test_lists_are_read_as_editors_save_them(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes("\ufeffAnna M 1\r\n\r\n  HG_b \r\n".encode())
    assert read_list(path, ["Anna M 1", "b", "c"]) == ("Anna M 1", "b")


@pytest.mark.parametrize("mark", ",;\t")
def test_splits_are_read_as_spreadsheets_save_them(mark: str, tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    rows = ("case,part", "Anna M 1, train", "b ,test ", ",", "", "c,train", " ,")
    path.write_bytes("\r\n".join(("\ufeff" + rows[0], *rows[1:])).replace(",", mark).encode())
    assert read_split(path, ["Anna M 1", "b", "c"]) == {"train": ("Anna M 1", "c"), "val": (), "test": ("b",)}


def test_the_command(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Cases 1 to 3, 4 to 6, and 7 and 8 are a patient's each, who is called by a text of another length."""
    words = ("split", raw, "-o", tmp_path / "split.csv", "--patient")
    pattern = "Training_00(?=[1-3])|Training_0(?=0[4-6])|Training_(?=00[78])"
    passion(*words, pattern, "--folds", 3)
    names = sorted(path.name for path in raw.iterdir() if path.is_dir())
    for fold in (1, 2, 3):
        split = read_split(tmp_path / f"split-{fold}.csv", names)
        check_patients(split, patients_of(names, pattern), "the file")
        assert len(split["test"]) in (2, 3)
    assert "is no regular expression" in refused(capsys, *words, "(")
    assert "finds nothing in the name of case" in refused(capsys, *words, "XYZ")
