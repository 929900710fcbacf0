"""NIfTI files are read as nibabel reads them, and without believing what they promise."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from wrong_inputs import (
    AFFINE,
    SHAPE,
    bomb,
    image,
    with_header,
)

from passion.data.study import Channel
from passion.data.volumes import read_channel, read_volume
from passion.errors import InputError

TERABYTES = with_header("a_t1", dim=[3, *[32767] * 3, 1, 1, 1, 1])


@pytest.mark.parametrize("spoil", [bomb, TERABYTES], ids=["bomb", "header"])
def test_what_a_file_promises_takes_no_memory(spoil: Callable[[], object], here: Path) -> None:
    spoil()
    tracemalloc.start()
    with pytest.raises(InputError):
        read_volume(image("a_t1"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8"])
def test_voxels_are_those_that_nibabel_reads(
    dtype: str, kind: type[nibabel.Nifti1Image], order: str, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    header = kind.header_class(endianness=order)
    header.set_data_dtype(dtype)
    voxels = random.integers(0, 200, (*SHAPE, 2)).astype(dtype)
    for number, scaling in enumerate([None, (0.25, -3.0)]):
        stored = kind(voxels, AFFINE, header)
        if scaling:
            stored.header.set_slope_inter(*scaling)
        for ending in (".nii", ".nii.gz"):
            path = tmp_path / f"{number}{ending}"
            nibabel.save(stored, path)
            expected = nibabel.load(path)
            for index in range(2):
                read = read_channel(Channel(path, index, 2))
                np.testing.assert_allclose(read.voxels, expected.get_fdata()[..., index], rtol=1e-6)
                np.testing.assert_array_equal(read.affine, expected.affine)
