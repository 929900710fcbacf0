"""Which case has which modality: the presence matrix C with names, exact draws of it, and its files."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, brentq, milp

from passion.data.split import check_unique, match_names, read_table
from passion.errors import InputError
from passion.files import replacing

PUBLISHED_MODALITIES = (("flair", "t1c", "t1", "t2"), ("bssfp", "lge", "t2"))
"""Orders of `mask` in the published CSV files, of BraTS2020 and of MyoPS2020."""

SLICE_MARK = "_slice_"
"""In the name of a row of one slice: CASE_slice_POSITION."""


@dataclass(frozen=True)
class Presence:
    """The matrix C in {0, 1}^(N x M) with names.

    Args:
        cases: N names.
        modalities: M names.
        matrix: (N, M) bool.
    """

    cases: tuple[str, ...]
    modalities: tuple[str, ...]
    matrix: NDArray[np.bool_]

    @property
    def missing_rates(self) -> dict[str, float]:
        """MR^m = 1 - (sum_n C_nm) / N, by modality."""
        return dict(zip(self.modalities, (1 - self.matrix.mean(0)).tolist(), strict=True))

    @property
    def inverse_presence(self) -> NDArray[np.float64]:
        """N / N_m of each modality, (M,)."""
        counts: NDArray[np.int64] = self.matrix.sum(0)
        return len(self.cases) / counts

    def of(self, case: str) -> list[str]:
        """Names of the modalities of a case."""
        row = self.matrix[self.cases.index(case)]
        return [name for name, present in zip(self.modalities, row, strict=True) if present]

    def restricted_to(self, cases: Sequence[str]) -> "Presence":
        """The rows of `cases`, in that order."""
        rows = [self.cases.index(case) for case in cases]
        return Presence(tuple(cases), self.modalities, self.matrix[rows])

    def check(self, source: str | Path) -> "Presence":
        """The matrix itself, if it can be trained with.

        Raises:
            InputError: a case without a modality, or a modality that no case has.
        """
        empty = np.flatnonzero(~self.matrix.any(1))
        if len(empty):
            raise InputError(
                f"{source}: case {self.cases[empty[0]]!r} has no modality ({len(empty)} such cases); "
                "leave it out or give it one"
            )
        nowhere = np.flatnonzero(~self.matrix.any(0))
        if len(nowhere):
            raise InputError(
                f"{source}: modality {self.modalities[nowhere[0]]!r} is in none of the {len(self.cases)} cases; "
                "its missing rate must be below 1"
            )
        return self

    def write(self, path: Path) -> None:
        """Write as CSV: `case` and a column of 0 and 1 for each modality."""
        table = pd.DataFrame(self.matrix.astype(int), columns=list(self.modalities))
        table.insert(0, "case", list(self.cases))
        with replacing(path) as beside:
            table.to_csv(beside, index=False)


def presence_of(cases: Mapping[str, Sequence[str]], modalities: Sequence[str]) -> Presence:
    """The presence matrix of cases whose modalities are given by name."""
    matrix = [[modality in held for modality in modalities] for held in cases.values()]
    return Presence(tuple(cases), tuple(modalities), np.array(matrix, dtype=bool).reshape(-1, len(modalities)))


def read_presence(path: Path, cases: Sequence[str], modalities: Sequence[str]) -> Presence:
    """Read a presence matrix, ours or one in the published format (`data_name`, `mask`).

    The published `mask` is in the order Flair, T1c, T1, T2, and names carry a prefix `HG_` or `LG_`; for MyoPS2020 it
    is bSSFP, LGE, T2, with a row for each slice, `CASE_slice_POSITION`.

    Args:
        path: of the CSV file.
        cases: names that the study has.
        modalities: names, in the order of the result's columns.

    Raises:
        InputError: unreadable, a column or a case that does not fit, or an entry other than 0 and 1.
    """
    table = read_table(path, [])
    if {"data_name", "mask"} <= set(table.columns):
        table = _from_published(table, modalities, path)
    table = _check_columns(table, modalities, path)
    parts = [name.partition(SLICE_MARK) for name in table["case"]]
    written = list(dict.fromkeys(case for case, _, _ in parts))
    known = dict(zip(written, match_names(written, cases, path), strict=True))
    names = [known[case] + mark + position for case, mark, position in parts]
    check_unique(names, path)
    entries = table[list(modalities)]
    wrong = ~entries.isin(["0", "1"]).to_numpy()
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"{path}: case {names[row]!r}, modality {modalities[column]!r} is {entries.iloc[row, column]!r}; "
            "write 0 or 1"
        )
    return Presence(tuple(names), tuple(modalities), (entries == "1").to_numpy()).check(path)


def _check_columns(table: pd.DataFrame, modalities: Sequence[str], path: Path) -> pd.DataFrame:
    expected = ["case", *modalities]
    if set(table.columns) != set(expected):
        raise InputError(f"{path}: has columns {', '.join(table.columns)}, expected {', '.join(expected)}")
    return table


def _from_published(table: pd.DataFrame, modalities: Sequence[str], path: Path) -> pd.DataFrame:
    order = next((names for names in PUBLISHED_MODALITIES if set(names) == set(modalities)), None)
    if order is None:
        raise InputError(f"{path}: is in the published format, which is for BraTS2020 and MyoPS2020 only")
    try:
        masks = [ast.literal_eval(mask) for mask in table["mask"]]
        matrix = np.array(masks, dtype=int).reshape(len(masks), len(order)).astype(str)
    except (ValueError, SyntaxError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise InputError(f"{path}: column 'mask' does not hold lists of {len(order)} True or False") from error
    out = pd.DataFrame(matrix, columns=list(order))
    out.insert(0, "case", table["data_name"].tolist())
    return out


def parse_rates(text: str, modalities: Sequence[str]) -> NDArray[np.float64]:
    """Missing rates from `t1=0.2,t1c=0.4`, one for each modality.

    Raises:
        InputError: not of that form, an unknown or forgotten modality, or a rate outside [0, 1).

    >>> parse_rates("b=0.5,a=0", ["a", "b"])
    array([0. , 0.5])
    """
    rates: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        try:
            rates[name] = float(number)
        except ValueError as error:
            raise InputError(f"--rates: {part!r} is not of the form MODALITY=RATE") from error
        if not 0 <= rates[name] < 1:
            raise InputError(f"--rates: {name}={number} is outside [0, 1); a modality must be in some case")
    odd = [f"{name!r} is none of them" for name in rates if name not in modalities]
    odd += [f"there is none for {name}" for name in modalities if name not in rates]
    if odd:
        raise InputError(f"--rates: give one rate for each of {', '.join(modalities)}; {odd[0]}")
    return np.array([rates[modality] for modality in modalities])


def pattern_probabilities(rates: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """The maximum-entropy distribution over the non-empty patterns whose marginals are 1 - `rates`.

    It is that of independent draws with probabilities q_m, given that not all are absent: 1 - MR_m = q_m / Z with
    Z = 1 - prod(1 - q). So Z is the positive root of Z = 1 - prod(1 - (1 - MR_m) Z), at which
    sum_m (1 - MR_m) = 1 leaves single modalities only.

    Args:
        rates: missing rates (M,), in [0, 1).

    Returns:
        The 2^M - 1 patterns (., M) bool, and the probability of each.

    Raises:
        InputError: sum of (1 - MR) < 1: some case would be without a modality.
    """
    patterns = np.array(list(product([False, True], repeat=len(rates)))[1:])
    marginals = 1 - rates
    total = marginals.sum()
    if total < 1 - 1e-9:
        raise InputError(
            f"--rates: the presences 1 - rate add up to {total:.3g}, which is under 1, so some case would have no "
            "modality; lower a rate"
        )
    if total < 1 + 1e-6:
        return patterns, np.where(patterns.sum(1) == 1, patterns @ marginals, 0.0)
    if (marginals == 1).any():
        share = 1.0
    else:
        share = brentq(lambda z: -np.expm1(np.log1p(-marginals * z).sum()) - z, 1e-9, 1.0, xtol=1e-14)
    present = marginals * share
    weights = np.where(patterns, present, 1 - present).prod(1)
    return patterns, weights / weights.sum()


def pattern_counts(rates: NDArray[np.float64], cases: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Share the cases out over the patterns, as near to their probabilities as whole cases allow.

    Every realised rate is within half a case of the asked one; among such counts, those with the smallest sum of
    absolute differences to probability times N (an integer program).

    Raises:
        InputError: no such counts exist.
    """
    patterns, probabilities = pattern_probabilities(rates)
    kinds = len(patterns)
    expected = probabilities * cases
    marginal = cases * (1 - rates)
    one = np.eye(kinds)
    none = np.zeros((kinds, kinds))
    constraints = [
        LinearConstraint(np.hstack([np.ones((1, kinds)), np.zeros((1, kinds))]), cases, cases),
        LinearConstraint(
            np.hstack([patterns.T.astype(float), np.zeros((len(rates), kinds))]), marginal - 0.5, marginal + 0.5
        ),
        LinearConstraint(np.hstack([one, -one]), ub=expected),
        LinearConstraint(np.hstack([-one, -one]), ub=-expected),
    ]
    solution = milp(
        c=np.concatenate([none[0], np.ones(kinds)]),
        integrality=np.repeat([1, 0], kinds),
        bounds=Bounds(lb=0),
        constraints=constraints,
    )
    if solution.x is None:
        raise InputError(f"--rates: cannot be met within half a case by {cases} cases; change a rate or add cases")
    return patterns, np.rint(solution.x[:kinds]).astype(np.int64)


