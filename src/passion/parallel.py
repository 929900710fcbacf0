"""Many cases, several processes, one progress bar."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
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
    results: dict[int, Result] = {}
    mistakes: dict[int, str] = {}
    for index, outcome in track(_outcomes(function, items, workers), len(items), description):
        try:
            results[index] = outcome()
        except InputError as error:
            mistakes[index] = str(error)
    if mistakes:
        raise InputError("\n".join(mistakes[index] for index in sorted(mistakes)))
    return [results[index] for index in range(len(items))]


def _outcomes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[tuple[int, Callable[[], Result]]]:
    if workers < 2 or len(items) < 2:
        for index, item in enumerate(items):
            yield index, lambda item=item: function(item)  # type: ignore[misc]
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(items)), mp_context=context) as pool:
        futures = {pool.submit(function, item): index for index, item in enumerate(items)}
        for future in as_completed(futures):
            yield futures[future], future.result


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


def leads() -> bool:
    """Whether this is the first of the processes that train together: the one that writes and speaks."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))
