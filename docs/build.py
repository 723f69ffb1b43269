"""Writes docs/reference/ from the code, so that it cannot drift: `python -m docs.build`; `--check` only compares."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import get_args

import click
from pydantic import BaseModel

from cleanroom_algo.cli.explain import EXIT_STATUSES, explanation, setting_rows
from cleanroom_algo.cli.verbs import VERBS, root
from cleanroom_algo.errors import CleanroomError, all_errors
from cleanroom_algo.local.query.functions import SIGNATURES, SPARK_ONLY
from cleanroom_algo.local.resources.settings import Machine, Quotas, RoomSettings, Switches

REFERENCE = Path(__file__).parent / "reference"
_PUBLIC_MODULES = {
    "cleanroom_algo": "For an algorithm. An image contains only this part of the page.",
    "cleanroom_algo.testing": "For tests; the pytest fixture `clean_room` is a `CleanRoom`.",
    "cleanroom_algo.local": "The local clean room from Python and notebooks.",
}


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or name those that are out of date and return 1."""
    stale = []
    for name, page in PAGES.items():
        path, text = REFERENCE / name, "".join(f"{line}\n" for line in page())
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if "--check" not in arguments:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{'out of date' if '--check' in arguments else 'written'}: {path.relative_to(REFERENCE.parents[1])}")
    return 1 if stale and "--check" in arguments else 0


def errors_page() -> Iterator[str]:
    """Every error code, by area."""
    yield "# Error codes\n"
    yield "`cleanroom-algo explain CODE` prints the same. Exit statuses: [exit-statuses.md](exit-statuses.md)."
    area = ""
    for kind in all_errors().values():
        base = next(each for each in kind.__mro__ if CleanroomError in each.__bases__)
        if area != base.__name__:
            area = base.__name__
            yield f"\n## {kind.code.rpartition('-')[0]}: {explanation(base)}"
        yield f"\n### {kind.code} {kind.title}\n"
        yield f"`{kind.__name__}`, exit status {int(kind.exit_code)}\n"
        yield explanation(kind)


def settings_page() -> Iterator[str]:
    """Every environment variable of the library, and every setting of a room."""
    yield "# Settings\n\n## Of a container\n"
    yield "Set these environment variables in the `environment` of the request, or as `ENV` lines in the image.\n"
    yield from _table(("variable", "default", "meaning"), setting_rows())
    yield "\n## Of a room\n"
    yield "`settings.toml` in the state folder has these tables. A setting without a default is not set."
    tables: dict[str, type[BaseModel]] = {"machine": Machine, "quotas": Quotas, "switches": Switches}
    for name, table in tables.items():
        yield f"\n### `[{name}]`\n"
        yield from _table(("setting", "values", "default", "meaning"), _room_settings(table))
    for name in ("spark", "glue_tables"):
        yield f"\n### `[{name}]`\n\n{_docstrings(RoomSettings)[name]}"


def _room_settings(table: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    """Return the rows of a table of settings.toml."""
    texts, rows = _docstrings(table), []
    for name, field in table.model_fields.items():
        choices = ", ".join(f"`{each}`" for each in get_args(field.annotation) if isinstance(each, str))
        default = field.get_default(call_default_factory=True)
        computed = field.default_factory is not None and isinstance(default, int)  # depends on the machine
        shown = "" if computed or default is None else f"`{json.dumps(default)}`"
        rows.append((name, choices, shown, texts.get(name, "")))
    return rows


def _docstrings(kind: type) -> dict[str, str]:
    """Return the texts below the attributes of a class."""
    (body,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body, ast.ClassDef)
    return {
        attribute.target.id: " ".join(text.value.value.split())
        for attribute, text in itertools.pairwise(body.body)
        if isinstance(attribute, ast.AnnAssign)
        and isinstance(attribute.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def api_page() -> Iterator[str]:
    """Every public name of the library; the site shows their docstrings."""
    yield "# API\n"
    yield "The public names. In the documentation site, this page shows their signatures and docstrings.\n"
    for module, about in _PUBLIC_MODULES.items():
        yield f"\n## {module}\n\n{about}\n"
        for name in import_module(module).__all__:
            yield f"::: {module}.{name}\n    options:\n      heading_level: 3\n"


def query_functions_page() -> Iterator[str]:
    """Every function that a query of an ML input channel may call."""
    yield "# Functions of queries\n"
    yield "The functions that queries of ML input channels can call. `T` and `C` are the common type, as in Spark,"
    yield "of all arguments with this mark. `fraction` is a double, `constant` a literal number, and `date!` a date"
    yield "that is not cast. A number as the result is the type of that argument. Other functions are refused.\n"
    yield "## On DuckDB and Spark, with the same values\n"
    yield from _table(
        ("function", "result", "DuckDB"),
        [(f"`{each.name}({', '.join(each.arguments)})`", each.result, f"`{each.sql}`") for each in SIGNATURES],
    )
    yield '\n## Only on Spark (`query_engine = "spark"`)\n'
    yield ", ".join(f"`{name}`" for name in sorted(SPARK_ONLY - {each.name for each in SIGNATURES}))


def exit_statuses_page() -> Iterator[str]:
    """Every exit status."""
    yield "# Exit statuses\n"
    yield "The commands and the containers end with these statuses. A failure never ends with 0.\n"
    yield from _table(("status", "meaning"), [(int(code), text) for code, text in EXIT_STATUSES.items()])


def cli_page() -> Iterator[str]:
    """The help of every verb."""
    yield "# Commands\n"
    yield "Results go to stdout, messages to stderr; `--json` prints one JSON document, also for errors."
    for name in VERBS:
        settings = {**root.context_settings, "terminal_width": 100, "max_content_width": 100}
        with click.Context(root, info_name="cleanroom-algo", **settings) as parent:
            command = root.get_command(parent, name)
            assert command is not None
            yield from _help(command, name, parent)


def _help(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    with click.Context(command, info_name=name, parent=parent) as context:
        yield f"\n## {context.command_path.partition(' ')[2]}\n\n```"
        yield command.get_help(context)
        yield "```"
        if isinstance(command, click.Group):
            for each in command.list_commands(context):
                inner = command.get_command(context, each)
                assert inner is not None
                yield from _help(inner, each, context)


def differences_page() -> Iterator[str]:
    """Every known difference from AWS."""
    from cleanroom_algo.local.differences import DIFFERENCES

    yield "# Differences from AWS\n"
    yield "`cleanroom-algo differences [OPERATION]` prints the same rows. No row has been compared with AWS itself.\n"
    counts = Counter(row.provenance for row in DIFFERENCES)
    yield f"{len(DIFFERENCES)} rows: {', '.join(f'{count} {name}' for name, count in sorted(counts.items()))}."
    for area in dict.fromkeys(row.area for row in DIFFERENCES):
        yield f"\n## {area}\n"
        columns = ("here", "AWS", "provenance", "source", "switch")
        rows = [(row.here, row.aws, row.provenance, row.source, row.switch) for row in DIFFERENCES if row.area == area]
        yield from _table(columns, rows)


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "api.md": api_page,
    "errors.md": errors_page,
    "settings.md": settings_page,
    "exit-statuses.md": exit_statuses_page,
    "commands.md": cli_page,
    "differences.md": differences_page,
    "query-functions.md": query_functions_page,
}


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
