"""What a layout on disk is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from passion.data.study import Case, Study

EXTENSIONS = (".nii.gz", ".nii")


def find_nifti(folder: Path, stem: str) -> Path | None:
    """The NIfTI file of that name, compressed or not; None where there is none."""
    candidates = (folder / f"{stem}{extension}" for extension in EXTENSIONS)
    return next((path for path in candidates if path.exists()), None)


def subfolders(root: Path) -> list[Path]:
    """The visible folders in `root`, sorted by name; none where it is no folder."""
    return sorted(path for path in root.glob("[!.]*") if path.is_dir())


def case_in(folder: Path, stem: str, suffixes: Mapping[str, str]) -> Case:
    """The case that is named after its folder and has a file a modality and `seg` for the labels.

    Args:
        folder: of the case.
        stem: what the file names begin with.
        suffixes: what follows, by modality.
    """
    images = {modality: find_nifti(folder, f"{stem}{suffix}") for modality, suffix in suffixes.items()}
    return Case(
        name=folder.name,
        images={modality: path for modality, path in images.items() if path is not None},
        target=find_nifti(folder, f"{stem}seg"),
    )


class Source(ABC):
    """A layout on disk."""

    LAYOUT: ClassVar[str]
    """What the layout looks like, for messages."""

    STUDY: ClassVar[Study | None] = None
    """The public study whose layout it is; None where the files say what the study is."""

    @staticmethod
    @abstractmethod
    def read(root: Path) -> tuple[Study, list[Case]] | None:
        """The study and its cases, sorted by name; None where `root` is not of this layout.

        Args:
            root: folder of the study, or a file that lists its cases.

        Raises:
            InputError: `root` is of this layout and something in it is wrong. No image is opened.
        """
