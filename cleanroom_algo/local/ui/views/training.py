"""Training: progress, curves and log of a job, with what each member gets of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from flask import Blueprint, redirect, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from cleanroom_algo.local.failures import failure_of
from cleanroom_algo.local.planning.resuming import checkpoints_of
from cleanroom_algo.local.plans.run_files import LOG_FILE, USAGE_FILE
from cleanroom_algo.local.policies.metrics import Point
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.states import ENDED, FAILED, INACTIVE, UNDER_WAY
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.setup.calls import make_call, resuming_call
from cleanroom_algo.local.summaries.curves import USAGE_METRICS, Curve, curve_groups, metric_curves
from cleanroom_algo.local.summaries.metric_lines import metric_lines
from cleanroom_algo.local.summaries.metrics import job_metrics
from cleanroom_algo.local.summaries.progress import TrainingProgress
from cleanroom_algo.local.ui.charts import Series, line_chart
from cleanroom_algo.local.ui.job_logs import shown_log
from cleanroom_algo.local.ui.page import FAST_POLL, SLOW_POLL, page_of, render, unchanged, viewer
from cleanroom_algo.local.written_log import WrittenLog

view = Blueprint("training", __name__)

_USAGE_TITLES: Final = {"CPUUtilization": "CPU, percent of a core", "MemoryUtilization": "Memory, percent"}


@view.get("/training")
def jobs() -> str:
    """List training jobs, the latest first."""
    page = page_of(records.MODEL)
    runs = any(each.status not in ENDED for each in page.records)
    return render("trainings.html", page=page, reason=failure_of, poll=FAST_POLL if runs else SLOW_POLL)


@view.get("/training/<int:place>")
def job(place: int) -> str:
    """Show one training job."""
    record = viewer().get(records.MODEL, place)
    kept = viewer().kept(records.MODEL, place)
    folder = viewer().workspace.files.run(kept)
    sizes = [each.stat().st_size if each.exists() else 0 for each in (folder / LOG_FILE, folder / USAGE_FILE)]
    unchanged(record.status, record.updated, *sizes)
    ended = record.status in ENDED
    log = shown_log(kept)
    values = {} if log.written is None else _measured(log.written, folder / LOG_FILE, ended=ended)
    may_act = viewer().owns(record)
    return render(
        "training.html",
        record=record,
        error=failure_of(record),
        resumable=may_act and record.status in (FAILED, INACTIVE) and checkpoints_of(viewer().workspace, kept),
        stoppable=may_act and record.status in UNDER_WAY,
        ended=ended,
        log=log,
        poll=0 if ended else FAST_POLL,
        **values,
    )


@view.post("/training/<int:place>/stop")
def stop(place: int) -> Response:
    """Stop a job, like its creator with CancelTrainedModel."""
    record = _own(place)
    version = {} if record.version is None else {"versionIdentifier": record.version}
    asked = {"membershipIdentifier": record.membership, "trainedModelArn": record.key, **version}
    viewer().caller.call("CancelTrainedModel", asked, record.account)
    return redirect(url_for("training.job", place=place), 303)


@view.post("/training/<int:place>/resume")
def resume(place: int) -> Response:
    """Continue a job after its last complete epoch, like `train --resume`."""
    caller = viewer().caller
    started = make_call(caller, resuming_call(caller, _own(place)))
    return redirect(url_for("training.job", place=started.seq), 303)


def _own(place: int) -> Record:
    """Return a job with all stored values, if the viewer may stop and resume it."""
    record = viewer().kept(records.MODEL, place)
    return record if viewer().owns(record) else viewer().get(records.MODEL, -1)


def _measured(log: WrittenLog, path: Path, *, ended: bool) -> dict[str, Any]:
    """Return progress and curves from a log: for a member, only from what the member gets."""
    account = viewer().account
    logged = metric_lines(path)
    known = {(line["time"], line["host"], line["text"]) for line in logged}
    rest = [line for line in log.lines if (line["time"], line["host"], line["text"]) not in known]
    found, notes = job_metrics(replace(log, lines=[*logged, *rest]), account)
    curves = metric_curves(logged if account is None else (), found)
    return {
        "metric_notes": notes,
        "groups": [*curve_charts(curve_groups(curves)), *_usage(found)],
        "progress": _progress(logged, ended=ended) if account is None else {},
    }


def curve_charts(groups: Sequence[Sequence[Curve]]) -> Iterator[tuple[str, Markup]]:
    """Yield the title and the chart of each group of curves."""
    for group in groups:
        names = " and ".join(each.name.replace("_", " ") for each in group)
        title = f"{names}, value by value" if group[0].unit == "value" else f"{names} by {group[0].unit}"
        lines = [Series(_with_last(each), each.points) for each in group]
        yield title[0].upper() + title[1:], line_chart(lines, label=title, x=group[0].unit)


def _with_last(curve: Curve) -> str:
    return f"{curve.name}  {curve.points[-1][1]:.5g}"


def _usage(found: Sequence[Point]) -> Iterator[tuple[str, Markup]]:
    """Yield charts of the use of the hosts, over the seconds since the first measurement."""
    for name in USAGE_METRICS:
        points = [each for each in found if each.name == name]
        if not points:
            continue
        begin = min(_seconds(each.time) for each in points)
        hosts: dict[str, list[tuple[float, float]]] = {}
        for each in points:
            hosts.setdefault(each.host, []).append((_seconds(each.time) - begin, each.value))
        lines = [Series(host, values) for host, values in sorted(hosts.items())]
        yield _USAGE_TITLES[name], line_chart(lines, label=f"{_USAGE_TITLES[name]} of each host", x="seconds")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _progress(logged: Sequence[Mapping[str, Any]], *, ended: bool) -> dict[str, float]:
    """Return the progress of a training, by the times of its lines."""
    now = [0.0]
    progress = TrainingProgress(lambda: now[0])
    for line in logged:
        now[0] = _seconds(line["time"])
        progress.take(line["text"])
    now[0] = now[0] if ended else time.time()
    return {name: value for name, value in progress.values().items() if math.isfinite(value)}
