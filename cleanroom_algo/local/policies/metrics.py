"""The metrics of a job: what metricDefinitions find in its log, what its hosts took, and what of it members get."""

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
"""The standard deviation of the noise, as a share of a metric's range; these figures are this project's own."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric.

    Attributes:
        time: when its line was written, or it was taken, ISO 8601, UTC.
        host: whose it is.
        name: of the metric, as its definition has it; or CPUUtilization, MemoryUtilization.
        value: what the definition's first group held; or percent.
    """

    time: str
    host: str
    name: str
    value: float


@dataclass(frozen=True)
class MemberMetrics:
    """What a member gets.

    Attributes:
        points: what the definitions find in the order written, then those of CPU and memory.
        notes: why some are missing; one sentence each.
    """

    points: tuple[Point, ...]
    notes: tuple[str, ...]


def points(lines: Iterable[Line], definitions: Sequence[Mapping[str, str]]) -> tuple[list[Point], list[str]]:
    """Return all values that the definitions find, and notes on definitions that are of no use.

    Definitions are matched line by line, and the number is the first group of their regex (SageMaker API,
    MetricDefinition; botocore model of Clean Rooms ML). A group that holds no number yields nothing.
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
            notes.append(f"{definition['name']}: its regex has no group to take the number from")
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
    """Return what a member gets of a job's metrics.

    With a noise level they are published when the job has ended, otherwise as it runs (Clean Rooms user guide,
    "Receiving model logs and metrics").

    Args:
        found: all values.
        recipients: of the job.
        account: of an active member.
        noise: how a noise level is carried out; how the service does it is not documented.
        seed: of the noise; the same seed gives every member the same values.
        usage: values of CPU and memory. The noise level is taken not to hold for them, which is not documented: so
            nobody gets more in AWS than here.
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
    # One value has no range; its own size then says what is much.
    spread = {name: (max(each) - min(each)) or abs(each[0]) for name, each in values.items()}
    import numpy as np

    generator = np.random.default_rng(list(seed.encode()))
    return [replace(point, value=point.value + generator.normal(0, share * spread[point.name])) for point in found]


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
