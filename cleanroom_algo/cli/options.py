"""Options that several commands share, and functions that read their values."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanroom_algo.cli.project import project_of
from cleanroom_algo.errors import InputFileError, UsageError

if TYPE_CHECKING:
    from cleanroom_algo.local.objects.listing import Source
    from cleanroom_algo.local.resources.store import Record
    from cleanroom_algo.local.room import Room

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document to stdout, errors included."
)
home_option = click.option(
    "--home",
    type=click.Path(path_type=Path),
    envvar="CLEANROOM_ALGO_HOME",
    show_envvar=True,
    default=lambda: project_of(Path.cwd()).home,
    help="State folder of the local clean room. Defaults to that of the project file, or to one in your data folder.",
)

engine_option = click.option(
    "--engine",
    type=click.Choice(["duckdb", "spark"]),
    help="Engine for the queries of ML input channels. Defaults to that of settings.toml, or to duckdb.",
)
request_option = click.option(
    "--request", type=click.Path(path_type=Path), help="A file with the literal request, as JSON."
)
instance_type_option = click.option(
    "--instance-type", default="ml.m5.2xlarge", show_default=True, help="Instance type of the hosts."
)
environment_option = click.option(
    "--environment", multiple=True, metavar="NAME=VALUE", help="An environment variable of the containers."
)
target_option = click.option(
    "--target", help="The column that the model predicts. Defaults to the target of its schema."
)


def pairs(words: Iterable[str], option: str) -> dict[str, str]:
    """Return NAME=VALUE words as a mapping.

    Raises:
        UsageError: a word has no `=`, or a name occurs twice.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name or name in found:
            reason = "is given twice" if name in found else "is not NAME=VALUE"
            shown = name if option == "--hyperparameter" else word
            raise UsageError(
                f"{option} {shown} {reason}",
                expected=f"{option} NAME=VALUE, once for each name",
                fix=f"write for example {option} {name or 'train'}=...",
            )
        found[name] = value
    return found


@dataclass(frozen=True, slots=True)
class RoomChannel:
    """A channel of the room, given on the command line as `room:NAME`."""

    words: str


def in_room(room: Room, channels: Mapping[str, Source | RoomChannel]) -> dict[str, Source | Record]:
    """Return channels; those of the room are replaced by their records.

    Raises:
        NoSuchRecordError: CR-CLI-007, the room has no channel with this name, or several.
    """
    from cleanroom_algo.local.setup.calls import room_channel

    return {
        name: room_channel(room.store, each.words) if isinstance(each, RoomChannel) else each
        for name, each in channels.items()
    }


def named_channel(word: str, name: str) -> str:
    """Return NAME=PATH for a word that may be only a path."""
    is_pair = "=" in word and not word.startswith("s3://") and not Path(word).exists()
    return word if is_pair else f"{name}={word}"


def channel_sources(channels: Mapping[str, str]) -> dict[str, Source | RoomChannel]:
    """Return the folders, single files or prefixes in S3 of channels, with absolute paths; or channels of the room.

    A word that begins with `room:` is a channel of the room. A folder with such a name is written `./room:NAME`.

    Raises:
        InputFileError: there is nothing at a path.
        ObjectStoreError: CR-ROM-004, an s3:// URI has no bucket.
    """
    from cleanroom_algo.local.objects.listing import source_of
    from cleanroom_algo.local.setup.calls import ROOM_CHANNEL

    sources: dict[str, Source | RoomChannel] = {
        name: RoomChannel(text) if text.startswith(ROOM_CHANNEL) else source_of(text) for name, text in channels.items()
    }
    for name, path in sources.items():
        if not isinstance(path, Path):
            continue
        if not path.exists():
            raise InputFileError(
                f"--channel {name}: there is nothing at {path}",
                expected="a folder whose files are the objects of the channel, one file, or an s3:// URI",
                fix="correct the path",
            )
        if not os.access(path, os.R_OK):
            raise InputFileError(
                f"--channel {name}: {path} cannot be read",
                expected="a folder or file that you can read",
                fix=shlex.join(["chmod", "u+r", str(path)]),
            )
    return sources


def request_file(path: Path) -> dict[str, Any]:
    """Return the parameters in a request file.

    Raises:
        InputFileError: it cannot be read or contains no JSON object.
    """
    expected = "a file with one JSON object: the parameters of the operation"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputFileError(
            f"{path} cannot be read: {error.strerror}", expected=expected, fix="correct the path"
        ) from error
    except ValueError as error:
        place = f" in line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputFileError(f"{path} is not JSON{place}", expected=expected, fix="correct the file") from error
    if not isinstance(document, dict):
        raise InputFileError(
            f"{path} does not contain a JSON object", expected=expected, fix="put the parameters in { }"
        )
    return document
