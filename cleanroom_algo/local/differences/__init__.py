"""Where the local clean room differs from AWS, or had to choose, and how each behaviour is known.

One row per behaviour. The command, the reference page and the tests read these same rows.
"""

from __future__ import annotations

from cleanroom_algo.local.differences.api import API
from cleanroom_algo.local.differences.channels import CHANNELS, VERSIONS
from cleanroom_algo.local.differences.container import CONTAINER
from cleanroom_algo.local.differences.jobs import JOBS, POLICIES
from cleanroom_algo.local.differences.row import Row

ROWS: tuple[Row, ...] = (*API, *CONTAINER, *CHANNELS, *VERSIONS, *POLICIES, *JOBS)


def rows_for(operation: str | None = None) -> tuple[Row, ...]:
    """Return the rows that touch an operation of the API; all of them without one."""
    return ROWS if operation is None else tuple(row for row in ROWS if operation in row.operations)
