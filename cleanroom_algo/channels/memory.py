"""The memory into which blocks of rows are read."""

from __future__ import annotations

import ctypes
from typing import Final

_M_TRIM_THRESHOLD: Final = -1  # glibc, malloc.h
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8


def keep_freed_memory() -> None:
    """Stop the C library from returning the memory of a block of rows to the system only to request it again.

    Requested pages are zeroed with one page fault each. This takes a tenth of the time of a 5 MB request, a twentieth
    of reading JSON Lines, and half of the time of cutting an object into requests (measured). At most 64 MB more than
    what is in use are kept. Without glibc, nothing changes. All threads share one arena, because glibc returns the
    memory of the arenas of other threads regardless of the threshold. This works only before a second thread has
    allocated memory.

    The setting is for a whole process: ranks, workers of the server, and the command call it first.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the largest value that glibc accepts
    mallopt(_M_ARENA_MAX, 1)  # while they compute, threads of polars and torch rarely allocate
    mallopt(_M_TRIM_THRESHOLD, 64 << 20)
