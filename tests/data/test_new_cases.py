"""Which cases a folder, a table or numbered files hold for a run, and which of them headers show to be broken."""

import gzip
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from passion.data.new_cases import check_headers, read_new_cases
from passion.data.sources.brats import BRATS2020
from passion.data.sources.contract import unrecognised
from passion.data.study import Case
from passion.errors import InputError

FIRST = "BraTS20_Training_001"


def written(path: Path, shape: tuple[int, ...] = (4, 5, 6), affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(0).integers(1, 99, shape, dtype=np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
    return path


def test_any_layout_is_read(raw: Path) -> None:
    cases = read_new_cases(raw, None, BRATS2020)
    assert len(cases) == 8
    assert cases[0].images["t1c"] == raw / FIRST / f"{FIRST}_t1ce.nii.gz"
    assert unrecognised(cases) == []


def test_a_misspelt_file_is_noticed(raw: Path, tmp_path: Path) -> None:
    shutil.copytree(raw / FIRST, tmp_path / FIRST)
    odd = (tmp_path / FIRST / f"{FIRST}_flair.nii.gz").rename(tmp_path / FIRST / f"{FIRST}_fliar.nii.gz")
    cases = read_new_cases(tmp_path, None, BRATS2020)
    assert set(cases[0].images) == {"t1", "t1c", "t2"}
    assert unrecognised(cases) == [odd]


def test_a_table_needs_no_labels_and_no_description(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("case,flair,t1\nb,x/f.nii,\na,f.nii,t.nii\n")
    cases = read_new_cases(tmp_path / "list.csv", None, BRATS2020)
    assert cases == [
        Case("a", {"flair": tmp_path / "f.nii", "t1": tmp_path / "t.nii"}), Case("b", {"flair": tmp_path / "x/f.nii"})
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("case,pet\na,f.nii\n", "column 'pet' is unknown; expected case, t1, t1c, flair, t2, label"),
        ("case,t1\na,f.nii\na,g.nii\n", "'a'"),
        ("case,t1\n../a,f.nii\n", "cannot be called so"),
        ("case,t1\na_slice_3,f.nii\n", "is called as a slice"),
        ("name,t1\na,f.nii\n", "has no column 'case'"),
    ],
)
def test_a_wrong_table_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_new_cases(tmp_path / "list.csv", None, BRATS2020)


def test_numbered_files_are_the_modalities_of_the_run_in_their_order(tmp_path: Path) -> None:
    files = [written(tmp_path / "images" / name) for name in ("a_1_0000.nii.gz", "a_1_0002.nii.gz", "b_0003.nii")]
    with pytest.raises(InputError, match=r"_0001 is t1c.*--layout nnunet"):
        read_new_cases(tmp_path / "images", None, BRATS2020)
    cases = read_new_cases(tmp_path / "images", "nnunet", BRATS2020)
    assert cases == [Case("a_1", {"t1": files[0], "flair": files[1]}), Case("b", {"t2": files[2]})]
    odd = written(tmp_path / "images" / "a_slice_3_0000.nii.gz")
    with pytest.raises(InputError, match="images: case 'a_slice_3' is called as a slice of case 'a' is"):
        read_new_cases(tmp_path / "images", "nnunet", BRATS2020)
    odd.unlink()
    written(tmp_path / "images" / "b_0003.nii.gz")
    (twins,) = [case for case in read_new_cases(tmp_path / "images", "nnunet", BRATS2020) if case.problems]
    with pytest.raises(InputError, match=r"b_0003.nii: b_0003.nii.gz is there too, for the same image; remove one"):
        check_headers(twins, BRATS2020)
    written(tmp_path / "images" / "c_0004.nii.gz")
    files[2].unlink()
    with pytest.raises(InputError, match="_0003 for t2"):
        read_new_cases(tmp_path / "images", "nnunet", BRATS2020)


def test_beside_a_declaration_its_numbers_count(tmp_path: Path) -> None:
    path = written(tmp_path / "imagesTs" / "a_0000.nii.gz")
    declared = {"channel_names": {"0": "t2", "1": "t1"}, "labels": {"background": 0}, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(declared))
    assert read_new_cases(tmp_path / "imagesTs", "nnunet", BRATS2020) == [Case("a", {"t2": path})]
    (tmp_path / "dataset.json").write_text(json.dumps({**declared, "channel_names": {"0": "CT"}}))
    with pytest.raises(InputError, match="has modality 'CT'"):
        read_new_cases(tmp_path / "imagesTs", "nnunet", BRATS2020)


def test_headers_tell_what_is_broken(tmp_path: Path) -> None:
    good, plain = written(tmp_path / "good.nii.gz"), written(tmp_path / "plain.nii")
    check_headers(Case("a", {"t1": good, "t2": plain}), BRATS2020)
    other, moved = written(tmp_path / "other.nii", (4, 5, 7)), written(tmp_path / "moved.nii", affine=2 * np.eye(4))
    cut, cut_plain, text = tmp_path / "cut.nii.gz", tmp_path / "cut.nii", tmp_path / "text.nii.gz"
    cut.write_bytes(good.read_bytes()[:-9])
    cut_plain.write_bytes(plain.read_bytes()[:-1])
    text.write_text("text")
    for files, said in (
        ({}, "no modality"), ({"t1": tmp_path / "no.nii"}, "no such file"), ({"t1": cut}, "cut.nii.gz: cannot be read"),
        ({"t1": cut_plain}, "cut.nii: cannot be read"), ({"t1": text}, "text.nii.gz: cannot be read"),
        ({"t1": good, "t2": other}, "shape"), ({"t1": good, "t2": moved}, "spacing"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            check_headers(Case("a", files), BRATS2020)


def test_a_file_compressed_in_several_parts_is_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii")
    content, parts = path.read_bytes(), tmp_path / "parts.nii.gz"
    parts.write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    check_headers(Case("a", {"t1": parts}), BRATS2020)
