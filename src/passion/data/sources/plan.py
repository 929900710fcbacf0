"""What a layout makes of a study: which files there will be, and what goes into each. Nothing is written here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from passion.data.study import Case, Channel, Study
from passion.errors import InputError

EXTENSIONS = (".nii.gz", ".nii")

Codes = Mapping[int, int]
"""The label code to write for each that is read."""


@dataclass(frozen=True)
class Piece:
    """One image or label file.

    Args:
        path: where it goes, relative to the study's folder.
        parts: what goes into it: a file or a volume of one; several become a 4D file.
        codes: where label codes change.
    """

    path: Path
    parts: tuple[Path | Channel, ...]
    codes: Codes | None = None


@dataclass(frozen=True)
class Plan:
    """A study in a layout.

    Args:
        pieces: images and labels.
        texts: content of the other files, by name.
        remarks: what to know about the study in this layout.
    """

    pieces: Sequence[Piece]
    texts: Mapping[str, str] = field(default_factory=dict)
    remarks: Sequence[str] = ()


def ending_of(image: Path | Channel) -> str:
    """What the name of a file ends in that holds `image`; a volume of a 4D file is written compressed."""
    return ".nii" if isinstance(image, Path) and image.name.endswith(".nii") else ".nii.gz"


def stem_of(path: Path) -> str:
    """The name of a file without what `ending_of` tells.

    >>> stem_of(Path("cases/a.b.nii.gz"))
    'a.b'
    """
    return path.name.removesuffix(".gz").removesuffix(".nii")


def pieces_of(case: Case, places: Mapping[str, Path], target: Path, codes: Codes | None) -> list[Piece]:
    """A file for each modality that is there, and one for the labels; each keeps its ending.

    Args:
        case: to write.
        places: of each modality's file, without its ending.
        target: likewise, of the label file.
        codes: see `Piece`.
    """
    pieces = [Piece(with_ending(places[name], image), (image,)) for name, image in case.images.items()]
    return pieces if case.target is None else [*pieces, Piece(with_ending(target, case.target), (case.target,), codes)]


def with_ending(place: Path, image: Path | Channel) -> Path:
    """`place` with the ending of `image`; a dot in a case's name ends nothing."""
    return place.with_name(place.name + ending_of(image))


def recoding(study: Study, codes: Sequence[int]) -> Codes | None:
    """From the study's label codes to `codes`, one a class; None where they are the same."""
    own = study.codes.tolist()
    return None if own == list(codes) else dict(zip(own, codes, strict=True))


def recoding_into(study: Study, public: Study) -> Codes | None:
    """From the study's label codes to those of a public study: a class is the one that is in the same regions.

    Raises:
        InputError: a modality or a class that the public study has not.

    >>> from passion.data.sources.brats import BRATS2020
    >>> from passion.data.sources.brats2023 import BRATS2023
    >>> recoding_into(BRATS2020, BRATS2023)
    {0: 0, 1: 1, 2: 2, 4: 3}
    """
    foreign = [name for name in study.modalities if name not in public.modalities]
    if foreign:
        raise InputError(
            f"{study.name}: modality {foreign[0]!r} is none of {public.name}'s, {', '.join(public.modalities)}; choose "
            "another layout"
        )
    codes = {_regions_with(public, name): code for name, code in public.classes.items() if code}
    _, *foreground = study.classes
    places = [_regions_with(study, name) for name in foreground]
    for name, place in zip(foreground, places, strict=True):
        if place not in codes or places.count(place) > 1:
            raise InputError(
                f"{study.name}: class {name!r}, of regions {', '.join(sorted(place)) or 'none'}, is not one class of "
                f"{public.name}; choose another layout"
            )
    return recoding(study, [0, *(codes[place] for place in places)])


def _regions_with(study: Study, name: str) -> frozenset[str]:
    return frozenset(region for region, union in study.regions.items() if name in union.classes)
