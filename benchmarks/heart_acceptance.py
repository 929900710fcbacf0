"""Whether heart phantoms resemble MyoPS2020: volumes of the labels, and what each sequence shows."""

from collections.abc import Iterable, Mapping

import numpy as np
from brain_acceptance import auc

from passion.data.phantom.heart import RANGES_ML, HeartCase
from passion.data.sources.myops import MYOPS2020

LIMITS: Mapping[str, tuple[float, float]] = {
    **{f"smallest {name}, ml": (low, high) for name, (low, high) in RANGES_ML.items()},
    **{f"largest {name}, ml": (low, high) for name, (low, high) in RANGES_ML.items()},
    "AUC of LV on bssfp": (0.95, 1.0),
    "AUC of edema on lge": (0.50, 0.70),
    "AUC of edema on t2": (0.75, 0.97),
    "AUC of scar on lge": (0.85, 0.97),
    "AUC of scar on bssfp": (0.35, 0.70),
    "AUC of scar against LV on lge": (0.20, 0.80),
}
"""Smallest and largest value of each figure. The volumes are the extremes of MyoPS2020's 25 cases; the rest says that
LGE shows the scar, though not apart from blood, T2 the oedema, and bSSFP the cavities."""

COMPARISONS: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "AUC of LV on bssfp": ("LV", ("myocardium",), "bssfp"),
    "AUC of edema on lge": ("edema", ("myocardium",), "lge"),
    "AUC of edema on t2": ("edema", ("myocardium",), "t2"),
    "AUC of scar on lge": ("scar", ("myocardium", "edema"), "lge"),
    "AUC of scar on bssfp": ("scar", ("myocardium", "edema"), "bssfp"),
    "AUC of scar against LV on lge": ("scar", ("LV",), "lge"),
}
"""What is compared with what, on which sequence."""


def acceptance(cases: Iterable[HeartCase]) -> dict[str, float]:
    """The figures that `LIMITS` names: extremes of the volumes, medians of the AUCs.

    Raises:
        ValueError: no cases.
    """
    each = [case_figures(case) for case in cases]
    if not each:
        raise ValueError("acceptance of no cases")
    volumes = {name: [figures[f"{name}, ml"] for figures in each] for name in RANGES_ML}
    return {
        **{f"smallest {name}, ml": min(values) for name, values in volumes.items()},
        **{f"largest {name}, ml": max(values) for name, values in volumes.items()},
        **{name: float(np.median([figures[name] for figures in each])) for name in COMPARISONS},
    }


def case_figures(case: HeartCase) -> dict[str, float]:
    """Volumes in ml and AUCs of one case."""
    codes = MYOPS2020.classes
    figures = {f"{name}, ml": volume for name, volume in case.volumes_ml.items()}
    for name, (inside, outside, modality) in COMPARISONS.items():
        image = case.images[modality]
        others = np.isin(case.labels, [codes[one] for one in outside])
        figures[name] = auc(image[case.labels == codes[inside]], image[others])
    return figures
