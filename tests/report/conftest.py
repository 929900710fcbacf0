"""Run folders as training and evaluation write them, with plausible numbers and brain-like slices."""

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from grid_files import write_grid

from passion.data.sources.brats import BRATS2020
from passion.report.bootstrap import Bootstrap
from passion.report.experiment_page import write_experiment_report
from passion.report.results import MORE_SCORES

MODALITIES = BRATS2020.modalities
MISSING = {"t1": 0.2, "t1c": 0.4, "flair": 0.6, "t2": 0.8}
DICE = {"WT": {"t1": 0.6, "t1c": 0.62, "flair": 0.8, "t2": 0.76}}
DICE["TC"] = {"t1": 0.5, "t1c": 0.76, "flair": 0.52, "t2": 0.5}
DICE["ET"] = {"t1": 0.3, "t1c": 0.7, "flair": 0.28, "t2": 0.3}
SUBSETS = ["+".join(names) for size in range(1, 5) for names in combinations(MODALITIES, size)]
EPOCHS = 60


def write_run(folder: Path, method: str, seed: int, cases: int = 4, absent: dict[str, str] | None = None) -> Path:
    """A run of `method`; `absent` names a modality that a test case lacks."""
    draw = np.random.default_rng(seed)
    absent = absent or {}
    scored = folder / "evaluation" / "test-last"
    scored.mkdir(parents=True)
    config = {"objective": {"name": method}, "network": {"name": "mmformer"}, "training": {"epochs": EPOCHS}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "study.json").write_text(json.dumps(BRATS2020.to_dict()))
    (folder / "versions.json").write_text(json.dumps({"passion": "0.1.0", "python": "3.12"}))
    presence = pd.DataFrame(
        {name: (np.arange(20) >= 20 * rate).astype(int) for name, rate in MISSING.items()},
        index=pd.Index([f"train{n:03d}" for n in range(20)], name="case"),
    )
    presence.to_csv(folder / "presence.csv")
    _history(method, draw).to_csv(folder / "history.csv", index=False)
    names = [f"{n:03d}" for n in range(1, cases + 1)]
    _scores(names, method, absent, draw).to_csv(scored / "scores.csv", index=False)
    settings = {"split": "test", "checkpoint": "last", "epoch": EPOCHS, "overlap": 0.5, "cases": names}
    (scored / "settings.json").write_text(json.dumps(settings))
    np.savez_compressed(scored / "examples.npz", **_examples(names[:2], method, absent, draw))
    return folder


def _history(method: str, draw: np.random.Generator) -> pd.DataFrame:
    rows: list[tuple[int, str, str, float]] = []
    spread = 1.0 if method == "baseline" else 0.35
    towards = dict(zip(MODALITIES, (-0.3, -0.1, 0.25, 0.15), strict=True))
    beta = {name: 1 / (1 - rate) for name, rate in MISSING.items()}
    for epoch in range(EPOCHS):
        fall = np.exp(-epoch / 20) + 0.02 * draw.normal()
        rows += [(epoch, "total", "", 3 + 2 * fall), (epoch, "segmentation", "", 0.6 + fall)]
        rows += [(epoch, "seconds", "", 61.0), (epoch, "validation_dice", "", 0.7 * (1 - 0.8 * fall))]
        for name, level in towards.items():
            preference = spread * level * (1 - np.exp(-epoch / 8)) + 0.02 * draw.normal()
            rows += [(epoch, "preference", name, preference), (epoch, "gap", name, 0.3 * fall + 0.1)]
            if method == "passion":
                beta[name] -= 0.01 * preference
                rows += [(epoch, "beta", name, beta[name]), (epoch, "pixel", name, 0.5 * fall + 0.2)]
    return pd.DataFrame(rows, columns=["epoch", "quantity", "part", "value"])


