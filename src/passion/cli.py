"""The command line: which words name which command, and how each way of ending is said."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import NoReturn

from passion import __version__
from passion.commands import experiments, phantoms, scores, studies, training, use
from passion.errors import InputError, say
from passion.failures import report_failure

COMMANDS: dict[str, Callable[..., int | None]] = {
    "phantom brain": phantoms.phantom_brain,
    "phantom heart": phantoms.phantom_heart,
    "inspect": studies.inspect,
    "convert": studies.convert,
    "split": studies.split,
    "draw-missing": studies.draw_missing,
    "prepare": studies.prepare,
    "train": training.train,
    "import-weights": training.import_weights,
    "evaluate": scores.evaluate,
    "compare": scores.compare,
    "predict": use.predict,
    "export": use.export,
    "report": scores.report,
    "experiment": experiments.experiment,
    "demo": experiments.demo,
}

SPINS = "10000"
"""How often a thread of PyTorch looks whether the others are done before it sleeps, set before PyTorch is there.

By default it looks for milliseconds: beside other work, which has the core that the others wait for, a small step then
takes twice as long; where the machine is free it makes no difference. A value in the environment stays.
"""


class Terminated(SystemExit):
    """The process was asked to end: what is being written is cleaned up on the way out."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command that `arguments` (default: those of the process) name, and exit.

    Exit code 0, or 2 for a mistake in what was given, which is said in one line; 1 for a mistake of ours, whose
    traceback goes into a file; 130 when interrupted, 143 when terminated.
    """
    # Names of files need not be text.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if arguments is None else arguments)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        sys.exit(run(words))
    except InputError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"passion: error: {line}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write(f"passion: interrupted; {_continuing(words)}\n")
        sys.exit(130)
    except Terminated:
        sys.stderr.write(f"passion: terminated; {_continuing(words)}\n")
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        sys.exit(report_failure(error))
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, _: object) -> NoReturn:
    raise Terminated(128 + number)


def _continuing(words: Sequence[str]) -> str:
    if "train" in words[:1] and "--resume" not in words:
        return "the same command with --resume continues after the last whole epoch"
    return "the same command continues where it can"


def run(words: list[str]) -> int:
    """Run a command and return its exit code.

    Raises:
        InputError: a mistake in what was given.
    """
    if not words or words[0] in ("-h", "--help", "help"):
        say(overview())
        return 0
    if words[0] == "--version":
        say(f"passion {__version__}")
        return 0
    name = next((name for name in COMMANDS if words[: name.count(" ") + 1] == name.split()), None)
    if name is None:
        raise InputError(f"{words[0]!r} is not a command; there are: {', '.join(COMMANDS)}")
    rest = words[name.count(" ") + 1 :]
    from passion.allocator import keep_freed_memory
    from passion.options import parse

    keep_freed_memory()
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    return COMMANDS[name](**parse(name, COMMANDS[name], rest)) or 0


def overview() -> str:
    """What `passion --help` prints."""
    lines = ["usage: passion COMMAND [OPTION ...]", "", "Segmentation when modalities are missing, unevenly.", ""]
    for name, function in COMMANDS.items():
        summary = (function.__doc__ or "").splitlines()[0]
        lines.append(f"  {name:<15}{summary}")
    return "\n".join([*lines, "", "`passion COMMAND --help` explains a command."])


if __name__ == "__main__":
    main()
