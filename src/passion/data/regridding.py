"""What `--resample`, `--spacing` and `--orientation` ask for."""

import math
from collections.abc import Sequence
from dataclasses import replace

from passion.data.study import Case, Study, is_orientation
from passion.errors import InputError

KEPT = ("none", "-")
"""What keeps an axis at the spacing that a case has."""


def with_geometry(
    study: Study, resample: str | None, spacing: str | None = None, orientation: str | None = None
) -> Study:
    """The study with its cases brought to another grid; what is not given stays as it is.

    Args:
        study: as its files say.
        resample: modalities in order of preference, such as `t1c,flair`.
        spacing: mm along each axis, such as `1,1,none`.
        orientation: sides that the axes run to, such as `LPS`.

    Raises:
        InputError: an unknown modality, no spacing, or no orientation.

    >>> from passion.data.sources.brats import BRATS2020
    >>> study = with_geometry(BRATS2020, resample="t1c,flair", spacing="1,1,none")
    >>> study.reference(["t2", "flair"]), study.spacing_mm
    ('flair', (1.0, 1.0, None))
    """
    if resample is not None:
        study = replace(study, resample=parse_resample(resample, study.modalities))
    if spacing is not None:
        study = replace(study, spacing_mm=parse_spacing(spacing))
    if orientation is not None:
        if not is_orientation(orientation):
            raise InputError(f"--orientation {orientation}: give three sides, one each of L or R, P or A, I or S")
        study = replace(study, orientation=orientation)
    return study


def parse_resample(text: str, modalities: Sequence[str]) -> tuple[str, ...]:
    """Modalities from `t1c,flair`.

    Raises:
        InputError: one that is unknown or named twice.

    >>> parse_resample("t1c,flair", ["t1", "t1c", "flair", "t2"])
    ('t1c', 'flair')
    """
    names = tuple(name.strip() for name in text.split(","))
    for position, name in enumerate(names):
        if name not in modalities:
            raise InputError(f"--resample {text}: {name!r} is no modality of the study; it has {', '.join(modalities)}")
        if name in names[:position]:
            raise InputError(f"--resample {text}: names {name!r} twice")
    return names


def parse_spacing(text: str) -> tuple[float | None, ...]:
    """Spacing in mm along X, Y and Z from `1,1,none`.

    Raises:
        InputError: not three positive numbers or `none`.

    >>> parse_spacing("1,0.5,none")
    (1.0, 0.5, None)
    """
    words = [word.strip() for word in text.split(",")]
    try:
        steps = tuple(None if word in KEPT else float(word) for word in words)
    except ValueError:
        steps = ()
    if len(steps) != 3 or not all(step is None or (step > 0 and math.isfinite(step)) for step in steps):
        raise InputError(f"--spacing {text}: give three voxel sizes in mm, such as 1,1,1; none keeps that of an axis")
    return steps


def without_reference(study: Study, cases: Sequence[Case]) -> list[str]:
    """Names of the cases that have none of the modalities that are preferred."""
    return [case.name for case in cases if study.resample and not set(study.resample) & set(case.images)]