def _scores(names: list[str], method: str, absent: dict[str, str], draw: np.random.Generator) -> pd.DataFrame:
    rows = []
    for case in names:
        for subset in SUBSETS:
            members = subset.split("+")
            if absent.get(case) in members:
                continue
            for region, alone in DICE.items():
                gain = 0.0 if method == "baseline" else 0.03
                dice = max(alone[name] for name in members) + 0.03 * len(members) + gain + 0.03 * draw.normal()
                dice = float(np.clip(dice, 0, 1))
                pooled = 4 + 40 * (1 - dice) + draw.random()
                surface, lesions = 0.9 * dice, dice**2
                rows.append((case, subset, region, dice, pooled * 1.2, pooled, pooled * 0.9, surface, lesions))
    columns = ["case", "subset", "region", "dice", "hd95", "hd95_pooled", "hd95_reference", *MORE_SCORES]
    return pd.DataFrame(rows, columns=columns).assign(prediction_empty=False, reference_empty=False)


def _tumour(grid: np.ndarray, centre: tuple[float, float], scale: float) -> np.ndarray:
    y, x = grid
    far = np.hypot(y - centre[0], 0.8 * (x - centre[1])) + 2.5 * np.sin(3 * np.arctan2(y - centre[0], x - centre[1]))
    return np.select([far < 7 * scale, far < 12 * scale, far < 22 * scale], [1, 3, 2], 0).astype(np.uint8)


def _examples(
    names: list[str], method: str, absent: dict[str, str], draw: np.random.Generator
) -> dict[str, np.ndarray]:
    grid = np.mgrid[0:180, 0:150].astype(float)
    y, x = grid
    far = np.hypot((y - 90) / 80, (x - 75) / 62)
    folds = np.sin(y / 6 + 2 * np.sin(x / 9)) * np.sin(x / 7 + 1.5 * np.sin(y / 11))
    ventricles = (np.hypot((y - 85) / 25, (np.abs(x - 75) - 9) / 7) < 1).astype(float)
    found: dict[str, np.ndarray] = {}
    for number, case in enumerate(names):
        truth = _tumour(grid, (70 + 35 * number, 105 - 55 * number), 1.0)
        found[f"{case}/reference"], found[f"{case}/pixel_mm"] = truth, np.array([1.0, 1.0])
        for modality, (edema, core, rim, fluid) in zip(
            MODALITIES,
            ((-0.6, -0.9, -0.5, -1.5), (-0.5, -0.9, 2.2, -1.5), (1.6, 0.6, 1.2, -1.3), (1.4, 1.0, 1.0, 2.2)),
            strict=True,
        ):
            if absent.get(case) == modality:
                continue
            lesion = np.array([0, core, edema, rim])[truth]
            image = (
                0.2
                + 0.45 * folds * (far < 0.93)
                + fluid * ventricles * (truth == 0)
                + lesion
                + 0.12 * draw.normal(size=y.shape)
            )
            found[f"{case}/image/{modality}"] = np.where(far < 1, image, 0).astype(np.float32)
        for subset in SUBSETS:
            if absent.get(case) in subset.split("+"):
                continue
            miss = (5 - len(subset.split("+"))) * (3.0 if method == "baseline" else 1.2)
            centre = (70 + 35 * number + miss * draw.normal() / 2, 105 - 55 * number + miss)
            predicted = _tumour(grid, centre, 1 + 0.03 * miss)
            if method == "baseline" and "+" not in subset:
                predicted[_tumour(grid, (130 - 50 * number, 60), 0.45) > 0] = 2
            found[f"{case}/prediction/{subset}"] = predicted
    return found


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """See `write_run`."""
    return write_run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """A baseline and a PASSION run."""
    return [write_run(tmp_path / method, method, seed) for seed, method in enumerate(("baseline", "passion"))]


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables 2 and 3 of BraTS2020; two cells of M2FTrans with PASSION are missing, the first of them broke."""
    return write_grid(tmp_path_factory.mktemp("grid") / "out")


@pytest.fixture(scope="session")
def page(grid: Path) -> Path:
    """Its page, with fewer samples of the bootstrap."""
    return write_experiment_report(grid, grid.parent / "report", Bootstrap(count=200))
