"""Which case has which modality: the presence matrix C with names, exact draws of it, and its files."""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import scipy  # loads its parts when they are used, which a command that only reads a study does not
from numpy.typing import NDArray

from passion.errors import InputError
from passion.files import replacing
from passion.reading import check_unique, match_names, read_table

PUBLISHED_MODALITIES = (("flair", "t1c", "t1", "t2"), ("bssfp", "lge", "t2"))
"""Orders of `mask` in the published CSV files, of BraTS2020 and of MyoPS2020."""

LARGEST_LOG = 30.0
"""Of the weight of a modality; patterns beyond that are as good as certain."""

SLICE_MARK = "_slice_"
"""In the name of a row of one slice: CASE_slice_POSITION, counted from 0 along the last axis."""


@dataclass(frozen=True)
class Presence:
    """The matrix C in {0, 1}^(N x M) with names.

    Args:
        cases: N names.
        modalities: M names.
        matrix: (N, M) bool.

    >>> drawn = Presence(("anna", "bert"), ("t1", "t2"), np.array([[True, False], [True, True]]))
    >>> drawn.missing_rates, drawn.inverse_presence.tolist(), drawn.of("anna")
    ({'t1': 0.0, 't2': 0.5}, [1.0, 2.0], ['t1'])
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
        self.check_cases(source)
        nowhere = np.flatnonzero(~self.matrix.any(0))
        if len(nowhere):
            raise InputError(
                f"{source}: modality {self.modalities[nowhere[0]]!r} is in none of the {len(self.cases)} cases; "
                "its missing rate must be below 1"
            )
        return self

    def check_cases(self, source: str | Path) -> None:
        """Refuse a case without a modality.

        Raises:
            InputError: naming the first.
        """
        empty = np.flatnonzero(~self.matrix.any(1))
        if len(empty):
            raise InputError(
                f"{source}: case {self.cases[empty[0]]!r} has no modality ({len(empty)} such cases); "
                "leave it out or give it one"
            )

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
        InputError: unreadable, a column, a case or a slice that does not fit, or an entry other than 0 and 1.
    """
    table = read_table(path, [])
    if {"data_name", "mask"} <= set(table.columns):
        table = _from_published(table, modalities, path)
    table = _check_columns(table, modalities, path)
    names = _match_rows(list(table["case"]), cases, path)
    entries = table[list(modalities)]
    wrong = ~entries.isin(["0", "1"]).to_numpy()
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"{path}: case {names[row]!r}, modality {modalities[column]!r} is {entries.iloc[row, column]!r}; "
            "write 0 or 1"
        )
    return Presence(tuple(names), tuple(modalities), (entries == "1").to_numpy()).check(path)


def _match_rows(rows: Sequence[str], cases: Sequence[str], path: Path) -> list[str]:
    """Names of the rows, with the study's names of the cases; each case is there once, or each of some slices is."""
    parts = [row.partition(SLICE_MARK) for row in rows]
    for row, (_, mark, position) in zip(rows, parts, strict=True):
        if mark and not re.fullmatch("[0-9]{1,9}", position):
            raise InputError(f"{path}: row {row!r:.80} names no position; write CASE{SLICE_MARK}0 for the first slice")
    written = list(dict.fromkeys(case for case, _, _ in parts))
    known = dict(zip(written, match_names(written, cases, path), strict=True))
    names = [known[case] + mark + (str(int(position)) if mark else "") for case, mark, position in parts]
    check_unique(names, path)
    whole = {case for case, mark, _ in parts if not mark}
    for name, (case, mark, _) in zip(names, parts, strict=True):
        if mark and case in whole:
            raise InputError(
                f"{path}: row {name!r} stands beside {known[case]!r}; keep the row of the case or those of slices"
            )
    return names


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
        if name in rates:
            raise InputError(f"--rates: {name} is there twice; give one rate for each modality")
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
        share = scipy.optimize.brentq(lambda z: -np.expm1(np.log1p(-marginals * z).sum()) - z, 1e-9, 1.0, xtol=1e-14)
    present = marginals * share
    weights = np.where(patterns, present, 1 - present).prod(1)
    return patterns, weights / weights.sum()


@dataclass(frozen=True)
class _Group:
    """Cases that have the same modalities by themselves.

    Args:
        rows: (n,) which cases.
        patterns: (., M) bool, what one of them can be left with.
        probabilities: of the patterns.
    """

    rows: NDArray[np.intp]
    patterns: NDArray[np.bool_]
    probabilities: NDArray[np.float64]


