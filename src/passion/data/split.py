"""Which cases are for training, validation and testing."""

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from passion.errors import InputError, note
from passion.files import replacing
from passion.reading import match_names, read_table

PARTS = ("train", "val", "test")
BRATS_PROPORTIONS = {"val": 50 / 369, "test": 100 / 369}
VALIDATING = 50 / 269
"""Share of the cases outside a test fold."""

Split = Mapping[str, tuple[str, ...]]
"""Case names of "train", "val" and "test"."""


def parse_sizes(text: str) -> dict[str, int]:
    """Sizes of train, val and test from `20,0,5`.

    Raises:
        InputError: not three whole numbers, or none for training.

    >>> parse_sizes("20,0,5")
    {'train': 20, 'val': 0, 'test': 5}
    """
    numbers = text.split(",")
    if len(numbers) != len(PARTS) or not all(number.strip().isdecimal() for number in numbers):
        raise InputError(f"--sizes {text}: give three whole numbers for {', '.join(PARTS)}, such as 20,0,5")
    sizes = dict(zip(PARTS, map(int, numbers), strict=True))
    if not sizes["train"]:
        raise InputError(f"--sizes {text}: leaves nothing for training")
    return sizes


def brats_sizes(cases: int) -> dict[str, int]:
    """The paper's proportions for BraTS2020, 219/50/100 for 369 cases; at least one case in each part.

    Raises:
        InputError: fewer than three cases.
    """
    if cases < len(PARTS):
        raise InputError(f"a split needs at least {len(PARTS)} cases with a label file, got {cases}")
    held_out = {part: max(1, round(share * cases)) for part, share in BRATS_PROPORTIONS.items()}
    return {"train": cases - sum(held_out.values()), **held_out}


def patients_of(cases: Sequence[str], pattern: str) -> dict[str, str]:
    """Whose each case is: what a regular expression finds in its name, its first group where it has one.

    Raises:
        InputError: no such expression, or it finds nothing in a name.

    >>> patients_of(["UPENN-GBM-00002_11", "UPENN-GBM-00002_21"], "^[^_]+")
    {'UPENN-GBM-00002_11': 'UPENN-GBM-00002', 'UPENN-GBM-00002_21': 'UPENN-GBM-00002'}
    """
    try:
        found = {name: re.search(pattern, name) for name in cases}
    except re.error as error:
        raise InputError(f"--patient {pattern}: is no regular expression ({error})") from error
    patients = {name: match[min(match.re.groups, 1)] for name, match in found.items() if match}
    without = [name for name in cases if not patients.get(name)]
    if without:
        raise InputError(f"--patient {pattern}: finds nothing in the name of case {without[0]!r}")
    return patients


def check_patients(split: Split, patients: Mapping[str, str], source: str) -> None:
    """Refuse a split that divides a patient's cases.

    Raises:
        InputError: naming the first such patient.
    """
    seen: dict[str, str] = {}
    for part, names in split.items():
        for whose in (patients[name] for name in names):
            if seen.setdefault(whose, part) != part:
                raise InputError(f"{source}: patient {whose!r} is both in {seen[whose]} and in {part}; keep one")


def draw_split(
    cases: Sequence[str], seed: int, sizes: Mapping[str, int] | None = None, patients: Mapping[str, str] | None = None
) -> Split:
    """Draw a split.

    Args:
        cases: names.
        seed: of the draw.
        sizes: of train, val and test; None: see `brats_sizes`. With several cases a patient they are met as nearly as
            the order of the draw allows.
        patients: whose each case is, if a patient has several: all of them go into one part.

    Raises:
        InputError: sizes that do not add up to the number of cases, too few cases or patients, or a negative seed.

    >>> {part: len(names) for part, names in draw_split([str(i) for i in range(369)], seed=0).items()}
    {'train': 219, 'val': 50, 'test': 100}
    """
    sizes = sizes or brats_sizes(len(cases))
    if sum(sizes.values()) != len(cases):
        raise InputError(
            f"--sizes: {', '.join(map(str, sizes.values()))} make {sum(sizes.values())}, but {len(cases)} cases have a "
            "label file"
        )
    ends = np.cumsum([sizes[part] for part in PARTS])
    split: dict[str, list[str]] = {part: [] for part in PARTS}
    before = 0
    for members in _in_drawn_order(cases, seed, patients):
        split[PARTS[int(np.searchsorted(ends, before, side="right"))]] += members
        before += len(members)
    empty = [part for part in PARTS if sizes[part] and not split[part]]
    if empty:
        raise InputError(f"--patient: leaves nobody for {empty[0]}; ask for other --sizes, or draw with another --seed")
    return {part: tuple(sorted(names)) for part, names in split.items()}


