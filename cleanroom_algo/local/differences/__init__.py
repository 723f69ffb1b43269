"""Where the local clean room differs from AWS, or had to choose, and how each behavior is known.

One row per behavior. The command, the reference page and the tests read these same rows.
"""

from __future__ import annotations

from cleanroom_algo.local.differences.api import API
from cleanroom_algo.local.differences.channels import CHANNELS, VERSIONS
from cleanroom_algo.local.differences.container import CONTAINER
from cleanroom_algo.local.differences.difference import Difference
from cleanroom_algo.local.differences.jobs import JOBS, POLICIES

DIFFERENCES: tuple[Difference, ...] = (*API, *CONTAINER, *CHANNELS, *VERSIONS, *POLICIES, *JOBS)


def differences_for(operation: str | None = None) -> tuple[Difference, ...]:
    """Return the rows that touch an operation of the API; all of them without one."""
    return DIFFERENCES if operation is None else tuple(each for each in DIFFERENCES if operation in each.operations)
