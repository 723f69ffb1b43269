"""The learning curve of a training job: the metrics to draw."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cleanroom_algo.contract.metrics import EPOCH_METRICS, MARK, STEP_METRICS, metric_values

PLACES: Final = ("epoch", "round", "step")
"""What metric lines count, the coarsest unit first."""
USAGE_METRICS: Final = ("CPUUtilization", "MemoryUtilization")
"""What the room measures of each host, in percent."""


@dataclass(frozen=True)
class Curve:
    """The values of a metric.

    Attributes:
        name: of the metric.
        unit: what the x-axis counts: epoch, round or step, or value if the lines count nothing.
        points: number and value of each finite value, in the order of the log.
    """

    name: str
    unit: str
    points: list[tuple[float, float]]


def metric_curves(lines: Iterable[Mapping[str, Any]], found: Iterable[Any]) -> list[Curve]:
    """Return the curves of all metrics that have more than one value, in the order in which they first appear.

    Args:
        lines: of the log.
        found: points of registered metrics, which are used if the log has no lines of a Trainer.
    """
    values: dict[str, list[dict[str, float]]] = {}
    hosts: dict[str, str] = {}
    for host, line in [*_logged(lines)] or [(each.host, {each.name: each.value}) for each in found]:
        for name in line:
            if name not in (*PLACES, *USAGE_METRICS) and hosts.setdefault(name, host) == host:
                values.setdefault(name, []).append(line)
    return [curve for name, each in values.items() if len((curve := _curve(name, each)).points) > 1]


def learning_curves(lines: Iterable[Mapping[str, Any]], found: Iterable[Any]) -> list[Curve]:
    """Return the curves to draw together: the loss of training and of validation, or else other metrics.

    Args:
        lines: of the log.
        found: see `metric_curves`.
    """
    curves = [each for each in metric_curves(lines, found) if each.name not in STEP_METRICS[1:]]
    groups = curve_groups(curves)
    return groups[0] if groups else []


def curve_groups(curves: Sequence[Curve]) -> list[list[Curve]]:
    """Return curves in groups with one metric and one unit, the loss by epoch first."""
    preferred = sorted(curves, key=lambda curve: (curve.name not in EPOCH_METRICS, "loss" not in curve.name))
    groups: dict[tuple[str, str], list[Curve]] = {}
    for curve in preferred:
        groups.setdefault((_kind(curve), curve.unit), []).append(curve)
    return list(groups.values())


def _logged(lines: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, dict[str, float]]]:
    for line in lines:
        if line["text"].startswith(f"{MARK} "):
            yield line["host"], metric_values(line["text"])


def _curve(name: str, lines: Sequence[Mapping[str, float]]) -> Curve:
    """Return the values of a metric by what its lines count, if no two lines have the same count."""
    lines = [line for line in lines if math.isfinite(line[name])]
    for place in ("step",) if name in STEP_METRICS else PLACES:
        numbers = [line.get(place) for line in lines]
        if None not in numbers and len(set(numbers)) == len(numbers):
            return Curve(name, place, [(line[place], line[name]) for line in lines])
    return Curve(name, "value", [(number + 1, line[name]) for number, line in enumerate(lines)])


def _kind(curve: Curve) -> str:
    """Return what a metric measures, without its prefix for training or validation."""
    return re.sub(r"^(epoch_)?(train_|validation_)?", "", curve.name)