def draw_presence(own: Presence, rates: NDArray[np.float64], seed: int) -> Presence:
    """Draw C at the asked missing rates; what a case lacks by itself stays lacking and counts as missing.

    Every realised rate is within half a case of the asked one, or, where more cases lack a modality by themselves,
    what those are: nothing more is taken of it.

    Args:
        own: what the files hold, (N, M).
        rates: asked missing rates (M,).
        seed: of the draw.

    Raises:
        InputError: the rates cannot be met, a case has no modality, or a negative seed.
    """
    if seed < 0:
        raise InputError(f"--seed {seed}: must be at least 0")
    own.check_cases("the files")
    kept = np.minimum(len(own.cases) * (1 - rates), own.matrix.sum(0))
    groups = _groups(own, rates, kept)
    random = np.random.default_rng(seed)
    drawn = np.zeros_like(own.matrix)
    for group, counts in zip(groups, _whole_cases(groups, kept), strict=True):
        drawn[group.rows] = random.permutation(np.repeat(group.patterns, counts, axis=0))
    return Presence(own.cases, own.modalities, drawn).check("the drawn presence matrix")


def _groups(own: Presence, rates: NDArray[np.float64], kept: NDArray[np.float64]) -> list[_Group]:
    """The maximum-entropy distribution over the patterns of each case, with `kept` cases that have each modality.

    The probability of a pattern is in proportion to the product of a weight for each modality in it. The weights, the
    same for all cases, minimise the convex dual: sum over cases of log(sum over patterns) - sum of kept log(weight).
    """
    if own.matrix.all():
        return [_Group(np.arange(len(own.cases)), *pattern_probabilities(rates))]
    held, members = np.unique(own.matrix, axis=0, return_inverse=True)
    whole = kept >= own.matrix.sum(0)
    every = np.array(list(product([False, True], repeat=len(rates)))[1:])
    patterns = [every[~(every & ~have).any(1) & (every | ~(have & whole)).all(1)] for have in held]
    sizes = np.bincount(members.ravel())

    def shares(logs: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        return [scipy.special.softmax(of @ logs) for of in patterns]

    def dual(logs: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value = (
            sum(size * scipy.special.logsumexp(of @ logs) for size, of in zip(sizes, patterns, strict=True))
            - kept @ logs
        )
        expected = sum(size * (share @ of) for size, share, of in zip(sizes, shares(logs), patterns, strict=True))
        return value, expected - kept

    found = scipy.optimize.minimize(
        dual, np.zeros(len(rates)), jac=True, bounds=[(-LARGEST_LOG, LARGEST_LOG)] * len(rates)
    )
    return [
        _Group(np.flatnonzero(members.ravel() == number), of, share)
        for number, (of, share) in enumerate(zip(patterns, shares(found.x), strict=True))
    ]


def _whole_cases(groups: Sequence[_Group], kept: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Share the cases of each group out over its patterns, as near to their probabilities as whole cases allow.

    Of the counts that leave each modality within half a case of `kept`, those with the smallest sum of absolute
    differences to probability times cases (an integer program).

    Raises:
        InputError: no such counts exist.
    """
    patterns = np.concatenate([group.patterns for group in groups]).astype(float)
    expected = np.concatenate([len(group.rows) * group.probabilities for group in groups])
    ends = np.cumsum([len(group.patterns) for group in groups])
    sizes = np.array([len(group.rows) for group in groups])
    belongs = np.repeat(np.eye(len(groups)), [len(group.patterns) for group in groups], axis=1)
    one = np.eye(len(expected))
    beside = np.zeros((len(kept) + len(groups), len(expected)))
    solution = scipy.optimize.milp(
        c=np.concatenate([beside[0], np.ones(len(expected))]),
        integrality=np.repeat([1, 0], len(expected)),
        bounds=scipy.optimize.Bounds(lb=0),
        constraints=[
            scipy.optimize.LinearConstraint(np.hstack([belongs, beside[: len(groups)]]), sizes, sizes),
            scipy.optimize.LinearConstraint(np.hstack([patterns.T, beside[: len(kept)]]), kept - 0.5, kept + 0.5),
            scipy.optimize.LinearConstraint(np.hstack([one, -one]), ub=expected),
            scipy.optimize.LinearConstraint(np.hstack([-one, -one]), ub=-expected),
        ],
    )
    if solution.x is None:
        cases = sum(sizes)
        raise InputError(f"--rates: cannot be met within half a case by {cases} cases; change a rate or add cases")
    return np.split(np.rint(solution.x[: len(expected)]).astype(np.int64), ends[:-1])
