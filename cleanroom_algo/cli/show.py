"""`show`: lists the content of the local clean room."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import age, command_line, emit, emit_json, fields, next_commands, say, table
from cleanroom_algo.cli.rooms import open_room
from cleanroom_algo.local.resources import records

if TYPE_CHECKING:
    from cleanroom_algo.local.resources.store import Record
    from cleanroom_algo.local.room import Room


_WIDTH = 120  # of wrapped lines, if there is no terminal


@click.command()
@click.argument("name", required=False)
@json_option
@home_option
def command(name: str | None, as_json: bool, home: Path | None) -> None:
    r"""Show everything in the local clean room, or one resource by its NAME or ARN.

    \b
    Examples:
      cleanroom-algo show
      cleanroom-algo show my-algorithm
      cleanroom-algo show my-algorithm:VERSION --json
    """
    with open_room(home) as room:
        store = room.store
        if name is not None:
            _one(room, records.find(store, name), as_json)
        elif as_json:
            emit_json(
                {
                    member: [records.document(record) for record in reversed(store.find(kind))]
                    for kind, member in records.KINDS.items()
                }
            )
        else:
            _all(room)


def _one(room: Room, record: Record, as_json: bool) -> None:
    from cleanroom_algo.local.results import document

    if as_json:
        emit_json(document(record, room.workspace))
        return
    if record.kind == records.MODEL:
        from cleanroom_algo.cli.model_screen import show_model

        show_model(room, record)
        next_commands(command_line("logs", record.name), command_line("metrics", record.name))
        return
    shown = document(record, room.workspace)
    if record.kind == records.TABLE:
        fields({name: shown[name] for name in ("name", "owner", "location")})
        emit("")
        rows = [
            (column, each["use"], ", ".join(each["by"])) for each in shown["columnAccess"] for column in each["columns"]
        ]
        table(("COLUMN", "MAY BE", "BY"), rows)
        return
    fields({name: _short(value) for name, value in shown.items() if name != "statusDetails" and value is not None})
    if why := records.reason(record):
        emit(f"\n{why}")
    if record.kind == records.INFERENCE:
        next_commands(command_line("logs", record.name))


def _all(room: Room) -> None:
    empty, store = True, room.store
    for kind, (title, columns) in _TABLES.items():
        found = store.find(kind)
        if not found:
            continue
        if not empty:
            emit("")
        empty = False
        emit(title)
        rows = _runs(found) if kind == records.MODEL else [_row(record, columns) for record in found]
        table(("NAME", *(column.upper() for column in columns)), rows)
    if tables := store.find(records.TABLE):
        emit(
            "\n".join(
                [
                    "",
                    "Tables",
                    *(line for each in sorted(tables, key=attrgetter("name")) for line in _access(room, each)),
                ]
            )
        )
    elif empty:
        say("this room is empty")
        next_commands(command_line("train", "my_algorithm.py", "--channel", "train=data/"))


def _runs(models: Sequence[Record]) -> list[list[object]]:
    """Return the rows of trained models: the runs of one name together, with what differs between them."""
    from cleanroom_algo.local.summaries.runs import differing

    groups: dict[str, list[Record]] = {}
    for model in models:
        groups.setdefault(model.name, []).append(model)
    return [_run(model, differing(group)) for group in groups.values() for model in group]


def _run(model: Record, differing: Sequence[str]) -> list[object]:
    own = model.document.get("hyperparameters", {})
    note = (records.reason(model) or " ".join(f"{name}={own[name]}" for name in differing if name in own)).splitlines()
    loss = model.private.get("loss")
    since = age(time.time() - model.created)
    return [
        model.name,
        model.short_version,
        model.status,
        since,
        None if loss is None else f"{loss:.5g}",
        note[0] if note else None,
    ]


def _row(record: Record, columns: tuple[str, ...]) -> list[object]:
    shown = records.document(record)
    values: dict[str, object] = {
        "version": record.short_version,
        "hosts": shown.get("resourceConfig", {}).get("instanceCount", 1),
        "age": age(time.time() - record.created),
        "reason": (records.reason(record) or "-").splitlines()[0],
        "records": shown.get("numberOfRecords"),
        "files": None if shown.get("numberOfFiles") is None else int(shown["numberOfFiles"]),
        "to": ", ".join(member["accountId"] for member in shown.get("outputConfiguration", {}).get("members", [])),
    }
    return [record.name, *(values.get(column, shown.get(column)) for column in columns)]


def _access(room: Room, record: Record) -> Iterator[str]:
    """Yield lines about a table: its owner, and who may use which columns for what."""
    from cleanroom_algo.local.results import document

    shown = document(record, room.workspace)
    yield f"{record.name} of {shown['owner']}"
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH
    for each in shown["columnAccess"]:
        text = f"{each['use']} by {', '.join(each['by'])}: {', '.join(each['columns'])}"
        yield textwrap.fill(text, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def _short(value: Any) -> Any:
    return value if not isinstance(value, dict | list) else ", ".join(_flat("", value)) or "-"


def _flat(name: str, value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, each in value.items() for text in _flat(f"{name}.{key}" if name else key, each)]
    if isinstance(value, list):
        return [text for index, each in enumerate(value) for text in _flat(f"{name}[{index}]", each)]
    return [f"{name}={value}"]


_TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    records.MODEL: ("Trained models", ("version", "status", "age", "loss", "note")),
    records.INFERENCE: ("Inference jobs", ("status", "hosts", "age", "reason")),
    records.EXPORT: ("Export jobs", ("status", "to", "age", "reason")),
    records.CHANNEL: ("ML input channels", ("status", "records", "files", "age")),
    records.ASSOCIATION: ("Algorithms", ("age",)),
}
