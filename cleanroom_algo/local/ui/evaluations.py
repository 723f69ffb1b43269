"""Charts and tables of predictions and how good they are, for the page and for reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from markupsafe import Markup

from cleanroom_algo.local.profiling.profile import Bin
from cleanroom_algo.local.summaries.evaluation import OTHERS, Confusion, Errors, Scores
from cleanroom_algo.local.summaries.job_results import JobResults, Predicted
from cleanroom_algo.local.ui.charts import Bar, Series, bar_chart, line_chart, scatter_chart
from cleanroom_algo.local.ui.texts import short, value_range

_SHADES: Final = 4
_HALF: Final = 0.5


class Chart(NamedTuple):
    """A chart with its title, and a sentence about how to read it."""

    title: str
    drawing: Markup
    note: str = ""


def distributions(found: Sequence[Predicted], *, with_rows: bool = True) -> Iterator[Chart]:
    """Yield a histogram of each column of predictions.

    Args:
        found: the columns.
        with_rows: whether values other than numbers are named; their names occur in rows.
    """
    for each in found:
        if each.bins and sum(part.rows for part in each.bins) == 1:
            continue  # a single row has no distribution
        bars = [Bar(short(part.low), part.rows, _range_title(part)) for part in each.bins]
        names = [f"value {number}" for number in range(1, len(each.top) + 1)]
        shown = [(value if with_rows else names[number], share) for number, (value, share) in enumerate(each.top)]
        bars = bars or [Bar(value, 100 * share, f"{value}: {share:.1%}") for value, share in shown]
        if bars:
            title = f"Distribution of {each.name}"
            unit = "rows" if each.bins else "% of rows"
            yield Chart(title, bar_chart(bars, label=title, x=each.name, y=unit, touching=bool(each.bins)))


def _range_title(part: Bin) -> str:
    return f"{value_range(part.low, part.high)}: {part.rows:,}"


def evaluation_charts(results: JobResults, *, with_rows: bool = True) -> Iterator[Chart]:
    """Yield charts that show how good predictions are.

    Args:
        results: of the job.
        with_rows: whether a point may be a row.
    """
    found = results.evaluation
    if isinstance(found, Scores):
        yield from _score_charts(found)
    elif isinstance(found, Errors) and with_rows:
        shown = len(found.pairs)
        note = f"{shown:,} of {results.read:,} rows." if shown < results.read else ""
        drawing = scatter_chart(found.pairs, label="Predicted against true", x=f"true {results.target}", y="predicted")
        yield Chart("Predicted against true", drawing, note)


def _score_charts(found: Scores) -> Iterator[Chart]:
    if found.area is not None:
        lines = [
            Series(f"predictions, area {found.area:.3f}", found.curve, 1),
            Series("chance, area 0.5", [(0, 0), (1, 1)], 6),
        ]
        drawing = line_chart(lines, label="ROC curve", x="share of wrong alarms", y="share that is found")
        yield Chart("ROC curve", drawing)
    points = [(mean, share) for mean, share, _ in found.groups]
    ends = (min(map(min, points)), max(map(max, points)))
    lines = [Series("a tenth of the rows each", points, 1), Series("calibrated", [(end, end) for end in ends], 6)]
    drawing = line_chart(lines, label="Calibration", x="mean prediction", y=f"share of {found.labels[1]}")
    yield Chart("Calibration", drawing, "Above the dashed line, predictions are too low; below it, too high.")


def facts(results: JobResults) -> dict[str, str]:
    """Return numbers that show how good predictions are."""
    found = results.evaluation
    if isinstance(found, Scores):
        area = {} if found.area is None else {"Area under the ROC curve": f"{found.area:.3f}"}
        return {
            **area,
            "Accuracy at 0.5": f"{found.confusion(_HALF).accuracy:.1%}",
            "Brier score": f"{found.brier:.4f}",
        }
    if isinstance(found, Confusion):
        return {"Accuracy": f"{found.accuracy:.1%}", "Classes": str(len(found.labels))}
    if isinstance(found, Errors):
        explained = {} if found.explained is None else {"R squared": f"{found.explained:.3f}"}
        return {
            "Mean absolute error": short(found.mean_absolute),
            "Root mean squared error": short(found.root_mean_square),
            **explained,
        }
    return {}


def confusion_table(results: JobResults, threshold: float, *, with_rows: bool = True) -> dict[str, Any] | None:
    """Return the confusion matrix; None if there are no classes.

    Args:
        results: of the job.
        threshold: the smallest probability that means the class.
        with_rows: whether classes have their names in rows; else they are numbered, unless there are two.
    """
    found = results.evaluation
    if isinstance(found, Scores):
        matrix, labels = found.confusion(threshold), list(found.labels)
    elif isinstance(found, Confusion):
        matrix, labels = found, list(found.labels)
        plain = {"true", "false", "0", "1", OTHERS}
        if not with_rows and not set(labels) <= plain:
            labels = [each if each == OTHERS else f"class {number}" for number, each in enumerate(labels, 1)]
    else:
        return None
    rows = []
    for label, counts in zip(labels, matrix.counts, strict=True):
        total = max(sum(counts), 1)
        rows.append((label, [(count, count / total, _shade(count / total)) for count in counts]))
    return {"labels": labels, "rows": rows, "accuracy": matrix.accuracy, "has_threshold": isinstance(found, Scores)}


def _shade(share: float) -> int:
    return min(int(share * (_SHADES + 1)), _SHADES)
