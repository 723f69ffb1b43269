"""The commands: listed without being imported, loaded when called, so that `--help` is fast."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

_LINES: Final[Mapping[str, str]] = {
    "init": "Create a small project with data, a test and requests.",
    "schema": "Read files and print a Schema that you can paste into an algorithm.",
    "train": "Train a model, from options or from a create_trained_model request.",
    "infer": "Predict the rows of a channel with a trained model, as a batch transform job.",
    "declare": "Create the clean room that a cleanroom.toml declares: members, tables, algorithms, channels.",
    "show": "Show models, versions, channels and jobs of the local clean room.",
    "compare": "Compare hyperparameters, data and metrics of two trained models.",
    "report": "Write a report on a trained model or an inference job as one HTML file.",
    "logs": "Print the output of the containers of a job, complete or as one member sees it.",
    "metrics": "Show the learning curve and the metrics of a job.",
    "audit": "Measure what a model or a log reveals about rows.",
    "build": "Build the image of an algorithm with docker, podman or buildah.",
    "check": "Check whether a file, a folder or an image would fail in the clean room.",
    "plan": "Show what a training job would do, without running it.",
    "up": "Serve the Clean Rooms ML API and the page of the clean room on 127.0.0.1.",
    "ui": "Open the page of the clean room in a browser: data, trainings, models, members.",
    "metric-definitions": "Print the metricDefinitions to register for an algorithm.",
    "explain": "Explain an error code, the settings or the exit statuses.",
    "deploy": "Bring a rehearsed algorithm to AWS: templates, images, requests, policies, comparisons.",
    "differences": "List the differences between the local clean room and AWS, with their sources.",
    "clean": "Remove jobs and their files from the state folder.",
}
_FOLDER: Final = Path(__file__).parent

VERBS: Final[Mapping[str, str]] = {
    name: line for name, line in _LINES.items() if (_FOLDER / f"{name.replace('-', '_')}.py").exists()
}
"""All commands with their lines in `--help`. Command `a-b` is in `cleanroom_algo.cli.a_b`."""

EXAMPLES: Final = """\b
Examples:
  cleanroom-algo train my_algorithm.py --channel train=data/ --hosts 2
  cleanroom-algo train --request request.json --algorithm my_algorithm.py --channel train=data/
  cleanroom-algo show
"""


class Verbs(click.Group):
    """A group whose commands are modules of a package.

    Args:
        lines: the line of each command in `--help`, in the order in which they are listed.
        package: has a module with a `command` for each one; command `a-b` is in its module `a_b`.
        options: of the group itself.
    """

    def __init__(self, *, lines: Mapping[str, str], package: str = "cleanroom_algo.cli", **options: Any) -> None:
        super().__init__(**options)
        self.lines = lines
        self.package = package

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the commands in the order of their use."""
        return list(self.lines)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        """Return a command, imported now."""
        if cmd_name not in self.lines:
            return None
        found: click.Command = import_module(f"{self.package}.{cmd_name.replace('-', '_')}").command
        found.short_help = self.lines[cmd_name]
        # In raw docstrings, click's marker of text that is not to be wrapped is two characters.
        found.help = (found.help or "").replace("\\b\n", "\b\n")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 (click's signature)
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.lines.items()))


@click.group(
    cls=Verbs,
    lines=VERBS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXAMPLES,
    no_args_is_help=False,
    invoke_without_command=True,
)
@click.version_option(package_name="cleanroom-algo", message="%(version)s")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Write, run and test algorithms for AWS Clean Rooms ML on your own machine.

    Results go to stdout, messages to stderr. Every command accepts --json. See also `explain exit-status`.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
