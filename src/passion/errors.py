"""The one exception for what a user can put right, and what is said that stops nothing."""

import sys


class InputError(ValueError):
    """A mistake in what the user gave: the message is one line that names the file or option, the value and the remedy.

    The command line prints it without a traceback and exits with code 2.
    """


def note(text: str) -> None:
    """Say something on standard error that stops nothing."""
    sys.stderr.write(f"passion: note: {text}\n")
