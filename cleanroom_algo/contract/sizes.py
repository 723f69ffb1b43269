"""Units of the platform's limits, sizes for people, and how a disk says that something is too large for it."""

import errno
from typing import Final

GB = 10**9
"""Bytes in one "GB" of a policy.

The unit is not defined by the service. The smaller reading is taken: what fits here fits under the other one (2**30)
too.
"""

MB = 10**6
"""Bytes in one "MB" of a payload limit; not defined by the service either, and read the same way."""


DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the errno of an OSError is where a disk, a quota or a limit on files leaves no room."""


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
