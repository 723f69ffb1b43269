"""`declare`: creates a room from a cleanroom.toml and runs its queries."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleanroom_algo.cli.options import engine_option, home_option, json_option
from cleanroom_algo.cli.output import command_line, emit_json, next_commands, say, table
from cleanroom_algo.cli.rooms import follow, open_room
from cleanroom_algo.cli.run import report
from cleanroom_algo.local.resources import records

if TYPE_CHECKING:
    from cleanroom_algo.local.resources.settings import QueryEngine


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("cleanroom.toml"))
@engine_option
@json_option
@home_option
@click.pass_context
def command(context: click.Context, file: Path, engine: QueryEngine | None, as_json: bool, home: Path | None) -> None:
    r"""Create the clean room in FILE (cleanroom.toml): members, tables, algorithms, and channels with SQL queries.

    You can declare the same file again. The command applies the changes, keeps what cannot be changed, and prints the
    reason. A query runs again if it, its tables, or the files of the tables have changed.

    \b
    Examples:
      cleanroom-algo declare examples/flight_delay/cleanroom.toml
    """
    from cleanroom_algo.local.resources.room_files import state_folder
    from cleanroom_algo.local.resources.settings import RoomSettings
    from cleanroom_algo.local.results import JobFailed, check_ended_well, document
    from cleanroom_algo.local.setup.declaration import read_declaration
    from cleanroom_algo.local.setup.declaring import declare

    queries = read_declaration(file).queries
    settings = RoomSettings.read(state_folder(home)).with_queries(engine or queries.engine, queries.spark)
    with open_room(home, settings) as room:
        channels = []
        declared = declare(room.caller, file)
        for change in () if as_json else declared.changes:
            say(f"{change.done:<7}  {change.entry}: {change.why}")
        for arn in declared.channels.values():
            record = follow(room, records.find(room.store, arn, (records.CHANNEL,)), verbose=False, as_json=as_json)
            try:
                check_ended_well(record, room.workspace)
            except JobFailed as failed:
                report(failed.error, as_json, {"mlInputChannel": records.document(record)})
                context.exit(failed.exit_code)
            channels.append(document(record, room.workspace))
    if as_json:
        emit_json({"mlInputChannels": channels, "changes": [asdict(change) for change in declared.changes]})
        return
    rows = [
        (each["name"], each["status"], each["numberOfRecords"], f"{each['numberOfFiles']:.0f}") for each in channels
    ]
    table(("CHANNEL", "STATUS", "ROWS", "FILES"), rows)
    for each in channels:
        for warning in each["warnings"] or ():
            say(f"warning: {each['name']}: {warning}")
    next_commands(command_line("train", "--request", "REQUEST.json"), command_line("show"))
