"""Arrays on disk that know when they are no longer what was written."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passion.errors import InputError

BLOCK = 2**20


@dataclass(frozen=True)
class StoredArray:
    """A `.npy` file and what it was when it was written.

    Args:
        path: of the file.
        size: in bytes; None: not known, of a study that an earlier version prepared.
        sha256: digest of the file; None as well.
    """

    path: Path
    size: int | None
    sha256: str | None

    def check_size(self) -> None:
        """Compare the size alone, which opens nothing.

        Raises:
            InputError: the file is missing, or of another size.
        """
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise self._damaged(f"cannot be looked at, {error.strerror}") from error
        if self.size is not None and size != self.size:
            raise self._damaged(f"has {size} bytes, was written with {self.size}")

    def check(self) -> None:
        """Compare size and content; a process reads a file only once for that, as long as it does not change.

        Raises:
            InputError: the file is missing or damaged.
        """
        self.check_size()
        if self.sha256 is not None and self.sha256 != _digest(self.path, self.path.stat().st_mtime_ns):
            raise self._damaged("does not hold what was written")

    def open(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """The array, of which is read what is used.

        Args:
            shape: that it has to have.

        Raises:
            InputError: as `check`, or no array of that shape.
        """
        self.check()
        try:
            array: NDArray[Any] = np.load(self.path, mmap_mode="r")
        except Exception as error:
            # NumPy evaluates what it finds as a header, and stumbles in many ways over one that is damaged.
            raise self._damaged("is no array") from error
        if array.shape != shape:
            raise self._damaged(f"has shape {array.shape}, expected {shape}")
        return array

    def _damaged(self, how: str) -> InputError:
        root = self.path.parents[2]
        return InputError(f"{self.path}: {how}; repair it with `passion prepare RAW {root}`")


def store(path: Path, array: NDArray[Any]) -> dict[str, Any]:
    """Write an array, and return size and digest, as `StoredArray` takes them."""
    array = np.ascontiguousarray(array)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        # NumPy's own way of writing keeps to itself why there is no room.
        file.write(array.data)
    return {"size": path.stat().st_size, "sha256": _digest(path, path.stat().st_mtime_ns)}


@cache
def _digest(path: Path, mtime_ns: int) -> str:  # noqa: ARG001 -- of a file that has changed it is worked out anew
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
