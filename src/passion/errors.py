"""The one exception for what a user can put right."""


class InputError(ValueError):
    """A mistake in what the user gave: the message is one line that names the file or option, the value and the remedy.

    The command line prints it without a traceback and exits with code 2.
    """
