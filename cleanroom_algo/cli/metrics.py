"""`metrics`: shows what metricDefinitions find in the log of a job, and the use of CPU and memory of its hosts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleanroom_algo.cli.job_logs import account_option, read_job_log
from cleanroom_algo.cli.learning_curve import can_draw, draw
from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit_json, say, table
from cleanroom_algo.cli.visible import visible
from cleanroom_algo.local.summaries.curves import Curve, learning_curves

if TYPE_CHECKING:
    from cleanroom_algo.local.policies.metrics import Point

_WIDEST = 100  # columns of a curve; a wider one would look flat


@click.command()
@click.argument("job")
@account_option
@json_option
@home_option
def command(job: str, account: str | None, as_json: bool, home: Path | None) -> None:
    r"""Show the metrics of JOB, a trained model (add `:VERSION` for one version) or an inference job.

    A terminal shows the learning curve, and the last, least and greatest value of each metric. A file or pipe gets a
    table of all values.

    The metrics of a training job are the matches of the metricDefinitions of its configured model algorithm in its log.
    Without metricDefinitions, they are the metrics that a Trainer prints; other members then get none. Each host also
    has CPUUtilization in percent, 100 for each core, and MemoryUtilization in percent of the memory of the instance,
    every 5 s.

    `cleanroom-algo metric-definitions` prints the metricDefinitions that an algorithm should register.

    \b
    Examples:
      cleanroom-algo metrics flight-delay
      cleanroom-algo metrics flight-delay --as 111122223333
    """
    from cleanroom_algo.local.summaries.metrics import job_metrics
    from cleanroom_algo.local.summaries.runs import short_name

    log = read_job_log(home, job, account)
    found, notes = job_metrics(log, account)
    if as_json:
        emit_json([asdict(point) for point in found])
    elif can_draw():
        click.echo(click.style(visible(short_name(log.record)), bold=True))
        _draw(learning_curves(log.lines if account is None else (), found), found)
    else:
        rows = [(point.time[:19], point.host, point.name, f"{point.value:.6g}") for point in found]
        table(("TIME", "HOST", "METRIC", "VALUE"), rows)
    for note in notes:
        say(f"note: {note}")


def _draw(curves: Sequence[Curve], found: Sequence[Point]) -> None:
    """Draw the curves, and below them a table with a row for each host and metric."""
    if curves:
        click.echo("\n".join([*draw(curves, min(shutil.get_terminal_size().columns, _WIDEST)), ""]))
    several = len({point.host for point in found}) > 1
    values: dict[str, list[float]] = {}
    for point in found:
        values.setdefault(f"{point.name} {point.host}" if several else point.name, []).append(point.value)
    rows = [
        (name, len(each), *(f"{value:.4g}" for value in (each[-1], min(each), max(each))))
        for name, each in values.items()
    ]
    table(("METRIC", "VALUES", "LAST", "LEAST", "MOST"), rows)
