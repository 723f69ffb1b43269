"""`ui`: opens the page of the room in a browser."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import click

from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit, say
from cleanroom_algo.cli.up import port_option, serve_room


@click.command()
@port_option
@json_option
@home_option
def command(port: int, as_json: bool, home: Path | None) -> None:
    r"""Open the page of the local clean room in a browser: data, trainings, models, and what each member sees.

    The command serves the page until Ctrl-C. `cleanroom-algo up` serves the same page.

    \b
    Examples:
      cleanroom-algo ui
      cleanroom-algo ui --home my-room --port 0
    """
    from cleanroom_algo.local.resources.room_files import state_folder

    folder = state_folder(home)

    def ready(url: str) -> None:
        emit(json.dumps({"endpoint": url, "home": str(folder)}) if as_json else url)
        say("press Ctrl-C to stop" if webbrowser.open(url) else "open the address in a browser; press Ctrl-C to stop")

    serve_room(folder, port, ready)
