"""Many cases, several processes, one progress bar."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from multiprocessing.connection import wait
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from passion.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")


def track(items: Iterable[Item], total: int, description: str) -> Iterator[Item]:
    """Pass `items` through, with a progress bar on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(items, total=total, description=description)


def map_each(function: Callable[[Item], Result], items: Sequence[Item], workers: int, description: str) -> list[Result]:
    """`function` of every item, in order, worked out by `workers` processes (none: in this one).

    Raises:
        InputError: all that the function raised, a line each, after every item had its turn.
    """
    outcomes = attempt_each(function, items, workers, description)
    mistakes = [str(outcome) for outcome in outcomes if isinstance(outcome, InputError)]
    if mistakes:
        raise InputError("\n".join(mistakes))
    return [outcome for outcome in outcomes if not isinstance(outcome, InputError)]


def attempt_each(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, description: str
) -> list[Result | InputError]:
    """As `map_each`, with the InputError in the place of each item for which one was raised."""
    found: dict[int, Result | InputError] = {}
    for index, outcome in track(_outcomes(function, items, workers), len(items), description):
        try:
            found[index] = outcome()
        except InputError as error:
            found[index] = error
    return [found[index] for index in range(len(items))]


def _outcomes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[tuple[int, Callable[[], Result]]]:
    if workers < 2 or len(items) < 2:
        for index, item in enumerate(items):
            yield index, lambda item=item: function(item)  # type: ignore[misc]
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(items)), context, initializer=_serve) as pool:
        futures = {pool.submit(function, item): index for index, item in enumerate(items)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _serve() -> None:
    """Let a worker finish its item when the work is interrupted, and end when the process that it serves is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with(sentinel: int) -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=end_with, args=(parent.sentinel,), daemon=True).start()


def one_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Callable[[], Result]]]:
    """Items, each with what gives `function` of it or raises what that raised; a thread works out the next meanwhile.

    >>> [outcome() for _, outcome in one_ahead(str.upper, "ab")]
    ['A', 'B']
    """
    with ThreadPoolExecutor(1) as thread:
        ready: list[tuple[Item, Callable[[], Result]]] = []
        for item in items:
            ready.append((item, thread.submit(function, item).result))
            if len(ready) > 1:
                yield ready.pop(0)
        yield from ready


def is_rank_zero(processes: int) -> bool:
    """Whether this is the first of the processes that train together: the one that writes and speaks.

    Args:
        processes: how many were asked for. One by itself is the first, whatever job or launcher it runs in.
    """
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    return processes == 1 or all(os.environ.get(name, "0") == "0" for name in ranks)
