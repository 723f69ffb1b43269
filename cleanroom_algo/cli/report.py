"""`report`: writes a trained model or an inference job as one file."""

from __future__ import annotations

from pathlib import Path

import click

from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit, emit_json, writing
from cleanroom_algo.cli.rooms import open_room
from cleanroom_algo.local.resources import records


@click.command()
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The file to write; - writes to stdout.",
)
@click.option("--with-rows", is_flag=True, help="Include first rows, predictions, and messages that may quote them.")
@json_option
@home_option
def command(name: str, output: Path, with_rows: bool, as_json: bool, home: Path | None) -> None:
    r"""Write a report on NAME, a trained model or an inference job, as one HTML file for a pull request.

    The file needs no other file and runs no script. Without --with-rows, it contains no rows of channels and no
    predictions.

    \b
    Examples:
      cleanroom-algo report my-algorithm
      cleanroom-algo report my-predictions -o predictions.html --with-rows
    """
    from cleanroom_algo.local.ui.report import report_of

    with open_room(home) as room:
        record = records.find(room.store, name, (records.MODEL, records.INFERENCE))
        content = report_of(room.workspace, record, with_rows=with_rows)
    if str(output) == "-":
        click.echo(content, nl=False)
        return
    with writing(output):
        output.write_text(content, encoding="utf-8")
    if as_json:
        emit_json({"report": str(output)})
    else:
        emit(str(output))
