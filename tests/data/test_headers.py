"""What headers say about where voxels are."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from command_line import passion

from passion import cli
from passion.data.volumes import read_image, read_volume
from passion.errors import InputError

VOXELS = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
SFORM = np.array([[-1.0, 0, 0, 3], [0, 1.5, 0, -4], [0, 0, 2, 5], [0, 0, 0, 1]])
QFORM = np.array([[-1.0, 0, 0, 3], [0, 1.5, 0, -4], [0, 0, 2, 9], [0, 0, 0, 1]])


def write(path: Path, sform_code: int, qform_code: int, unit: str = "mm", voxels: np.ndarray = VOXELS) -> Path:
    image = nibabel.Nifti1Image(voxels, None)
    image.header.set_zooms((1, 1.5, 2, *[1] * (voxels.ndim - 3)))
    image.header.set_xyzt_units(unit)
    image.header.set_sform(SFORM, sform_code)
    image.header.set_qform(QFORM, qform_code)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize(
    ("codes", "affine", "doubts"),
    [
        ((1, 0), SFORM, ()),
        ((0, 1), QFORM, ()),
        ((2, 1), SFORM, ("sform and qform differ, origin by 4 mm; the sform is used",)),
        (
            (0, 0),
            # The middle voxel is at 0, and x runs to the left.
            np.array([[-1, 0, 0, 2], [0, 1.5, 0, -3.75], [0, 0, 2, -6], [0, 0, 0, 1]]),
            ("neither sform nor qform is set; voxel sizes alone say where it is, left and right are a guess",),
        ),
    ],
)
def test_which_form_is_used_and_what_is_doubtful(
    codes: tuple[int, int], affine: np.ndarray, doubts: tuple[str, ...], tmp_path: Path
) -> None:
    volume = read_image(write(tmp_path / "a.nii.gz", *codes))
    np.testing.assert_allclose(volume.affine, affine)
    assert volume.doubts == doubts


def test_a_qform_that_makes_no_sense_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", 1, 1)
    content = bytearray(path.read_bytes())
    content[256:268] = np.array([0.9, 0.9, 0.9], dtype=np.float32).tobytes()
    path.write_bytes(content)
    assert read_image(path).doubts == ("the qform makes no sense; the sform is used",)


def test_other_units_are_told(tmp_path: Path) -> None:
    assert read_image(write(tmp_path / "a.nii", 1, 0, "micron")).doubts == (
        "its lengths are said to be in micron; they are read as mm",
    )
    assert read_image(write(tmp_path / "a.nii", 1, 0, "unknown")).doubts == ()


def test_trailing_axes_of_one_are_dropped(tmp_path: Path) -> None:
    plain = read_volume(write(tmp_path / "a.nii", 1, 0))
    for more in ((1,), (1, 1)):
        volume = read_volume(write(tmp_path / "b.nii", 1, 0, voxels=VOXELS.reshape(*VOXELS.shape, *more)))
        np.testing.assert_array_equal(volume.voxels, VOXELS)
        assert volume.grid.differences(plain.grid) == []


@pytest.mark.parametrize("column", [[0, 0, 0], [-1, 0, 0], [np.nan, 0, 0]])
def test_an_affine_that_cannot_be_is_refused(column: list[float], tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", 1, 0)
    content = bytearray(path.read_bytes())
    affine = SFORM.copy()
    affine[:3, 1] = column
    content[280:328] = affine[:3].astype(np.float32).tobytes()
    path.write_bytes(content)
    with pytest.raises(InputError, match="affine puts all voxels into one plane or nowhere"):
        read_image(path)


def test_inspect_says_it_in_a_line_for_all_files_of_a_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in ("t1", "t1ce", "flair", "t2"):
        write(tmp_path / f"raw/a/a_{suffix}.nii.gz", 1, 1 if suffix != "t2" else 0)
    write(tmp_path / "raw/a/a_seg.nii.gz", 1, 1, voxels=(VOXELS > 0).astype(np.uint8))
    passion("inspect", tmp_path / "raw", "--json", "--workers", 0)
    (case,) = json.loads(capsys.readouterr().out)["cases"]
    assert case["remarks"] == [
        "case a, t1, t1c, flair, target: sform and qform differ, origin by 4 mm; the sform is used"
    ]


def test_inspect_asks_about_a_background_that_is_not_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shifted = np.where(np.indices((10, 10, 10)).sum(0) < 9, -1000, np.arange(1000).reshape(10, 10, 10)).astype(np.int16)
    for suffix, voxels in (("t1", shifted), ("t1ce", shifted + 1000)):
        write(tmp_path / f"raw/a/a_{suffix}.nii.gz", 1, 1, voxels=voxels)
    assert cli.run(["inspect", str(tmp_path / "raw"), "--json", "--workers", "0"]) == 2
    (case,) = json.loads(capsys.readouterr().out)["cases"]
    (remark,) = [line for line in case["remarks"] if "voxels are" in line]
    assert remark.startswith("case a, t1: 16% of the voxels are -1000, as the first one; if that is the background")
