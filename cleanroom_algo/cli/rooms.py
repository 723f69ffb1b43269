"""Opens the local clean room, and follows a job to its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cleanroom_algo.cli.display import JobDisplay
from cleanroom_algo.cli.output import command_line
from cleanroom_algo.local.resources.records import MODEL, reason

if TYPE_CHECKING:
    import re

    from cleanroom_algo.local.resources.settings import RoomSettings
    from cleanroom_algo.local.resources.store import Record
    from cleanroom_algo.local.resources.workspace import Workspace
    from cleanroom_algo.local.room import Room


@contextmanager
def open_room(home: Path | None, settings: RoomSettings | None = None) -> Iterator[Room]:
    """Open the room of a state folder, with its settings or the given ones; at the end, stop what still runs."""
    from cleanroom_algo.channels.memory import keep_freed_memory
    from cleanroom_algo.local.resources.room_files import state_folder
    from cleanroom_algo.local.room import Room

    keep_freed_memory()  # inference jobs allocate memory for their requests
    with Room(state_folder(home), settings) as room:
        yield room


def follow(
    room: Room, started: Record, *, verbose: bool, as_json: bool = False, hidden: re.Pattern[str] | None = None
) -> Record:
    """Show a job until it has ended, and return its record; the arguments are those of `JobDisplay`."""
    hosts = started.document.get("resourceConfig", {}).get("instanceCount", 1)
    with JobDisplay(started.name, verbose=verbose, as_json=as_json, hosts=hosts, hidden=hidden) as display:
        record = room.wait(started.key, started.version, listener=display)
        display.ended(record.status, reason(record))
    return record


def resuming_command(workspace: Workspace, record: Record) -> str | None:
    """Return the command that continues a training job that did not succeed; None if it left no checkpoint."""
    from cleanroom_algo.local.planning.resuming import checkpoints_of

    if record.kind != MODEL or checkpoints_of(workspace, record) is None:
        return None
    return command_line("train", "--resume", f"{record.name}:{record.version[:8]}" if record.version else record.name)


@contextmanager
def undone(room: Room) -> Iterator[None]:
    """Roll back all changes inside, so that the room is not changed."""
    try:
        with room.store.transaction():
            yield
            raise _Undone
    except _Undone:
        return


class _Undone(Exception):  # noqa: N818 (not an error: it takes back a transaction)
    pass
