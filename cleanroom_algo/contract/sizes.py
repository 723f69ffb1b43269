"""Units of the platform's limits, sizes for people, and the errors of a disk that is full."""

import errno
from typing import Final

GB = 10**9
"""Bytes in one "GB" of a policy.

The service does not define the unit. The smaller one is used: what fits here also fits if the service means 2**30
bytes.
"""

MB = 10**6
"""Bytes in one "MB" of a payload limit; the service does not define it either, so the smaller one is used."""


DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The values of `OSError.errno` where a disk, a quota or a limit on file sizes is exhausted."""


def format_bytes(count: int) -> str:
    """Return a size in decimal units with three significant digits at most, such as `6.9 GB` or `512 bytes`."""
    if count < 1000:
        return f"{count} bytes"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        value /= 1000
        if value < 999.95 or unit == "PB":
            break
    return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"
