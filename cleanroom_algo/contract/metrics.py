"""Metric lines on standard output, and the metricDefinitions that match exactly these lines.

The platform applies regular expressions to the container's output; group 1 is the value (SageMaker developer guide,
"Monitor and Analyze Training Jobs Using Amazon CloudWatch Metrics"). A request has at most 40 definitions, a name of at
most 255 and a regex of at most 500 characters (botocore model of cleanroomsml, MetricDefinition).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping

from cleanroom_algo.errors import Problem, TrainerDeclarationError

MARK = "[metric]"
EPOCHS_LINE = "training starts: epochs %d"
"""What the log says before the first step of a training loop."""
STEP_METRICS = ("train_loss", "learning_rate", "rows_per_second")
EPOCH_METRICS = ("epoch_train_loss", "validation_loss")
PRIVATE_METRICS = ("epsilon", "delta")
"""What a private training logs in place of the loss of its rows."""
MAX_DEFINITIONS = 40
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")
_NUMBER = r"([-+]?(?:[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?|inf|nan))"

_VALUE = re.compile(rf"(\w+)={_NUMBER}(?= |$)")


def metric_line(values: Mapping[str, float]) -> str:
    """Return one line, such as `[metric] step=100 train_loss=0.25`.

    Raises:
        ValueError: a name is not a letter or `_` followed by letters, digits and `_`.
    """
    for name in values:
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a metric name: {name!r}")
    return " ".join([MARK, *(f"{name}={_number(value)}" for name, value in values.items())])


def metric_values(line: str) -> dict[str, float]:
    """Return the values in a metric line by name, without those that are not numbers."""
    return {name: float(value) for name, value in _VALUE.findall(line)}


def log_metrics(values: Mapping[str, float]) -> None:
    """Write a metric line to standard output and flush it."""
    print(metric_line(values), flush=True)


def metric_definitions(
    names: Iterable[str] = (),
    *,
    logged: Iterable[str] = (),
    own_fit: bool = False,
    private: bool = False,
) -> list[dict[str, str]]:
    """Return metricDefinitions of a create_configured_model_algorithm request.

    Args:
        names: of the metrics that the algorithm's `metrics` returns.
        logged: names that the algorithm gives to `log`.
        own_fit: whether the algorithm has its own `fit`, so that it logs only `logged`.
        private: whether training is private, and logs no loss of its rows.

    Raises:
        TrainerDeclarationError: CR-TRN-005, more than 40 definitions, or names that cannot stand in a line.
    """
    found = list(dict.fromkeys(logged if own_fit else _loop_names(names, logged, private)))
    problems = [Problem(repr(name), "is not a name of a metric") for name in found if not _NAME.fullmatch(name)]
    if len(found) > MAX_DEFINITIONS:
        problems.append(Problem("metrics", f"are {len(found)}; a request has at most {MAX_DEFINITIONS} definitions"))
    if problems:
        raise TrainerDeclarationError(
            "the metrics cannot be registered",
            expected=f"at most {MAX_DEFINITIONS} names of letters, digits and _, which do not begin with a digit",
            fix="change `metric_names` and `logged_names` of the Trainer, and what it logs",
            problems=problems,
        )
    return [{"name": name, "regex": rf"^\[metric\](?: .*)? {name}={_NUMBER}(?: |$)"} for name in found]


def _loop_names(names: Iterable[str], logged: Iterable[str], private: bool) -> Iterator[str]:
    """Yield the names that the training loop of torch algorithms writes; at the end, each one also with `final_`."""
    yield from ("learning_rate",) if private else STEP_METRICS
    validated = [EPOCH_METRICS[1], *(f"validation_{name}" for name in names)]
    lasting = [*(PRIVATE_METRICS if private else EPOCH_METRICS[:1]), *validated, *logged]
    yield from lasting
    yield from (f"final_{name}" for name in lasting)


def _number(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return format(value, ".8g")