def _in_drawn_order(cases: Sequence[str], seed: int, patients: Mapping[str, str] | None) -> list[list[str]]:
    """The cases of each patient, the patients in an order that the seed says."""
    if seed < 0:
        raise InputError(f"--seed {seed}: must be at least 0")
    members: dict[str, list[str]] = {}
    for name in sorted(cases):
        members.setdefault(patients[name] if patients else name, []).append(name)
    return [members[key] for key in np.random.default_rng(seed).permutation(sorted(members)).tolist()]


def draw_folds(cases: Sequence[str], seed: int, folds: int, patients: Mapping[str, str] | None = None) -> list[Split]:
    """Draw the splits of a cross-validation: every case is for testing in exactly one of them.

    Of the cases that are not for testing, the paper's share validates: 50 of 269, at least one.

    Args:
        cases: names.
        seed: of the draw.
        folds: how many splits.
        patients: whose each case is, if a patient has several: all of them go into one part.

    Raises:
        InputError: fewer than two folds, too few cases or patients for as many, or a negative seed.

    >>> splits = draw_folds([f"case{i}" for i in range(45)], seed=0, folds=5)
    >>> [len(split["test"]) for split in splits], [len(split["val"]) for split in splits]
    ([9, 9, 9, 9, 9], [7, 7, 7, 7, 7])
    """
    if folds < 2:
        raise InputError(f"--folds {folds}: must be at least 2")
    order = _in_drawn_order(cases, seed, patients)
    if folds > len(order) or len(order) < len(PARTS):
        what = "patients have a case with" if patients else "cases have"
        raise InputError(f"--folds {folds}: {len(order)} {what} a label file; give fewer folds")
    splits: list[Split] = []
    for held_out in np.array_split(np.arange(len(order)), folds):
        others = [members for place, members in enumerate(order) if place not in held_out]
        validating = max(1, round(VALIDATING * len(others)))
        parts = (others[validating:], others[:validating], [order[place] for place in held_out])
        splits.append({part: tuple(sorted(chain(*of))) for part, of in zip(PARTS, parts, strict=True)})
    return splits


def read_list(path: Path, cases: Sequence[str]) -> tuple[str, ...]:
    """A text file with a case name a line; empty lines, and spaces around names, are nothing.

    Raises:
        InputError: unreadable, or with a name that is not a case's.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); give a text file with a case name a line") from error
    return tuple(match_names([line.strip() for line in lines if line.strip()], cases, path))


def check_disjoint(split: Split, source: str | Path) -> None:
    """Refuse a split in which a case is in two parts.

    Raises:
        InputError: naming the first such case.
    """
    seen: dict[str, str] = {}
    for part, names in split.items():
        for name in names:
            if name in seen:
                raise InputError(f"{source}: case {name!r} is both in {seen[name]} and in {part}; keep one")
            seen[name] = part


def write_split(path: Path, split: Split) -> None:
    """Write a split as CSV with columns `case` and `part`."""
    rows = [(name, part) for part in PARTS for name in split[part]]
    with replacing(path) as beside:
        pd.DataFrame(rows, columns=["case", "part"]).to_csv(beside, index=False)


def read_split(path: Path, cases: Sequence[str], left_out: Collection[str] = ()) -> Split:
    """Read what `write_split` wrote.

    Args:
        path: of the file.
        cases: names that the study has.
        left_out: names of cases that were left out of it, which are passed over.

    Raises:
        InputError: unreadable, wrong columns or parts, or names that are not cases'.
    """
    table = read_table(path, ["case", "part"])
    wrong = sorted(set(table["part"]) - set(PARTS))
    if wrong:
        raise InputError(f"{path}: part {wrong[0]!r} is none of {', '.join(PARTS)}")
    names = match_names(table["case"].tolist(), [*cases, *left_out], path)
    passed_over = [name for name in names if name in left_out]
    if passed_over:
        note(f"{path}: passes over {', '.join(passed_over)}, which the prepared study was made without")
    kept = [(name, part) for name, part in zip(names, table["part"], strict=True) if name not in left_out]
    return {part: tuple(name for name, here in kept if here == part) for part in PARTS}
