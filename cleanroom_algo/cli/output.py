"""Writes results and messages: tables and color on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import click

from cleanroom_algo.cli.visible import visible, visible_json
from cleanroom_algo.errors import OutputUnwritableError


def say(text: str) -> None:
    """Write a message to stderr, so that results on stdout can be piped."""
    click.echo(visible(text), err=True)


def emit(text: str) -> None:
    """Write a result in plain text to stdout."""
    click.echo(visible(text))


def emit_json(document: object) -> None:
    """Write the one JSON document of a `--json` call to stdout."""
    click.echo(visible_json(json.dumps(document, indent=2, default=_plain, ensure_ascii=False)))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write rows as a table to stdout: aligned columns, no frames, so that `awk` can read it as well as people.

    On a terminal, the last column is truncated if the line is longer than the terminal is wide.
    """
    cells = [[str(column) for column in columns]] + [
        ["-" if cell is None else visible(str(cell)) for cell in row] for row in rows
    ]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    longest = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for number, row in enumerate(cells):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()[:longest]
        click.echo(click.style(line, bold=True) if number == 0 else line)


def fields(values: Mapping[str, object]) -> None:
    """Write names and values to stdout, one pair per line."""
    width = max((len(name) for name in values), default=0)
    for name, value in values.items():
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {'-' if value is None else visible(str(value))}")


def age(seconds: float) -> str:
    """Return a time span in its largest unit, such as `3 min`."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def next_commands(*commands: str) -> None:
    """Suggest the next commands."""
    say("\nNext:")
    for command in commands:
        say(f"  {command}")


def command_line(*words: object) -> str:
    """Return a command of this library as a suggestion: quoted for a shell, with the `--home` of this call."""
    context = click.get_current_context(silent=True)
    home: list[object] = []
    if context is not None and context.get_parameter_source("home") is click.core.ParameterSource.COMMANDLINE:
        home = ["--home", context.params["home"]]
    return shlex.join(map(str, ["cleanroom-algo", *words, *home]))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Write a file inside that a person has named.

    Raises:
        OutputUnwritableError: CR-CLI-008, it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise OutputUnwritableError(
            f"{path} cannot be written: {error.strerror}",
            expected="a place that you can write to, with space on its disk",
            fix="name another file or folder",
        ) from error


def is_terminal() -> bool:
    """Whether a person reads the messages: stderr is a terminal."""
    return sys.stderr.isatty()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
