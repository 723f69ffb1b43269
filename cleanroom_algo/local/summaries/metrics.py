"""The metrics of a job: all of them, or those that one member gets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from cleanroom_algo.contract.metrics import MARK, MAX_DEFINITIONS, metric_definitions
from cleanroom_algo.local.policies.metrics import Point, member_metrics, points
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.summaries.curves import PLACES
from cleanroom_algo.local.written_log import WrittenLog

METRIC_BYTES: Final = 1 << 20
"""The end of a log in which registered metrics are searched if reading the complete log would take too long."""


def job_metrics(log: WrittenLog, account: str | None) -> tuple[list[Point], list[str]]:
    """Return the values that a member gets, or all without an account, and notes on what is missing."""
    own = () if account is not None or log.recipients.metrics else _logged(log.lines)
    found, notes = points(log.lines, log.recipients.metrics or own)
    usage = [Point(**each) for each in log.usage]
    if log.record.kind == records.MODEL and not log.recipients.metrics:
        missing = "the algorithm was registered without metricDefinitions, so there are no metrics in the clean room"
        notes = [f"{missing}; `cleanroom-algo metric-definitions ALGORITHM` prints the ones to register"]
    if not usage:
        notes = [
            *notes,
            "there are no values of CPU and memory: only jobs of over half a second on Linux have them",
        ]
    if account is None:
        found += usage
    else:
        seed = f"{log.record.key}:{log.record.version}"
        noise = log.switches.metric_noise
        seen = member_metrics(found, log.recipients, account, noise=noise, seed=seed, usage=usage)
        found, notes = list(seen.points), [*notes, *seen.notes]
    return sorted(found, key=attrgetter("time")), notes


def _logged(lines: Iterable[Mapping[str, Any]]) -> Sequence[Mapping[str, str]]:
    """Return definitions of all metrics that a Trainer wrote."""
    written = (line["text"] for line in lines if line["text"].startswith(f"{MARK} "))
    names = dict.fromkeys(name for text in written for name in re.findall(r" (\w+)=", text))
    wanted = [name for name in names if name not in PLACES][:MAX_DEFINITIONS]
    return metric_definitions(logged=wanted, own_fit=True)
