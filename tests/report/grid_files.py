"""The folder of a grid of runs as `passion experiment` writes it, with plausible numbers and ball-like tumours."""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from passion.data.sources.brats import BRATS2020
from passion.data.sources.myops import MYOPS2020
from passion.data.study import Study
from passion.experiments.grid import read_grid
from passion.report.results import MORE_SCORES, subset_names

STUDIES = {"brats": BRATS2020, "myops": MYOPS2020}
GAIN = {"Baseline": 0.0, "+ModDrop": -0.01, "+PMR": 0.01, "+PASSION": 0.04}
SHAPE = (36, 44, 30)


def write_grid(
    out: Path,
    tables: Collection[str] = ("table2", "table3"),
    kinds: Collection[str] = ("brats",),
    *,
    seeds: int = 2,
    cases: int = 8,
    unfinished: Collection[str] = ("m2ftrans_passion",),
    shape: tuple[int, int, int] = SHAPE,
) -> Path:
    """Cells whose names contain one of `unfinished` are not there; the first of them is broken."""
    (out / "cells").mkdir(parents=True)
    left = []
    for table in tables:
        grid = read_grid(table)
        places = []
        for kind in kinds:
            for setting, method, rates in grid.rows(kind) if kind in grid.rates else []:
                for network in grid.networks:
                    for seed in range(seeds):
                        study = STUDIES[kind]
                        levels = "-".join(f"{rate:g}" for rate in rates.values()) if rates else "pdt"
                        cell = f"{study.name}_{network}_{method.strip('+').lower()}_{levels}_seed{seed}"
                        words = {"dataset": study.name, "setting": setting, "network": network, "method": method}
                        places.append({**words, "seed": seed, "rates": rates, "cell": cell})
                        if any(word in cell for word in unfinished):
                            left.append(cell)
                        elif not (out / "runs" / cell).exists():
                            write_cell(out / "runs" / cell, study, places[-1], cases, shape)
        (out / f"{table}.json").write_text(json.dumps({"shape": grid.shape, "places": places}))
    if left:
        (out / f"cells/{left[0]}").mkdir(parents=True)
        (out / f"cells/{left[0]}/broken.txt").write_text("RuntimeError: out of memory\n")
    return out


def write_cell(
    folder: Path, study: Study, place: Mapping[str, object], cases: int, shape: tuple[int, int, int]
) -> None:
    """The run folder of a cell."""
    method, seed = str(place["method"]), int(str(place["seed"]))
    rates = place["rates"] or dict.fromkeys(study.modalities, 0.0)
    assert isinstance(rates, Mapping)
    draw = np.random.default_rng([seed, sum(map(ord, folder.name))])
    scored = folder / "evaluation/test-last"
    scored.mkdir(parents=True)
    config = {
        "objective": {"name": method}, "network": {"name": place["network"]}, "data": {"patch_size": 80},
        "training": {"epochs": 60, "seed": seed},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "study.json").write_text(json.dumps(study.to_dict()))
    (folder / "versions.json").write_text(json.dumps({"passion": "0.1.0"}))
    presence = {name: (np.arange(20) >= 20 * rate).astype(int) for name, rate in rates.items()}
    pd.DataFrame(presence, index=pd.Index([f"train{n}" for n in range(20)], name="case")).to_csv(
        folder / "presence.csv"
    )
    _history(method, rates, draw).to_csv(folder / "history.csv", index=False)
    names = [f"case{n:03d}" for n in range(cases)]
    scores(study, names, method, rates, seed, draw).to_csv(scored / "scores.csv", index=False)
    settings = {"split": "test", "checkpoint": "last", "epoch": 60, "overlap": 0.5, "cases": cases}
    (scored / "settings.json").write_text(json.dumps(settings))
    if seed == 0:
        volumes = {key: value for name in names[:2] for key, value in volume(study, name, method, shape, draw).items()}
        np.savez_compressed(scored / "volumes.npz", **volumes)
        np.savez_compressed(scored / "examples.npz", **_slices(volumes))


def write_many_modalities(out: Path) -> Path:
    """A table by subsets, of a study with seven modalities: 127 subsets."""
    study = replace(BRATS2020, name="Many", modalities=tuple(f"sequence-{number}" for number in range(7)))
    rates = dict.fromkeys(study.modalities, 0.5)
    places = []
    for method in ("Baseline", "+PASSION"):
        words = {"dataset": study.name, "setting": "IDT", "network": "mmformer", "method": method, "seed": 0}
        places.append({**words, "rates": rates, "cell": f"Many_{method.strip('+').lower()}"})
        write_cell(out / "runs" / str(places[-1]["cell"]), study, places[-1], 3, (12, 12, 9))
    (out / "cells").mkdir()
    (out / "own.json").write_text(json.dumps({"shape": "subsets", "places": places}))
    return out


