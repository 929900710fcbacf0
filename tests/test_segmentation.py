"""What a segmentation tells of itself, and what it writes."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from passion.data.boxes import Box
from passion.data.resampling import Grid
from passion.data.sources.brats import BRATS2020
from passion.errors import InputError
from passion.segmentation import Segmentation

AFFINE = np.array([[-2.0, 0, 0, 5], [0, -1.5, 0.3, 0], [0, 0.2, 3.0, -7], [0, 0, 0, 1]])
BOX = Box((1, 0, 2), (4, 3, 4))


def made(header: nibabel.Nifti1Header | None = None, kept: bool = True) -> Segmentation:
    random = np.random.default_rng(0)
    grid = Grid((5, 4, 6), AFFINE)
    labels = random.choice([0, 1, 2, 4], grid.shape).astype(np.int16)
    in_box = random.dirichlet(np.ones(4), BOX.shape).astype(np.float32) if kept else None
    probabilities = None if in_box is None else np.moveaxis(in_box, -1, 0)
    return Segmentation(labels, "t1+t2", "t1", BRATS2020, grid, grid, BOX, probabilities, header)


def test_regions_unite_classes_and_volumes_count_their_voxels() -> None:
    found = made()
    np.testing.assert_array_equal(found.region("TC"), np.isin(found.labels, [1, 4]))
    voxel_mm3 = np.dot(AFFINE[:3, 0], np.cross(AFFINE[:3, 1], AFFINE[:3, 2]))
    assert found.volume_ml("WT") == pytest.approx(abs(voxel_mm3) * (found.labels > 0).sum() / 1000)
    with pytest.raises(InputError, match="'tumour': BraTS2020 has WT, TC, ET"):
        found.region("tumour")


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_files_have_the_place_and_the_header_of_the_input(ending: str, tmp_path: Path) -> None:
    source = nibabel.Nifti1Image(np.zeros((5, 4, 6, 1), np.uint8), AFFINE)
    source.header["descrip"] = b"of the scanner"
    source.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"a note"))
    source.header.set_slope_inter(2, 1)
    found = made(source.header)
    found.save(tmp_path / f"labels.{ending}")
    found.save_probabilities(tmp_path / f"soft.{ending}")
    labels, soft = (nibabel.load(tmp_path / f"{name}.{ending}") for name in ("labels", "soft"))
    np.testing.assert_array_equal(np.asarray(labels.dataobj)[..., 0], found.labels)
    np.testing.assert_array_equal(np.asarray(soft.dataobj), np.moveaxis(found.probabilities(), 0, -1))
    for image in (labels, soft):
        np.testing.assert_allclose(image.affine, AFFINE, atol=1e-6)
        assert bytes(image.header["descrip"]).startswith(b"of the scanner")


def test_probabilities_are_one_everywhere_and_background_outside_the_box() -> None:
    probabilities = made().probabilities()
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-6)
    outside = np.ones((5, 4, 6), dtype=bool)
    outside[BOX.slices] = False
    assert (probabilities[0][outside] == 1).all()


def test_what_cannot_be_saved_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must end in"):
        made().save(tmp_path / "a.png")
    with pytest.raises(InputError, match="probabilities=True"):
        made(kept=False).save_probabilities(tmp_path / "a.nii")
    assert list(tmp_path.iterdir()) == []
