"""Cells as jobs of a cluster, through submitit: an array of SLURM, or its stand-ins on one machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from passion.errors import InputError
from passion.experiments.cells import Cell
from passion.experiments.work import run_cell
from passion.experiments.workspace import Workspace

Cluster = Literal["slurm", "local", "debug"]
"""Of submitit: SLURM; processes of this machine, all at once; this process."""


class Continued:
    """`run_cell` as a job that the cluster may put off: it is submitted again and continues."""

    def __call__(self, out: Path, name: str) -> bool:
        """See `run_cell`."""
        return run_cell(out, name)

    def checkpoint(self, out: Path, name: str) -> Any:
        """Called by submitit when time is up or the job has to make room: what is to be submitted instead."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, out, name)


def parse_options(text: str) -> dict[str, Any]:
    """Options of submitit from `timeout_min=720,slurm_partition=gpu`.

    Raises:
        InputError: not of that form.

    >>> parse_options("timeout_min=720,slurm_partition=gpu")
    {'timeout_min': 720, 'slurm_partition': 'gpu'}
    """
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    wrong = ["".join(pair) for pair in pairs if not (pair[0] and pair[1] and pair[2])]
    if wrong:
        raise InputError(f"--options: {wrong[0]!r} is not NAME=VALUE, such as timeout_min=720,slurm_partition=gpu")
    return {name: yaml.safe_load(value) for name, _, value in pairs}


def submit(
    workspace: Workspace, cells: Sequence[Cell], cluster: Cluster, jobs: int, options: dict[str, Any]
) -> list[Any]:
    """Hand planned cells over, in order, to run `jobs` at a time where the cluster can limit it.

    Returns:
        submitit's jobs, one a cell.

    Raises:
        InputError: submitit is not installed, there is no SLURM, or it does not know an option.
    """
    try:
        import submitit
    except ImportError as error:
        raise InputError(f"--cluster {cluster}: needs submitit; pip install 'passion[slurm]'") from error
    try:
        executor = submitit.AutoExecutor(folder=workspace.out / "submitit" / "%j", cluster=cluster)
        executor.update_parameters(name="passion", **options)
        if cluster == "slurm":
            executor.update_parameters(slurm_array_parallelism=jobs)
        out = workspace.out.resolve()
        submitted = list(executor.map_array(Continued(), [out] * len(cells), [cell.name for cell in cells]))
    except (RuntimeError, TypeError, NameError, AssertionError) as error:
        raise InputError(f"--cluster {cluster}: {' '.join(str(error).split())}") from error
    if cluster == "debug":
        # These run when they are asked how they ended.
        for job in submitted:
            job.exception()
    return submitted
