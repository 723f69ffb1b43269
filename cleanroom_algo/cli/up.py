"""`up`: the API on 127.0.0.1, for boto3 and the aws CLI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleanroom_algo.cli.options import engine_option, home_option, json_option
from cleanroom_algo.cli.output import emit, say

if TYPE_CHECKING:
    from cleanroom_algo.local.resources.settings import QueryEngine

DEFAULT_PORT = 8780  # unassigned at IANA, and none of the usual development servers


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 chooses a free one.",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Additional host name that clients may use; can be given several times.",
)
@engine_option
@json_option
@home_option
def command(port: int, hosts: tuple[str, ...], engine: QueryEngine | None, as_json: bool, home: Path | None) -> None:
    r"""Serve the Clean Rooms ML API on 127.0.0.1, until Ctrl-C.

    The access key id names the account: twelve digits are the account itself, any other key is the default account.

    \b
    Examples:
      cleanroom-algo up
      AWS_ENDPOINT_URL_CLEANROOMSML=http://127.0.0.1:8780 aws cleanroomsml list-configured-model-algorithms
    """
    from cleanroom_algo.local.api.server import serve
    from cleanroom_algo.local.resources.room_files import state_folder
    from cleanroom_algo.local.resources.settings import RoomSettings
    from cleanroom_algo.local.room import Room

    folder = state_folder(home)

    def ready(url: str) -> None:
        if as_json:
            emit(json.dumps({"endpoint": url, "home": str(folder)}))
            return
        emit(url)
        say(
            f"the room of {folder}; for boto3 and the aws CLI:\n"
            f"  export AWS_ENDPOINT_URL_CLEANROOMSML={url} AWS_ENDPOINT_URL_CLEANROOMS={url}\n"
            "  export AWS_ACCESS_KEY_ID=111122223333 AWS_SECRET_ACCESS_KEY=any AWS_REGION=us-east-1\n"
            "Ctrl-C ends it, and its jobs"
        )

    def open_served(home: Path) -> Room:
        return Room(home, RoomSettings.read(home).with_queries(engine), serving=True)

    serve(folder, port, ready, open_served, hosts)
