"""`metrics`: what the metricDefinitions of an algorithm find in the log of a training job."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from cleanroom_algo.cli import records
from cleanroom_algo.cli.job_logs import account_option, read_job_log
from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit_json, say, table


@click.command()
@click.argument("model")
@account_option
@json_option
@home_option
def command(model: str, account: str | None, as_json: bool, home: Path | None) -> None:
    r"""Print the metrics of the training job of MODEL (`:VERSION` behind it for one version).

    They are what the metricDefinitions of the configured model algorithm find in its log; what an algorithm should
    register is printed by `cleanroom-algo metric-definitions`.

    \b
    Examples:
      cleanroom-algo metrics flight-delay
      cleanroom-algo metrics flight-delay --as 111122223333
    """
    from cleanroom_algo.local.policies.metrics import member_metrics, points

    log = read_job_log(home, model, (records.MODEL,), account)
    found, notes = points(log.lines, log.publication.metrics)
    if not log.publication.metrics:
        notes = ["the algorithm was registered without metricDefinitions"]
    if account is not None:
        seed = f"{log.record.key}:{log.record.version}"
        seen = member_metrics(found, log.publication, account, noise=log.switches.metric_noise, seed=seed)
        found, notes = list(seen.points), [*notes, *seen.notes]
    if as_json:
        emit_json([asdict(point) for point in found])
    else:
        rows = [(point.time[:19], point.host, point.name, f"{point.value:.6g}") for point in found]
        table(("TIME", "HOST", "METRIC", "VALUE"), rows)
    for note in notes:
        say(f"note: {note}")
