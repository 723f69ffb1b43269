"""`init`: creates a project from a template."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import click

from cleanroom_algo.cli.options import json_option
from cleanroom_algo.cli.output import emit, emit_json, next_commands, table, writing
from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.errors import InputFileError, UsageError


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--template", metavar="NAME", help="Template to start from. On a terminal, you are asked for it.")
@click.option("--list", "as_list", is_flag=True, help="List the templates.")
@json_option
def command(folder: Path | None, template: str | None, as_list: bool, as_json: bool) -> None:
    r"""Create a small project that trains and predicts. FOLDER defaults to the name of the template.

    \b
    Examples:
      cleanroom-algo init --list
      cleanroom-algo init churn --template tabular
    """
    from cleanroom_algo.local.templates import make_project, templates

    known = templates()
    if as_list:
        rows = list(known.items())
        emit_json([{"name": name, "about": about} for name, about in rows]) if as_json else table(
            ("TEMPLATE", "ABOUT"), rows
        )
        return
    if template is None and sys.stdin.isatty() and sys.stderr.isatty():
        template = _asked(known)
    if template not in known:
        raise UsageError(
            "the template is missing"
            if template is None
            else f"there is no template {template!r}{did_you_mean(template, known)}",
            expected=f"--template {'|'.join(known)}",
            fix="cleanroom-algo init --list",
        )
    target = folder or Path(template)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputFileError(f"{target} already exists", expected="a new or empty folder", fix="name another folder")
    name = re.sub(r"[^a-z0-9-]+", "-", target.absolute().name.lower()).strip("-") or template
    with writing(target):
        files = make_project(template, target, name)
    if as_json:
        emit_json({"template": template, "folder": target, "files": files})
        return
    for file in files:
        emit(str(target / file))
    readme = (target / "README.md").read_text(encoding="utf-8")
    commands = re.findall("^cleanroom-algo (?:train|infer) .*", readme, re.MULTILINE)
    next_commands(f"{shlex.join(['cd', str(target)])} && python make_data.py", *commands)


def _asked(known: dict[str, str]) -> str:
    table(("TEMPLATE", "ABOUT"), list(known.items()))
    chosen: str = click.prompt("Template", type=click.Choice(list(known)), show_choices=False, err=True)
    return chosen
