"""What `passion experiment` does with a plan."""

from passion.errors import say
from passion.experiments.cells import Cell
from passion.experiments.cluster import Cluster, parse_options, submit
from passion.experiments.local import run_local
from passion.experiments.measure import measure, one_of_each_kind
from passion.experiments.plan import Plan
from passion.experiments.states import State
from passion.experiments.timing import Timing, duration


def describe(plan: Plan, jobs: int) -> None:
    """Say how far each cell is and how much time is left; kinds that none is finished of are timed for a few steps."""
    cells = plan.cells
    for cell in cells:
        say(f"{plan.workspace.state(cell).value:<7}{cell.name}")
    timing = Timing(plan.workspace)
    timing.learn(cells)
    left = [cell for cell in cells if plan.workspace.state(cell) is not State.DONE]
    unknown = one_of_each_kind([cell for cell in left if not timing.knows(cell)])
    timed = measure(plan, unknown, jobs) if unknown else {}
    timing.timed = timed
    for kind, cost in timed.items():
        scoring = duration(cost.evaluation_seconds)
        say(f"timed: {' '.join(kind)}: {cost.epoch_seconds:.1f} s an epoch, {scoring} to score")
    seconds = timing.left(left)
    work = "unknown" if seconds is None else f"about {duration(seconds / jobs)} with --jobs {jobs}"
    say(f"{len(cells)} cells, {len(cells) - len(left)} done; time left: {work}")


def run_here(plan: Plan, jobs: int, retry: bool) -> None:
    """Run what is not done in processes of this machine."""
    cells = _to_run(plan, retry)
    timing = Timing(plan.workspace)
    timing.learn(plan.cells)
    if cells:
        run_local(plan.workspace, cells, jobs, timing)


def run_on_cluster(plan: Plan, jobs: int, retry: bool, cluster: Cluster, options: str) -> None:
    """Submit what is not done."""
    given = parse_options(options)
    cells = _to_run(plan, retry)
    submitted = submit(plan.workspace, cells, cluster, jobs, given) if cells else []
    if submitted:
        say(f"{len(submitted)} cells submitted, from job {submitted[0].job_id} on; --dry-run shows how far they are")


def _to_run(plan: Plan, retry: bool) -> list[Cell]:
    cells = [cell for cell in plan.cells if plan.workspace.state(cell) is not State.DONE]
    plan.write(cells)
    if retry:
        for cell in cells:
            plan.workspace.forget_failure(cell)
    return [cell for cell in cells if plan.workspace.state(cell) is not State.BROKEN]


def close(plan: Plan) -> int:
    """Name what is not finished, and why where it broke; 1 where something did, else 0."""
    workspace = plan.workspace
    broken = plan.in_state(State.BROKEN)
    unfinished = [*plan.in_state(State.BEGUN), *plan.in_state(State.NEW)]
    for cell in broken:
        say(f"broken: {cell.name}: {workspace.why_broken(cell)}")
    if broken:
        logs = workspace.out / "cells"
        say(f"{len(broken)} cells are broken; --retry tries them again; what they printed is in {logs}")
    if unfinished:
        say(f"{len(unfinished)} cells are not finished, the next is {unfinished[0].name}; the same command continues")
    for name in (table.name for table in plan.tables):
        say(f"{workspace.out / name}.csv: the scores of every case")
    return 1 if broken else 0
