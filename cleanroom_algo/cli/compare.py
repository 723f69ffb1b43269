"""`compare`: two trained models side by side."""

from __future__ import annotations

from pathlib import Path

import click

from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit_json, table
from cleanroom_algo.cli.rooms import open_room
from cleanroom_algo.local.resources import records


@click.command()
@click.argument("first")
@click.argument("second")
@json_option
@home_option
def command(first: str, second: str, as_json: bool, home: Path | None) -> None:
    r"""Compare hyperparameters, data and metrics of two trained models, each a NAME, an ARN or NAME:VERSION.

    \b
    Examples:
      cleanroom-algo compare my-algorithm other-algorithm
      cleanroom-algo compare my-algorithm:base my-algorithm
    """
    from cleanroom_algo.local.results import TrainedModel
    from cleanroom_algo.local.summaries.runs import comparison, short_name

    with open_room(home) as room:
        found = [records.find(room.store, name, (records.MODEL,)) for name in (first, second)]
        facts = comparison([TrainedModel(record, room.workspace) for record in found], room.store)
    if as_json:
        emit_json(facts)
    else:
        table(("", *map(short_name, found)), [(name, *values) for name, values in facts.items()])
