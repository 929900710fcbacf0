"""Whether brain phantoms resemble BraTS: volumes of the tumour's parts, and what each modality shows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from passion.data.phantom.brain import BrainCase
from passion.data.sources.brats import BRATS2020

LIMITS: Mapping[str, tuple[float, float]] = {
    "NCR/NET, ml": (7.56, 14.04),
    "ED, ml": (32.83, 60.97),
    "ET, ml": (10.22, 18.98),
    "without ET": (0.05, 0.15),
    "AUC of WT on flair": (0.90, 1.0),
    "AUC of WT on t2": (0.75, 0.90),
    "AUC of WT on t1": (0.0, 0.60),
    "AUC of WT on t1c": (0.0, 0.60),
    "AUC of ET on t1c": (0.90, 1.0),
    "AUC of ET on t1": (0.0, 0.65),
}
"""Smallest and largest value of each figure. The volumes are the medians of BraTS 2018, 10.8, 46.9 and
14.6 ml, within 30 %; the rest says that FLAIR shows the whole tumour, T2 less so, and only T1c its enhancing
part."""

VOXELS = 20000
"""As many voxels of each kind are compared at most."""


@dataclass(frozen=True)
class Finding:
    """One figure against its limits."""

    name: str
    value: float
    low: float
    high: float

    @property
    def ok(self) -> bool:
        """Whether the value lies within the limits; one that is not defined does not."""
        return self.low <= self.value <= self.high


def acceptance(cases: Iterable[BrainCase]) -> dict[str, float]:
    """The figures that `LIMITS` names, over `cases`.

    Volumes are medians over all cases, also those without the part. AUC is the chance that a voxel of the
    region is brighter than one of the rest of the brain (Mann-Whitney), one case at a time, then the median
    over the cases that have the region: below 0.5 the region is darker.

    Raises:
        ValueError: no cases.
    """
    each = [case_figures(case) for case in cases]
    if not each:
        raise ValueError("acceptance of no cases")
    columns = {name: np.array([figures[name] for figures in each]) for name in each[0]}
    result = {name: float(np.nanmedian(values)) for name, values in columns.items() if name in LIMITS}
    result["without ET"] = float(np.mean(columns["ET, ml"] == 0))
    return {name: result[name] for name in LIMITS}


def case_figures(case: BrainCase) -> dict[str, float]:
    """Volumes in ml and AUCs of one case; NaN where the case has not the region."""
    voxel_ml = abs(float(np.linalg.det(case.affine[:3, :3]))) / 1000
    brain = case.images[BRATS2020.modalities[0]] > 0
    codes = BRATS2020.classes
    figures = {f"{name}, ml": float((case.labels == codes[name]).sum()) * voxel_ml for name in ("NCR/NET", "ED", "ET")}
    rng = np.random.default_rng(0)
    for region, modalities in (("WT", BRATS2020.modalities), ("ET", ("t1", "t1c"))):
        inside = np.isin(case.labels, [codes[name] for name in BRATS2020.regions[region].classes])
        chosen = _some(inside & brain, rng)
        others = _some(brain & ~inside, rng)
        for modality in modalities:
            image = case.images[modality].ravel()
            figures[f"AUC of {region} on {modality}"] = auc(image[chosen], image[others])
    return figures


def _some(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Flat indices of at most `VOXELS` voxels of `mask`."""
    indices = np.flatnonzero(mask)
    return rng.choice(indices, VOXELS, replace=False) if indices.size > VOXELS else indices


def auc(inside: NDArray[np.int16], outside: NDArray[np.int16]) -> float:
    """Chance that a value of `inside` exceeds one of `outside`, ties counting half; NaN if either is empty.

    >>> auc(np.array([2, 3], np.int16), np.array([1, 2], np.int16))
    0.875
    """
    if not inside.size or not outside.size:
        return float("nan")
    return float(stats.mannwhitneyu(inside, outside).statistic / (inside.size * outside.size))


def findings(figures: Mapping[str, float], limits: Mapping[str, tuple[float, float]] = LIMITS) -> list[Finding]:
    """Each of `figures` against its limits."""
    return [Finding(name, figures[name], low, high) for name, (low, high) in limits.items()]
