"""Freed memory is kept: seen by the page faults of a process of its own."""

import subprocess
import sys

import pytest

from passion.allocator import platform

FAULTS = """
import resource, sys, torch
from passion.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
network = torch.nn.Sequential(*(torch.nn.Conv3d(a, a, 3, padding=1) for a in [4] * 4))
image = torch.ones(1, 4, 140, 140, 140)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    network(image).relu().mean().backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(min(faults() for _ in range(3)))
"""


def faults(word: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, word], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives large blocks back at once")
def test_a_step_takes_the_memory_of_the_step_before() -> None:
    assert faults("kept") * 2 < faults("given back")
