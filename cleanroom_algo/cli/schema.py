"""`schema`: shows the content of files, and the declaration that reads them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanroom_algo.cli.options import json_option
from cleanroom_algo.cli.output import emit, emit_json, say
from cleanroom_algo.cli.visible import visible
from cleanroom_algo.errors import InputFileError

if TYPE_CHECKING:
    from cleanroom_algo.channels.objects import Object
    from cleanroom_algo.local.profiling.profile import ColumnProfile, Profile

_NAME_WIDTH = 24
_LEAST_WIDTH = 20  # of the values
_TOP = 3  # most frequent values that are shown


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--target", metavar="COLUMN", help="The column to predict. The default is a guess.")
@click.option("--all", "whole", is_flag=True, help="Read all rows. The default is about 16 MB.")
@json_option
def command(data: Path, target: str | None, whole: bool, as_json: bool) -> None:
    r"""Read DATA, a folder or one file, and print a Schema that you can paste into an algorithm.

    The printed schema has been tested on the rows. The command describes each column on stderr, and lists decisions
    that you should make.

    \b
    Examples:
      cleanroom-algo schema data/
      cleanroom-algo schema data/ --target late > my_schema.py
    """
    from cleanroom_algo.local.profiling.declaration import code_of
    from cleanroom_algo.local.profiling.profile import profile_of

    objects = _objects(data)
    found = profile_of(objects, target, whole=whole)
    notes = [*found.notes, *_about_target(found, target), *_about_names(found)]
    if as_json:
        emit_json({**_document(found), "notes": notes, "code": code_of(found.schema)})
        return
    files = "1 file" if found.objects == 1 else f"{found.objects} files"
    sampled = "" if found.read == 1 else f", about {found.read:.0%} of the data: --all reads all rows"
    say(f"{data}: {files} of {found.form.format}, {found.rows:,} rows{sampled}\n")
    _table([_row(column) for column in found.columns])
    of_columns = [f"{column.name} {note}" for column in found.columns for note in column.notes]
    for note in [*of_columns, *notes]:
        say(f"note: {note}")
    say("")
    emit(code_of(found.schema))


def _objects(data: Path) -> list[Object]:
    from cleanroom_algo.channels.objects import Object
    from cleanroom_algo.local.objects.listing import objects_of

    if not data.exists():
        raise InputFileError(
            f"there is nothing at {data}",
            expected="a folder of CSV, Parquet or JSON Lines files, or one file",
            fix="correct the path",
        )
    found = objects_of(data.absolute())
    objects = [Object(each.key, each.place, each.size) for each in found if isinstance(each.place, Path) and each.size]
    if not objects:
        raise InputFileError(
            f"{data} has no files with content",
            expected="CSV, Parquet or JSON Lines files",
            fix="use the folder that contains them",
        )
    return objects


def _row(column: ColumnProfile) -> tuple[str, ...]:
    from cleanroom_algo.local.profiling.declaration import dtype_text

    values = ", ".join(f"{value} ({share:.0%})" for value, share in column.top[:_TOP])
    if column.low is not None:
        values = f"{_short(column.low)} to {_short(column.high)}"
    dtype = "-" if column.declared is None else dtype_text(column.declared)
    return column.name, dtype, f"{column.nulls:,}", "-" if column.distinct is None else f"{column.distinct:,}", values


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(rows: list[tuple[str, ...]]) -> None:
    cells = [tuple(visible(cell).replace("\n", " ") for cell in row) for row in rows]
    cells = [
        ("COLUMN", "TYPE", "NULLS", "DISTINCT", "VALUES"),
        *((_cut(row[0], _NAME_WIDTH), *row[1:]) for row in cells),
    ]
    widths = [max(len(row[at]) for row in cells) for at in range(4)]
    room = max(shutil.get_terminal_size().columns - sum(widths) - 8, _LEAST_WIDTH)
    for row in cells:
        texts = [row[at].rjust(widths[at]) if at in {2, 3} else row[at].ljust(widths[at]) for at in range(4)]
        say("  ".join([*texts, _cut(row[4], room)]).rstrip())


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _document(found: Profile) -> dict[str, Any]:
    return {
        "format": found.form.format,
        "objects": found.objects,
        "rows": found.rows,
        "read": found.read,
        "schema": found.schema.to_dict(),
        "columns": [
            {
                "name": column.name,
                "dtype": None if column.declared is None else column.declared.dtype,
                "nulls": column.nulls,
                "distinct": column.distinct,
                "min": column.low,
                "max": column.high,
                "top": [{"value": value, "share": share} for value, share in column.top],
                "notes": column.notes,
            }
            for column in found.columns
        ],
    }


def _about_names(found: Profile) -> list[str]:
    from cleanroom_algo.local.setup.declaration import COLUMN_NAME

    others = [repr(column.name) for column in found.columns if not COLUMN_NAME.fullmatch(column.name)]
    if not others:
        return []
    allowed = "names of lowercase letters, digits, _, - and spaces"
    return [f"columns of tables in Clean Rooms have {allowed}: rename {', '.join(others)}, or use AS in the query"]


def _about_target(found: Profile, named: str | None) -> list[str]:
    target = found.schema.target
    if target is None:
        return ["no column looks like the target: --target NAME chooses one"]
    return [] if named else [f"{target} looks like the target: --target NAME chooses another column"]
