"""What a layout on disk is."""

import os
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from glob import escape
from pathlib import Path
from typing import ClassVar

from passion.data.sources.plan import EXTENSIONS, Piece, Plan, pieces_of, recoding_into
from passion.data.study import Case, Study
from passion.errors import InputError
from passion.missingness import SLICE_MARK


def check_names(names: Iterable[str], source: Path) -> None:
    """Refuse names of cases that no file or no cell of a table can have, and those of slices.

    Raises:
        InputError: naming the first such case.
    """
    for name in names:
        apart = any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name)
        if apart or not name or name.startswith(".") or name != name.strip() or {*"/\\"} & {*name}:
            raise InputError(
                f"{source}: case {name!r} cannot be called so; rename it, to one line that begins with no dot, has no "
                "/ or \\ in it, and no space around it"
            )
        if SLICE_MARK in name:
            raise InputError(
                f"{source}: case {name!r} is called as a slice of case {name.partition(SLICE_MARK)[0]!r} is; rename "
                f"it, without {SLICE_MARK}"
            )


def nifti_files(folder: Path, stem: str) -> list[Path]:
    """The NIfTI files of that name: compressed, not, or, by mistake, both."""
    named = [folder / f"{stem}{extension}" for extension in EXTENSIONS]
    # A link that leads nowhere is a file that is broken, not a modality that is absent.
    return [path for path in named if path.is_file() or path.is_symlink()]


def case_of(name: str, images: Mapping[str, Sequence[Path]], target: Sequence[Path]) -> Case:
    """A case of the files that were found for each modality and for the labels.

    Two for one thing are a problem of the case, of which the others know nothing.
    """
    there = {modality: files[0] for modality, files in images.items() if files}
    problems = tuple(
        f"{files[0]}: {files[1].name} is there too, for the same image; remove one"
        for files in (*images.values(), target)
        if len(files) > 1
    )
    return Case(name, there, target[0] if target else None, problems)


def subfolders(root: Path) -> list[Path]:
    """The visible folders in `root`, sorted by name; none where it is no folder."""
    return sorted(path for path in root.glob("[!.]*") if path.is_dir())


def nifti_names(folder: Path) -> list[str]:
    """The visible NIfTI files in `folder`, sorted.

    Raises:
        PermissionError: it cannot be looked into: what is there would otherwise be taken for absent.
    """
    names = sorted(name for name in os.listdir(folder) if not name.startswith(".") and name.endswith(EXTENSIONS))
    return [name for name in names if not (folder / name).is_dir()]


def unrecognised(cases: Sequence[Case]) -> list[Path]:
    """NIfTI files that no case has, for their names: in folders that are called as a case is, and in those beside.

    Not those of cases with problems, which say of their files what is wrong.
    """
    files = {path for case in cases for path in case.files.values()}
    of_cases = {path.parent: case for case in cases for path in case.files.values() if path.parent.name == case.name}
    folders = {folder for root in {folder.parent for folder in of_cases} for folder in subfolders(root)}
    folders -= {folder for folder, case in of_cases.items() if case.problems}
    found = [folder / name for folder in sorted(folders) if may_enter(folder) for name in nifti_names(folder)]
    return [path for path in found if path not in files]


def may_enter(folder: Path) -> bool:
    """Whether we may see what is in a folder."""
    return os.access(folder, os.R_OK | os.X_OK)


def cases_in(
    folders: Iterable[Path], mark: str, suffixes: Mapping[str, str], other_labels: str | None = None
) -> list[Case]:
    """The cases that are named after their folders and have a file a modality and `seg` for the labels.

    Every folder is one whose name a NIfTI file in it begins with, also one without any modality; none is, where no
    file at all is called as expected.

    Args:
        folders: to look into.
        mark: what the file names have between the case's name and the suffix.
        suffixes: what follows, by modality.
        other_labels: what a label file may be called where none is called `seg`.
    """
    cases = []
    for folder in folders:
        if any(folder.glob(f"{escape(folder.name)}{mark}*.nii*")):
            images = {name: nifti_files(folder, f"{folder.name}{mark}{suffix}") for name, suffix in suffixes.items()}
            target = nifti_files(folder, f"{folder.name}{mark}seg")
            if not target and other_labels:
                target = nifti_files(folder, other_labels)
            cases.append(case_of(folder.name, images, target))
    return cases if any(case.files for case in cases) else []


def plan_in_folders(cases: Sequence[Case], study: Study, public: Study, mark: str, suffixes: Mapping[str, str]) -> Plan:
    """What `cases_in` reads back.

    Args:
        cases: to write.
        study: of the cases.
        public: the study whose layout it is.
        mark: see `cases_in`.
        suffixes: see `cases_in`.

    Raises:
        InputError: the study is another than the public one.
    """
    codes = recoding_into(study, public)
    pieces: list[Piece] = []
    for case in cases:
        stem = f"{case.name}/{case.name}{mark}"
        places = {name: Path(f"{stem}{suffix}") for name, suffix in suffixes.items()}
        pieces += pieces_of(case, places, Path(f"{stem}seg"), codes)
    return Plan(pieces)


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

    @staticmethod
    @abstractmethod
    def plan(study: Study, cases: Sequence[Case]) -> Plan:
        """The files that `read` gives the study and its cases back from.

        Args:
            study: to write.
            cases: of the study, each with a modality at least.

        Raises:
            InputError: this layout cannot hold the study.
        """