def mark_as_phantom(run: Path) -> None:
    """As that of a run on phantoms is."""
    content = json.loads((run / "study.json").read_text())
    (run / "study.json").write_text(json.dumps({**content, "phantom": True}))


def _history(method: str, rates: Mapping[str, float], draw: np.random.Generator) -> pd.DataFrame:
    spread = 0.3 if method == "+PASSION" else 0.6 if method.startswith("+pixel") else 1.0
    rows = []
    for epoch in range(0, 60, 4):
        rows += [(epoch, "total", "", 3 + np.exp(-epoch / 20)), (epoch, "seconds", "", 61.0)]
        for name, rate in rates.items():
            preference = spread * (0.5 - rate) * (1 - np.exp(-epoch / 8)) + 0.01 * draw.normal()
            rows.append((epoch, "preference", name, preference))
    return pd.DataFrame(rows, columns=["epoch", "quantity", "part", "value"])


def scores(
    study: Study, names: list[str], method: str, rates: Mapping[str, float], seed: int, draw: np.random.Generator
) -> pd.DataFrame:
    """Scores that are better the more modalities there are and the less often those were missing in training."""
    gain = GAIN.get(method, 0.02)
    rows = []
    for number, case in enumerate(names):
        hard = 0.06 * np.sin(7 * number)
        for subset in subset_names(study):
            members = subset.split("+")
            least = min(rates[name] for name in members)
            for place, region in enumerate(study.regions):
                dice = 0.62 - 0.08 * place + hard + 0.06 * len(members) - 0.25 * least * (1 - 4 * gain) + gain
                dice = float(np.clip(dice + 0.005 * seed + 0.02 * draw.normal(), 0, 1))
                pooled = 4 + 40 * (1 - dice)
                distances = (1.2 * pooled, pooled, 0.9 * pooled)
                rows.append((case, subset, region, dice, *distances, 0.9 * dice, dice**2))
    columns = ["case", "subset", "region", "dice", "hd95", "hd95_pooled", "hd95_reference", *MORE_SCORES]
    return pd.DataFrame(rows, columns=columns).assign(prediction_empty=False, reference_empty=False)


def _tumour(shape: tuple[int, int, int], centre: np.ndarray, radius: float, classes: int) -> np.ndarray:
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    offset = (grid - centre) / np.array([1.0, 1.2, 0.9])
    far = np.linalg.norm(offset, axis=-1) * (1 + 0.12 * np.sin(2 * np.arctan2(offset[..., 1], offset[..., 0])))
    depth = np.ceil((1 - far / radius) * (classes - 1)).clip(0, classes - 1)
    return depth.astype(np.uint8)


def volume(
    study: Study, name: str, method: str, shape: tuple[int, int, int], draw: np.random.Generator
) -> dict[str, np.ndarray]:
    """A head of noise with a ball in it, and predictions that miss it the more, the fewer modalities there are."""
    extent, classes = np.array(shape), len(study.classes)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) / extent - 0.5
    head = np.linalg.norm(grid, axis=-1) < 0.48
    centre = extent * ((0.62, 0.45, 0.55) if name.endswith("0") else (0.4, 0.55, 0.5))
    radius = 0.22 * min(shape)
    truth = _tumour(shape, centre, radius, classes)
    folds = np.sin(60 * grid[..., 0]) * np.cos(55 * grid[..., 1]) * np.sin(50 * grid[..., 2])
    found = {f"{name}/reference": truth, f"{name}/spacing_mm": np.array([1.0, 1.0, 1.5])}
    for place, modality in enumerate(study.modalities):
        grey = 24 + 8 * folds + (10 - 4 * place) * (truth > 0) + 6 * truth + 2 * draw.normal(size=shape)
        found[f"{name}/image/{modality}"] = np.where(head, grey.clip(1, 63), 0).astype(np.uint8)
    for subset in subset_names(study):
        missing = len(study.modalities) - subset.count("+") - 1
        miss = missing * (1.2 - 20 * GAIN.get(method, 0.02)) * min(shape) / 36
        found[f"{name}/prediction/{subset}"] = _tumour(shape, centre + miss, radius - miss / 2, classes)
    return found


def _slices(volumes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = {}
    for key, value in volumes.items():
        if key.endswith("/spacing_mm"):
            found[key.replace("/spacing_mm", "/pixel_mm")] = value[[1, 0]]
        else:
            image = value[..., value.shape[2] // 2].T
            found[key] = image.astype(np.float32) - 24 * (image > 0) if "/image/" in key else image
    return found
