"""What freed blocks leave behind."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

ROUNDS = """
import resource, sys
from cleanroom_algo.channels.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [b"x" * (4 << 20) for _ in range(8)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "keep":
    keep_freed_memory()
print([faults() for _ in range(4)][-1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_the_memory_of_blocks_is_used_again() -> None:
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", ROUNDS, word], check=True, capture_output=True, text=True).stdout)
        for word in ("keep", "not")
    )
    assert kept * 10 < given_back
