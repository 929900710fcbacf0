"""NIfTI files, read without believing what they say about themselves.

No more is read or allocated than the file can hold, and a compressed file is read to its end, so that its checksum is
compared. Extensions of the header are passed over.
"""

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from nibabel.nifti1 import Nifti1Header, data_type_codes
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from passion.data.headers import is_usable
from passion.errors import InputError

MOST_VOXELS = 2**30
"""In one volume: 4 GiB as they are read."""

MOST_EXPANSION = 1032
"""Bytes that one compressed byte can become (https://www.zlib.net/zlib_tech.html)."""

PADDING = 4096
"""Bytes that may follow the voxels."""

UNREADABLE = (OSError, EOFError, ValueError, OverflowError, zlib.error, HeaderDataError)


@dataclass(frozen=True)
class NiftiFile:
    """An open file whose header has been read.

    Args:
        path: of the file.
        stream: its bytes, uncompressed.
        shape: of all voxels.
        dtype: of a voxel as stored.
        offset: of the first voxel in bytes.
        slope: of the linear function from stored to true values.
        intercept: of that function.
        affine: (4, 4), voxel indices to mm.
        header: all of it, nibabel's.
    """

    path: Path
    stream: BinaryIO
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    affine: NDArray[np.float64]
    header: Any

    def read(self) -> NDArray[np.float32]:
        """All voxels.

        Raises:
            InputError: damaged, or too large.
        """
        return self._read(self.shape, 0)

    def read_last(self, index: int) -> NDArray[np.float32]:
        """The voxels at `index` of the last axis.

        Raises:
            InputError: as `read`.
        """
        return self._read(self.shape[:-1], index)

    def _read(self, shape: tuple[int, ...], index: int) -> NDArray[np.float32]:
        count = math.prod(shape)
        if count > MOST_VOXELS:
            raise InputError(f"{self.path}: {count} voxels of shape {shape} are more than {MOST_VOXELS}; crop the file")
        size = count * self.dtype.itemsize
        end = self.offset + math.prod(self.shape) * self.dtype.itemsize
        try:
            self._go_to(self.offset + index * size)
            content = self.stream.read(size)
            self._go_to(end)
            if len(self.stream.read(PADDING + 1)) > PADDING:
                raise broken(self.path, f"it goes on after the voxels of shape {self.shape}")
            stored = np.frombuffer(content, self.dtype, count).reshape(shape, order="F")
            return self._scaled(stored)
        except MemoryError as error:
            raise InputError(
                f"{self.path}: {count} voxels do not fit into the memory at hand; crop the file"
            ) from error

    def _go_to(self, position: int) -> None:
        if self.stream.seek(position) != position:
            raise broken(self.path, f"it ends before the last voxel of shape {self.shape}")

    def _scaled(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        # What is too large for float32 becomes infinite, which is refused with a better reason.
        with np.errstate(over="ignore", invalid="ignore"):
            if (self.slope, self.intercept) == (1, 0):
                return stored.astype(np.float32)
            scaled = stored.astype(np.float64)
            scaled *= self.slope
            scaled += self.intercept
            return scaled.astype(np.float32)


def broken(path: Path, reason: object) -> InputError:
    """What is said of a file that cannot be read."""
    return InputError(f"{path}: cannot be read as NIfTI ({' '.join(str(reason).split())}); get the file again")


@contextmanager
def open_nifti(path: Path) -> Iterator[NiftiFile]:
    """Open a file and read its header; no voxel is read yet.

    Raises:
        InputError: missing, unreadable, damaged, not NIfTI, a header that the file cannot fulfil, voxels that are no
            real numbers, or an affine without inverse.
    """
    if not path.exists():
        what = "is a link that leads nowhere; repair or remove it" if path.is_symlink() else "no such file"
        raise InputError(f"{path}: {what}")
    try:
        compressed = _is_compressed(path)
        with gzip.open(path, "rb") if compressed else path.open("rb") as stream:
            size = path.stat().st_size
            yield _opened(path, cast(BinaryIO, stream), size * MOST_EXPANSION if compressed else size)
    except InputError:
        raise
    except UNREADABLE as error:
        # The numbers of a checksum help nobody.
        reason = "its checksum does not match" if "CRC check failed" in str(error) else str(error)
        raise broken(path, reason or type(error).__name__) from error


def _is_compressed(path: Path) -> bool:
    named = path.name.lower().endswith(".nii.gz")
    if not named and not path.name.lower().endswith(".nii"):
        raise InputError(f"{path}: is not called .nii or .nii.gz; convert the file to NIfTI")
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    if compressed != named:
        state, ending = ("compressed", ".nii.gz") if compressed else ("not compressed", ".nii")
        raise broken(path, f"it is {state}, and would have to be called {ending}")
    return compressed


def _opened(path: Path, stream: BinaryIO, most_bytes: int) -> NiftiFile:
    header = _header(path, stream.read(Nifti2Header.template_dtype.itemsize))
    axes = int(header["dim"][0])
    shape = tuple(int(extent) for extent in header["dim"][1 : axes + 1])
    if not 1 <= axes <= 7 or min(shape) < 1:
        raise InputError(f"{path}: has shape {shape}, so no voxel; get the file again")
    dtype = _dtype(path, header)
    offset = float(header["vox_offset"])
    needed = math.prod(shape) * dtype.itemsize
    if not header.template_dtype.itemsize <= offset <= most_bytes - needed:
        raise broken(path, f"it is too short for {needed} bytes of voxels from byte {offset:g} on, shape {shape}")
    slope, intercept = _scaling(path, header)
    return NiftiFile(path, stream, shape, dtype, int(offset), slope, intercept, _affine(path, header), header)


def _header(path: Path, block: bytes) -> Any:
    for kind, magic in ((Nifti1Header, slice(344, 348)), (Nifti2Header, slice(4, 8))):
        size = kind.template_dtype.itemsize
        for endianness in "<>":
            if len(block) >= size and int(np.frombuffer(block, f"{endianness}i4", 1)[0]) == size:
                if block[magic].rstrip(b"\x00") == kind.pair_magic.rstrip(b"\x00"):
                    raise InputError(f"{path}: is one of a pair of files (.hdr, .img); convert them to one .nii file")
                if block[magic].rstrip(b"\x00") == kind.single_magic.rstrip(b"\x00"):
                    return kind(block[:size], endianness, check=False)
    raise broken(path, "it does not begin with a NIfTI header")


def _dtype(path: Path, header: Any) -> np.dtype[Any]:
    code = int(header["datatype"])
    name = data_type_codes.label.get(code, f"code {code}")
    dtype = np.dtype(data_type_codes.dtype[code]) if code in data_type_codes.dtype else np.dtype("V")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise InputError(f"{path}: its voxels are of type {name}, not real numbers; convert the file")
    return dtype.newbyteorder(header.endianness)


def _scaling(path: Path, header: Any) -> tuple[float, float]:
    """A slope that is 0 or not finite means that nothing is scaled, as the standard says."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(intercept):
        raise broken(path, f"scl_inter is {intercept}")
    return slope, intercept


def _affine(path: Path, header: Any) -> NDArray[np.float64]:
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    if not is_usable(affine):
        raise InputError(f"{path}: its affine puts all voxels into one plane or nowhere; repair the header")
    return affine
