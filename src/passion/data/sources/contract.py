"""What a layout on disk is."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from passion.data.study import Case, Study

EXTENSIONS = (".nii.gz", ".nii")


def find_nifti(folder: Path, stem: str) -> Path | None:
    """The NIfTI file of that name, compressed or not; None where there is none."""
    candidates = (folder / f"{stem}{extension}" for extension in EXTENSIONS)
    return next((path for path in candidates if path.exists()), None)


class Source(ABC):
    """A layout on disk."""

    LAYOUT: ClassVar[str]
    """What the layout looks like, for messages."""

    STUDY: ClassVar[Study]
    """The study whose layout it is."""

    @staticmethod
    @abstractmethod
    def read(root: Path) -> tuple[Study, list[Case]] | None:
        """The study and its cases, sorted by name; None where `root` is not of this layout."""
