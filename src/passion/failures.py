"""What a command says where it fails by something else than what was given: the disk, memory, a mistake of ours."""

import errno
import os
import sys
import tempfile
import traceback
from pathlib import Path

TRACEBACK = "PASSION_TRACEBACK"
"""Environment variable: whoever sets it sees the traceback of a mistake of ours instead of a line."""

REMEDIES = {
    errno.ENOSPC: "make room, then give the same command again",
    errno.EDQUOT: "make room, then give the same command again",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.EEXIST: "a file stands where a folder is needed; choose another place",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another place",
    errno.EISDIR: "name a file in it",
    errno.EROFS: "choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit with `ulimit -n`, or take fewer workers",
    errno.EIO: "the disk or the network failed; give the same command again",
}

LESS_MEMORY = "take smaller --data.patch_size or --data.batch_size, fewer --workers, or a larger machine"

KILLED = ("BrokenProcessPool", "DataLoader worker", "terminated abruptly")
"""How Python and PyTorch say that a process of ours is gone, as the kernel ends one that takes too much memory."""

NO_MEMORY = ("OutOfMemoryError", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""How PyTorch says it, whose exceptions are not imported here: that would take seconds."""


def explain(error: BaseException) -> str | None:
    """The line for a failure that the machine's owner can put right; None for a mistake of ours."""
    if isinstance(error, MemoryError) or _speaks_of(error, NO_MEMORY):
        return f"there is not enough memory; {LESS_MEMORY}"
    if _speaks_of(error, KILLED):
        return f"a process that was working for this command was killed, as if memory ran out; {LESS_MEMORY}"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        remedy = REMEDIES.get(error.errno or 0, "see to it, then give the same command again")
        return f"{where}{error.strerror.lower()}; {remedy}"
    return None


def _speaks_of(error: BaseException, words: tuple[str, ...]) -> bool:
    said = f"{type(error).__name__}: {error}"
    return isinstance(error, RuntimeError | OSError) and any(word in said for word in words)


def report_failure(error: Exception) -> int:
    """Say in one line what went wrong, and return the exit code: 2, or 1 for a mistake of ours.

    A mistake of ours leaves its traceback in a file of the temporary folder.
    """
    line = explain(error)
    if line is not None:
        sys.stderr.write(f"passion: error: {line}\n")
        return 2
    if os.environ.get(TRACEBACK):
        raise error
    said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    sys.stderr.write(f"passion: error: unexpected {said}; {_kept(error)}\n")
    return 1


def _kept(error: Exception) -> str:
    try:
        descriptor, name = tempfile.mkstemp(prefix="passion-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError:
        return f"this is a mistake of passion's; set {TRACEBACK}=1 to see where"
    return f"this is a mistake of passion's, please report it with {Path(name)}"
