"""What the viewer of a page shows: a few cases with all predictions, as scripts that a page may load from a file."""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from passion.files import replacing_folder, withdraw_folder, write_text
from passion.parallel import track
from passion.report.experiment_figures import main_setting
from passion.report.figures import cycled
from passion.report.folder import Experiment, TableOfOne
from passion.report.results import Run
from passion.report.theme import CLASS_COLOURS
from passion.report.volumes import Labels, Volume, read_volumes

MOST_BYTES = 14_000_000
"""Of all cases together; with the viewer's own 2.3 MB a page stays small enough to be sent around."""

STEPS = (1, 2)
"""Every voxel, or every other one along each axis where a case would not fit otherwise."""

OWN_FILES = ("niivue.js", "viewer.js", "LICENSE.txt")
Shown = dict[str, tuple[Run, Volume]]
"""A run and its volume of one case, by method."""


@dataclass(frozen=True)
class Candidate:
    """A case that could be shown, as all methods of one setting and seed see it."""

    table: TableOfOne
    setting: str
    network: str
    seed: int
    case: str
    shown: Shown


def pack_cases(experiment: Experiment, most_bytes: int = MOST_BYTES) -> dict[str, str]:
    """The scripts that `viewer.js` reads, by file name without its ending.

    Each study is shown in its main setting; first one case of each study, then the second of each.

    Args:
        experiment: whose runs kept volumes.
        most_bytes: cases that would exceed it are left out.

    Returns:
        The list `cases` and what it lists; empty where there is no case.
    """
    contents: dict[str, str] = {}
    cases: list[dict[str, Any]] = []
    candidates = _candidates(experiment)
    for candidate in track(candidates, len(candidates), "Packing cases") if candidates else ():
        left = most_bytes - sum(map(len, contents.values()))
        for step in STEPS:
            described, scripts = _encoded(candidate, f"case{len(cases)}", step)
            if sum(map(len, scripts.values())) <= left:
                cases.append(described)
                contents |= scripts
                break
    return {**contents, "cases": _script("cases", cases)} if cases else {}


def write_viewer(scripts: Mapping[str, str], folder: Path) -> None:
    """Write the viewer and its cases to `folder`, whole or not at all.

    Args:
        scripts: see `pack_cases`; without any, `folder` is removed, since it would show cases of an earlier time.
        folder: to write.
    """
    if not scripts:
        withdraw_folder(folder)
        return
    with replacing_folder(folder) as beside:
        for name in OWN_FILES:
            text = files("passion.report").joinpath("viewer", name).read_text(encoding="utf-8")
            write_text(beside / name, text)
        for file, text in scripts.items():
            write_text(beside / f"{file}.js", text)


def _candidates(experiment: Experiment) -> list[Candidate]:
    by_study: dict[str, list[Candidate]] = {}
    for table in experiment.tables:
        if table.study is not None and not by_study.get(table.dataset):
            by_study[table.dataset] = _of_table(table)
    return [one for one in chain.from_iterable(zip_longest(*by_study.values())) if one is not None]


def _of_table(table: TableOfOne) -> list[Candidate]:
    setting, network = main_setting(table)
    seed, runs = table.of_one_seed(setting, network)
    stored = {method: (run, read_volumes(run)) for method, run in runs.items()}
    names = [set(volumes) for _, volumes in stored.values()]
    shared = set.intersection(*names)
    return [
        Candidate(table, setting, network, seed, case, {name: (run, of[case]) for name, (run, of) in stored.items()})
        for case in sorted(shared)
        if len({volumes[case].reference.shape for _, volumes in stored.values()}) == 1
    ]


def _encoded(candidate: Candidate, file: str, step: int) -> tuple[dict[str, Any], dict[str, str]]:
    """What `viewer.js` reads: the entry of the list of cases, and scripts by file name."""
    run, first = next(iter(candidate.shown.values()))
    thin = (slice(None, None, step),) * 3
    study = run.study
    scripts = {
        file: _script(file, _texts({**first.images, "reference": first.reference}, thin)),
        **{
            f"{file}-{number}": _script(f"{file}-{number}", _texts(volume.predictions, thin))
            for number, (_, volume) in enumerate(candidate.shown.values())
        },
    }
    described = {
        "file": file,
        "title": f"{candidate.table.dataset}, {candidate.case}: {candidate.setting}, {candidate.network}, "
        f"seed {candidate.seed}",
        "modalities": list(study.modalities),
        "images": list(first.images),
        "shape": first.reference[thin].shape,
        "spacing": [spacing * step for spacing in first.spacing_mm],
        "levels": int(max((image.max(initial=1) for image in first.images.values()), default=1)),
        "classes": [
            {"name": name, "colour": cycled(CLASS_COLOURS, index)} for index, name in enumerate(list(study.classes)[1:])
        ],
        "regions": {name: list(study.region_classes(name)) for name in study.averaged_regions},
        "methods": list(candidate.shown),
        "dice": {method: _dice(of, candidate.case) for method, (of, _) in candidate.shown.items()},
    }
    return described, scripts


def _texts(volumes: Mapping[str, Labels], thin: Sequence[slice]) -> dict[str, str]:
    return {name: _packed(volume[tuple(thin)]) for name, volume in volumes.items()}


def _packed(volume: Labels) -> str:
    """The first axis fastest, gzipped, in base64; the same for the same volume."""
    return base64.b64encode(gzip.compress(volume.tobytes(order="F"), 6, mtime=0)).decode()


def _script(name: str, content: object) -> str:
    return f"passionData({json.dumps(name)}, {json.dumps(content)});\n"


def _dice(run: Run, case: str) -> dict[str, dict[str, float]]:
    own = run.scores[run.scores["case"] == case]
    found: dict[str, dict[str, float]] = {}
    for row in own.to_dict("records"):
        found.setdefault(row["subset"], {})[row["region"]] = round(row["dice"], 4)
    return found
