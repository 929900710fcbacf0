"""Run folders while they are trained in: what they are made of, how far they have come, who may go on in them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from passion import run_files
from passion.configuration import Configuration
from passion.data.seen_grids import SeenGrids, write_seen_grids
from passion.data.split import Split, write_split
from passion.data.store import PreparedStudy
from passion.data.study import Study, read_run_study, write_run_study
from passion.errors import InputError, note
from passion.files import LOCK, PARTIAL, alone_in, sweep, write_json, write_text
from passion.missingness import Presence
from passion.runs import checkpoint_path, versions
from passion.weights import read_weights

PARTS = (
    run_files.STUDY, run_files.SPLIT, run_files.PRESENCE, run_files.DATA, run_files.GRIDS, run_files.VERSIONS,
)  # fmt: skip
"""What is written before the configuration."""


@dataclass(frozen=True)
class RunData:
    """What a run is made of beside its configuration.

    Args:
        prepared: where its cases are.
        study: that it is trained on.
        split: which cases are for what.
        presence: which training case has which modality.
    """

    prepared: PreparedStudy
    study: Study
    split: Split
    presence: Presence


def is_begun(out: Path) -> bool:
    """Whether a run folder is whole, so that a run can go on in it."""
    return (out / run_files.CONFIGURATION).exists()


def check_run_folder(out: Path, resume: bool) -> None:
    """Refuse a folder in which a run can neither go on nor begin.

    A run can begin where nothing is, and in what is left of one that was killed before it was begun.

    Raises:
        InputError: see above.
    """
    if is_begun(out):
        if not resume:
            raise InputError(f"--out {out}: exists; choose another folder, or --resume to continue that run")
    elif out.exists() and not _may_begin(out):
        raise InputError(f"--out {out}: exists and holds something else; choose another folder")


def _may_begin(out: Path) -> bool:
    names = [path.name for path in out.iterdir()] if out.is_dir() else [out.name]
    ours = LOCK in names and all(name in (LOCK, *PARTS) or name.startswith(PARTIAL) for name in names)
    return not names or ours


@contextmanager
def claim_run_folder(out: Path, resume: bool) -> Iterator[None]:
    """Train alone in `out`; what killed processes were writing there is removed.

    Raises:
        InputError: another process trains there, or has begun a run there and `resume` is not said.
    """
    with alone_in(out, f"--out {out}: another process is training there; wait for it, or choose another folder"):
        check_run_folder(out, resume)
        for folder in (out, checkpoint_path(out, "last").parent):
            sweep(folder)
        yield


def epochs_done(out: Path) -> int:
    """Whole epochs that the last checkpoint has seen; 0 where there is none.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    path = checkpoint_path(out, "last")
    if not path.exists():
        return 0
    remedy = "remove it to begin that run again"
    try:
        return int(read_weights(path, remedy)["epoch"]) + 1
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: is no checkpoint of a run; {remedy}") from error


def surroundings() -> dict[str, str]:
    """All that the last digits depend on, beside configuration and data."""
    threads, capability = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    return {**versions(), "threads": str(threads), "cpu": capability}


def _say_what_changed(out: Path) -> None:
    """A line for whoever continues a run elsewhere than it was begun: then its last digits may differ."""
    try:
        begun = json.loads((out / run_files.VERSIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    now = surroundings()
    changed = [f"{name} {begun[name]} -> {value}" for name, value in now.items() if begun.get(name, value) != value]
    if changed:
        note(f"{out} was begun elsewhere ({', '.join(changed)}); it goes on, but not bit for bit")


ELSEWHERE = {
    "data.prepared", "data.split", "data.presence", "data.workers", "training.accelerator", "training.start_from",
}  # fmt: skip
"""Options that may be others when a run goes on: of data content is compared, and what it started from it has."""


def check_options_unchanged(asked: Configuration, out: Path) -> None:
    """Refuse to go on in a run folder with other options than it was begun with.

    Raises:
        InputError: naming the first.
    """
    own = Configuration.from_file(out / run_files.CONFIGURATION)

    def compare(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        for name in {**given, **wanted}:
            if name not in ELSEWHERE and wanted.get(name) != given.get(name):
                raise InputError(
                    f"--resume: {out} was trained with --{name} {given.get(name)}, not {wanted.get(name)}; leave the "
                    "option out, or start another run"
                )

    # Names first: what another name in the run's folder leads to is not for us to import.
    compare(*({"network.name": one.network["name"], "objective.name": one.objective["name"]} for one in (asked, own)))
    compare(asked.by_option(), own.by_option())


def describe_run(given: RunData, configuration: Configuration, out: Path) -> None:
    """Write what the run is made of, the configuration last: where it is, the run is begun.

    Raises:
        InputError: the run is begun, and what it is made of is no longer what it was.
    """
    if is_begun(out):
        _check_same(given, out)
        _say_what_changed(out)
        if configuration != Configuration.from_file(out / run_files.CONFIGURATION):
            write_text(out / run_files.CONFIGURATION, configuration.to_yaml())
        return
    write_json(out / run_files.VERSIONS, surroundings())
    _write_parts(given, out)
    write_text(out / run_files.CONFIGURATION, configuration.to_yaml())


def _write_parts(given: RunData, folder: Path) -> None:
    write_run_study(folder, given.study)
    write_split(folder / run_files.SPLIT, given.split)
    given.presence.write(folder / run_files.PRESENCE)
    seen = [*given.split["train"], *given.split["val"]]
    write_json(folder / run_files.DATA, {name: given.prepared.case(name).digest for name in seen})
    grids = [given.prepared.case(name).grid for name in given.split["train"]]
    write_seen_grids(folder, SeenGrids.of(grids, given.study.spatial_dims))


def _check_same(given: RunData, out: Path) -> None:
    with TemporaryDirectory() as name:
        now = Path(name)
        _write_parts(given, now)
        for file in sorted(now.iterdir()):
            own = out / file.name
            if own.name in (run_files.DATA, run_files.GRIDS) and not own.exists():
                continue  # of an earlier version, which did not write it
            if not own.exists() or not _alike(own, file):
                raise InputError(
                    f"--resume: {own} is what the run was begun with, and its {own.stem} is another now; put back "
                    "what it was, or start another run"
                )


def _alike(own: Path, file: Path) -> bool:
    """Whether two files say the same; a study's also where an earlier version wrote one of them."""
    if file.name == run_files.STUDY:
        return read_run_study(own.parent) == read_run_study(file.parent)
    return own.read_bytes() == file.read_bytes()
