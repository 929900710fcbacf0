"""The one exception for what a user can put right, and what is said besides."""

import sys
from collections.abc import Callable, Iterable
from typing import Any


class InputError(ValueError):
    """A mistake in what the user gave: the message is one line that names the file or option, the value and the remedy.

    The command line prints it without a traceback and exits with code 2.
    """


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Say something on standard error that stops nothing."""
    sys.stderr.write(f"passion: note: {text}\n")


def own_words(error: InputError) -> str:
    """The message of an error without the traceback that PyTorch puts before it when a worker process raised it."""
    text = str(error)
    return text.rpartition(f"{InputError.__name__}: ")[2].strip() if text.startswith("Caught InputError") else text


def attempt_all(actions: Iterable[Callable[[], Any]]) -> list[Any]:
    """Do everything, also after a refusal, and return what came of it.

    Raises:
        InputError: all that was refused, a line each and each once.
    """
    results, refusals = [], []
    for action in actions:
        try:
            results.append(action())
        except InputError as error:
            refusals.append(str(error))
    if refusals:
        raise InputError("\n".join(dict.fromkeys(refusals)))
    return results
