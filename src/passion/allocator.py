"""How the C library gives out memory: a step frees and asks for the same large tensors again and again."""

import ctypes
import platform

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
NEVER = -1


def keep_freed_memory() -> None:
    """Let freed tensors be used again, where glibc would hand blocks over 32 MiB back to the system each time.

    Every page of such a block is faulted in and zeroed anew at its next use, which takes about a third of a
    training step on a CPU; kept, the process's peak grows by about a tenth. Does nothing without glibc.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)


def give_back_freed_memory() -> None:
    """Hand what has been freed so far back to the system: what will not be asked for again. Needs glibc as well."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
