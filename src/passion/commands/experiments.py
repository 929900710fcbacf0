"""Commands that run others: tables of the paper, and the whole way at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from passion.errors import InputError

Cluster = Literal["slurm", "local", "debug"]


def experiment(
    tables: Sequence[str],
    study: Sequence[Path],
    *,
    out: Path,
    scale: str = "paper",
    seeds: int = 3,
    jobs: int = 2,
    split: Sequence[Path] = (),
    cluster: Cluster | None = None,
    options: str = "",
    dry_run: bool = False,
    retry: bool = False,
) -> int:
    """Fill tables of the paper, run by run; what was stopped is continued, and nothing is done twice.

    Exit code 1 where runs are broken.

    Args:
        tables: table1, table2, table3, or YAML files of your own.
        study: folders of prepared studies.
        out: folder of all runs, and of TABLE.csv, the scores of those that are finished.
        scale: paper, small (minutes a run on one core), quick (seconds, scores mean nothing), or a YAML file.
        seeds: how many; a seed draws the presence matrix, the initial weights and the order.
        jobs: runs at a time, each on one core where there is no GPU.
        split: CSV file for each study; drawn if not given.
        cluster: submit to SLURM, or to its stand-ins on this machine, local and debug.
        options: of submitit for the cluster, such as timeout_min=720,slurm_partition=gpu,gpus_per_node=1.
        dry_run: say what there is to do and how long it will take; nothing is trained.
        retry: try broken runs again.
    """
    from passion.experiments.command import close, describe, run_here, run_on_cluster
    from passion.experiments.plan import make_plan
    from passion.report.experiments import print_tables

    if jobs < 1:
        raise InputError(f"--jobs {jobs}: must be at least 1")
    plan = make_plan(tables, study, out, scale, seeds, split)
    if dry_run:
        describe(plan, jobs)
    elif cluster is None:
        run_here(plan, jobs, retry)
    else:
        run_on_cluster(plan, jobs, retry, cluster, options)
    print_tables(plan.collect(), plan.layout, seeds)
    return close(plan)


def demo(*, out: Path = Path("demo"), scale: Literal["small", "large"] = "small", seed: int = 0) -> None:
    """Compare PASSION with its baseline on a phantom study, from NIfTI files to a page.

    Args:
        out: folder of everything that is written; what is there already is continued.
        scale: small for two cores in minutes; large for a GPU.
        seed: of phantoms, split, draw and training.
    """
    from passion.demo import run_demo

    run_demo(out, scale, seed)
