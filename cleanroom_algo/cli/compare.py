"""`compare`: two trained models side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit_json, table
from cleanroom_algo.cli.rooms import open_room
from cleanroom_algo.local.resources import records

if TYPE_CHECKING:
    from cleanroom_algo.local.results import TrainedModel
    from cleanroom_algo.local.room import Room


@click.command()
@click.argument("first")
@click.argument("second")
@json_option
@home_option
def command(first: str, second: str, as_json: bool, home: Path | None) -> None:
    r"""Put hyperparameters, data and metrics of two trained models side by side, each a NAME or ARN, or NAME:VERSION.

    \b
    Examples:
      cleanroom-algo compare my-algorithm other-algorithm
      cleanroom-algo compare my-algorithm:base my-algorithm
    """
    from cleanroom_algo.local.results import TrainedModel

    with open_room(home) as room:
        found = [records.find(room.store, name, (records.MODEL,)) for name in (first, second)]
        sides = [dict(_facts(room, TrainedModel(record, room.workspace))) for record in found]
    names = list(dict.fromkeys(name for side in sides for name in side))
    rows = [(name, *(side.get(name) for side in sides)) for name in names]
    if as_json:
        emit_json({name: values for name, *values in rows})
    else:
        table(("", *(f"{each.name}:{(each.version or 'base')[:8]}" for each in found)), rows)


def _facts(room: Room, model: TrainedModel) -> Iterator[tuple[str, str]]:
    shown = model.record.document
    yield "status", model.record.status
    yield "created", records.moment(model.record.created)
    for name, value in model.metrics.items():
        yield name, f"{value:.6g}"
    for name, value in shown.get("hyperparameters", {}).items():
        yield f"hyperparameter {name}", value
    for channel in shown.get("dataChannels", ()):
        record = room.store.get(records.CHANNEL, channel["mlInputChannelArn"])
        place = record.private.get("location", record.name) if record else channel["mlInputChannelArn"]
        yield f"channel {channel['channelName']}", str(place)
    for channel in shown.get("incrementalTrainingDataChannels", ()):
        yield "base model", f"{channel.get('modelName', '')}:{channel.get('versionIdentifier', 'base')[:8]}"
