"""`up`: serves the API and the page on 127.0.0.1, for boto3, the aws CLI and browsers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleanroom_algo.cli.options import engine_option, home_option, json_option
from cleanroom_algo.cli.output import emit, say

if TYPE_CHECKING:
    from flask import Flask

    from cleanroom_algo.local.operations.calling import Caller
    from cleanroom_algo.local.resources.settings import QueryEngine
    from cleanroom_algo.local.room import Room

DEFAULT_PORT = 8780  # unassigned at IANA, and not the default of a common development server

port_option = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 chooses a free one.",
)


@click.command()
@port_option
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
    r"""Serve the Clean Rooms ML API and the page of the clean room on 127.0.0.1 until Ctrl-C.

    Open the address in a browser to see the clean room. If the access key ID of a client has twelve digits, it is the
    account. Otherwise, the default account is used.

    \b
    Examples:
      cleanroom-algo up
      AWS_ENDPOINT_URL_CLEANROOMSML=http://127.0.0.1:8780 aws cleanroomsml list-configured-model-algorithms
    """
    from cleanroom_algo.local.resources.room_files import state_folder

    folder = state_folder(home)

    def ready(url: str) -> None:
        if as_json:
            emit(json.dumps({"endpoint": url, "home": str(folder)}))
            return
        emit(url)
        say(
            f"the room of {folder}; open the address in a browser, or use it with boto3 and the aws CLI:\n"
            f"  export AWS_ENDPOINT_URL_CLEANROOMSML={url} AWS_ENDPOINT_URL_CLEANROOMS={url}\n"
            "  export AWS_ACCESS_KEY_ID=111122223333 AWS_SECRET_ACCESS_KEY=any AWS_REGION=us-east-1\n"
            "Press Ctrl-C to stop the server and its jobs."
        )

    serve_room(folder, port, ready, hosts, engine)


def serve_room(
    folder: Path,
    port: int,
    ready: Callable[[str], None],
    hosts: tuple[str, ...] = (),
    engine: QueryEngine | None = None,
) -> None:
    """Serve the API and the page of a state folder: see `serve`."""
    from cleanroom_algo.local.api.server import serve
    from cleanroom_algo.local.resources.settings import RoomSettings
    from cleanroom_algo.local.room import Room

    def open_served(home: Path) -> Room:
        return Room(home, RoomSettings.read(home).with_queries(engine), serving=True)

    def make_pages(caller: Caller) -> Flask:
        from cleanroom_algo.local.ui.app import create_app

        return create_app(caller)

    serve(folder, port, ready, open_served, hosts, make_pages)