def draw_presence(own: Presence, rates: NDArray[np.float64], seed: int) -> Presence:
    """Draw C at the asked missing rates; what a case lacks by itself stays lacking.

    Args:
        own: what the files hold, (N, M).
        rates: asked missing rates (M,).
        seed: of the draw.

    Returns:
        The drawn matrix and `own`, both true.

    Raises:
        InputError: the rates cannot be met, or a case would be left without a modality.
    """
    patterns, counts = pattern_counts(rates, len(own.cases))
    drawn = np.random.default_rng(seed).permutation(np.repeat(patterns, counts, axis=0))
    for row in range(len(drawn)):
        if not (drawn[row] & own.matrix[row]).any():
            _swap_with_another(drawn, own.matrix, row, own.cases[row])
    return Presence(own.cases, own.modalities, drawn & own.matrix).check("the drawn presence matrix")


def _swap_with_another(drawn: NDArray[np.bool_], own: NDArray[np.bool_], row: int, case: str) -> None:
    fits = (drawn & own[row]).any(1) & (own & drawn[row]).any(1)
    if not fits.any():
        raise InputError(f"case {case!r} would be left without a modality; lower a rate or leave the case out")
    other = int(np.flatnonzero(fits)[0])
    drawn[[row, other]] = drawn[[other, row]]
