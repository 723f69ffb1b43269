"""`deploy template`: writes CloudFormation templates, and scripts for what CloudFormation lacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleanroom_algo.cli.deployment.files import overwrite_option, write_files
from cleanroom_algo.cli.deployment.rehearsals import rehearsal_of, source_argument
from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit, emit_json, next_commands, say
from cleanroom_algo.cli.rooms import open_room

if TYPE_CHECKING:
    from cleanroom_algo.local.deploy.documents import Format


@click.command()
@source_argument
@click.option("--member", metavar="NAME", help="Write only the files of this member. Defaults to all members.")
@click.option(
    "--clean-room",
    is_flag=True,
    help="Also the collaboration, memberships, tables with their rules, and analysis templates.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("deploy"),
    show_default=True,
    help="Folder for the files.",
)
@click.option(
    "--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="Of the templates."
)
@overwrite_option
@json_option
@home_option
def command(
    source: str,
    member: str | None,
    clean_room: bool,
    output: Path,
    form: Format,
    overwrite: bool,
    as_json: bool,
    home: Path | None,
) -> None:
    r"""Write CloudFormation templates for SOURCE: a cleanroom.toml, an algorithm, or a folder with one of them.

    Each member deploys its own template: the algorithm, its association, repositories and roles. CloudFormation has no
    ML configuration, ML input channels or jobs. They come as a script of boto3 calls. The jobs are those that
    succeeded last in the local clean room. Nothing here calls AWS.

    \b
    Examples:
      cleanroom-algo deploy template my_algorithm.py
      cleanroom-algo deploy template cleanroom.toml --clean-room --member airline
    """
    from cleanroom_algo.local.deploy.documents import member_files

    with open_room(home) as room:
        rehearsal = rehearsal_of(room.store, source)
        members = [rehearsal.member(member)] if member is not None else list(rehearsal.declaration.members)
        made = [member_files(room.store, rehearsal, each, clean_room=clean_room, form=form) for each in members]
    write_files(output, {name: text for each in made for name, text in each.files.items()}, overwrite=overwrite)
    if as_json:
        emit_json(
            [
                {
                    "member": each.member,
                    "stack": each.stack_name,
                    "files": [output / name for name in each.files],
                    "warnings": each.warnings,
                }
                for each in made
            ]
        )
        return
    for each in made:
        for name in each.files:
            emit(str(output / name))
        if not each.files:
            say(f"{each.member}: nothing to deploy")
        for warning in each.warnings:
            say(f"warning: {warning}")
    next_commands(*(each.deployment(output) for each in made if each.files))
