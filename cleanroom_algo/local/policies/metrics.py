"""The metrics of a job: the matches of metricDefinitions in its log, the load of its hosts, and what members get."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from cleanroom_algo.local.policies.logs import Line
from cleanroom_algo.local.policies.patterns import compile_pattern
from cleanroom_algo.local.policies.recipients import Recipients

Noise = Literal["none", "gaussian"]

_SHARE_OF_RANGE: Final = {"LOW": 0.01, "MEDIUM": 0.05, "HIGH": 0.1}
"""The standard deviation of the noise, as a fraction of a metric's range; AWS does not document these figures."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric.

    Attributes:
        time: of the line or the measurement, ISO 8601, UTC.
        host: the host.
        name: of the metric, from its definition; or CPUUtilization, MemoryUtilization.
        value: the first group of the definition's match; or percent.
    """

    time: str
    host: str
    name: str
    value: float


@dataclass(frozen=True)
class MemberMetrics:
    """The metrics that a member gets.

    Attributes:
        points: the matches of the definitions in the order in which they were written, then those of CPU and memory.
        notes: why some are missing; one sentence each.
    """

    points: tuple[Point, ...]
    notes: tuple[str, ...]


def points(lines: Iterable[Line], definitions: Sequence[Mapping[str, str]]) -> tuple[list[Point], list[str]]:
    """Return all matches of the definitions, and notes on definitions that match nothing useful.

    Definitions are matched line by line, and the number is the first group of their regex (SageMaker API,
    MetricDefinition; botocore model of Clean Rooms ML). A group that is not a number is skipped.
    """
    usable: list[tuple[str, re.Pattern[str]]] = []
    notes: list[str] = []
    for definition in definitions:
        try:
            pattern = compile_pattern(definition["regex"])
        except re.error as error:
            notes.append(f"{definition['name']}: its regex cannot be used ({error})")
            continue
        if not pattern.groups:
            notes.append(f"{definition['name']}: its regex has no group for the number")
            continue
        usable.append((definition["name"], pattern))
    found = [
        Point(line["time"], line["host"], name, value)
        for line in lines
        for name, pattern in usable
        for match in pattern.finditer(line["text"])
        if (value := _number(match[1])) is not None
    ]
    silent = {name for name, _ in usable} - {point.name for point in found}
    notes += [f"{name}: its regex matches no line of the log" for name in sorted(silent)]
    return found, notes


def member_metrics(
    found: Sequence[Point],
    recipients: Recipients,
    account: str,
    *,
    noise: Noise,
    seed: str,
    usage: Sequence[Point] = (),
) -> MemberMetrics:
    """Return the metrics of a job that a member gets.

    With a noise level, they are published when the job has ended; otherwise while it runs (Clean Rooms user guide,
    "Receiving model logs and metrics").

    Args:
        found: all values.
        recipients: of the job.
        account: of an active member.
        noise: how a noise level is implemented; AWS does not document it.
        seed: of the noise; the same seed gives every member the same values.
        usage: values of CPU and memory. AWS does not document whether the noise level applies to them. Here it does
            not, so that members see at least as much as on AWS.
    """
    if not recipients.members[account]:
        why = f"account {account} has no ML configuration, so nothing is published to it; call PutMLConfiguration first"
        return MemberMetrics((), (why,))
    level = recipients.noise or "NONE"
    if level == "NONE":
        return MemberMetrics((*found, *usage), ())
    if not recipients.ended:
        note = f"with noise level {level} metrics are published when the job has ended"
        return MemberMetrics(tuple(usage), (note,))
    if noise == "none":
        note = f"noise level {level}: values are shown unchanged; AWS does not document the noise that it adds"
        return MemberMetrics((*found, *usage), (note,))
    note = f"noise level {level}: Gaussian noise was added, with a size chosen by this project"
    return MemberMetrics((*_with_noise(found, _SHARE_OF_RANGE[level], seed), *usage), (note,))


def _with_noise(found: Sequence[Point], share: float, seed: str) -> list[Point]:
    values: dict[str, list[float]] = {}
    for point in found:
        values.setdefault(point.name, []).append(point.value)
    # A single value has no range; its magnitude is used instead.
    spread = {name: (max(each) - min(each)) or abs(each[0]) for name, each in values.items()}
    import numpy as np

    generator = np.random.default_rng(list(seed.encode()))
    return [replace(point, value=point.value + generator.normal(0, share * spread[point.name])) for point in found]


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
