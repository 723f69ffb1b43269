"""Rates of requests (Clean Rooms user guide, "Quotas for AWS Clean Rooms ML"), as token buckets."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from cleanroom_algo.errors import ThrottledError

_SLOW = {"CreateTrainedModel": (1.0, 3.0), "StartTrainedModelInferenceJob": (1.0, 3.0)}


def rate(operation: str) -> tuple[float, float]:
    """Return requests per second and burst of an operation; if no burst is documented, it is the rate."""
    if operation in _SLOW:
        return _SLOW[operation]
    if operation.startswith("Delete"):
        return 2.0, 10.0
    return (50.0, 50.0) if operation.startswith(("Get", "List")) else (10.0, 10.0)


class Throttle:
    """One bucket for each account and operation.

    Args:
        rates: requests per second and burst of operations that do not have the documented ones.
    """

    def __init__(self, rates: Mapping[str, tuple[float, float]]) -> None:
        self._rates = rates
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, account: str, operation: str) -> None:
        """Take one token.

        Raises:
            ThrottledError: CR-REQ-006, the bucket is empty.
        """
        per_second, burst = self._rates.get(operation) or rate(operation)
        now = time.monotonic()
        with self._lock:
            left, then = self._buckets.get((account, operation), (burst, now))
            left = min(burst, left + (now - then) * per_second)
            if left >= 1:
                self._buckets[account, operation] = (left - 1, now)
                return
            self._buckets[account, operation] = (left, now)
        raise ThrottledError(
            f"{operation} is called more often than {per_second:g} times per second",
            expected=f"at most {per_second:g} requests per second, {burst:g} at once",
            fix="wait and try again, as boto3 does automatically; rates are set in settings.toml, table [quotas]",
        )
