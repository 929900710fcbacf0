"""Processes that are killed at a certain moment.

Each line of the standard input is a JSON job: [signal, moment, file name, count, words of a command, log]. When a file
of that name is put in its place for the count-th time, the process gets the signal "before" that, with half of the
file written, or "after" it; what it says goes into the log. A line comes back with its exit code, negative for a
signal. All are forked from one process, which imports once.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import passion.evaluation.run
import passion.experiment  # noqa: F401
from passion import cli


def arm(name: str, moment: str, file: str, count: int) -> None:
    put_in_place, left = Path.replace, [count]

    def replace(self: Path, target: Path) -> Path:
        due = Path(target).name == file
        left[0] -= due
        if due and left[0] == 0 and moment == "before":
            os.truncate(self, self.stat().st_size // 2)
            os.kill(os.getpid(), signal.Signals[name])
        result = put_in_place(self, target)
        if due and left[0] == 0 and moment == "after":
            os.kill(os.getpid(), signal.Signals[name])
        return result

    Path.replace = replace  # type: ignore[method-assign]


def run(name: str, moment: str, file: str, count: int, words: list[str]) -> NoReturn:
    try:
        arm(name, moment, file, count)
        cli.main(words)
    except SystemExit as stop:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(stop.code or 0))


def main() -> None:
    for line in sys.stdin:
        *job, log = json.loads(line)
        child = os.fork()
        if child == 0:
            said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(said, 1)
            os.dup2(said, 2)
            run(*job)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
