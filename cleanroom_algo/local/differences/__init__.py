"""Where the local clean room differs from AWS or had to choose a behavior, with the source of each behavior.

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
    """Return the rows for an operation of the API; without an operation, all rows."""
    return DIFFERENCES if operation is None else tuple(each for each in DIFFERENCES if operation in each.operations)
