"""`audit canaries`: whether a model has memorized planted texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleanroom_algo.cli.options import home_option, json_option, target_option
from cleanroom_algo.cli.output import emit_json, fields, say, table
from cleanroom_algo.errors.exit_codes import ExitCode

if TYPE_CHECKING:
    from cleanroom_algo.local.audit.canaries import CanaryAudit


@click.command()
@click.argument("model")
@click.option(
    "--planted",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="A folder or file with the rows that you added to the training data.",
)
@click.option(
    "--format",
    "form",
    required=True,
    metavar="TEXT",
    help="The format of their canaries, with {digits:N} or {letters:N} for a random part of N characters.",
)
@click.option(
    "--references",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Number of other texts of the format to compare with each canary.",
)
@target_option
@click.option(
    "--max-exposure", type=click.FloatRange(0), help="Exit with status 3 if the mean exposure is larger than this."
)
@json_option
@home_option
@click.pass_context
def command(
    context: click.Context,
    model: str,
    planted: Path,
    form: str,
    references: int,
    target: str | None,
    max_exposure: float | None,
    as_json: bool,
    home: Path | None,
) -> None:
    r"""Measure whether MODEL has memorized canaries: rows with random texts that you added to its training data.

    MODEL is the name of a trained model; add `:VERSION` for one version. The command compares each planted row with
    rows that contain other random texts of the same format, and ranks them by how well the model predicts them. The
    exposure of a canary is log2(references + 1) - log2(rank). Its mean is about 1.44 if the model was not trained on
    the canaries, and log2(references + 1) if it has memorized all of them.

    \b
    Examples:
      cleanroom-algo audit canaries my-algorithm --planted planted.csv --format "my pin is {digits:6}"
      cleanroom-algo audit canaries my-algorithm --planted planted.csv --format "key {letters:12}" --max-exposure 2.5
    """
    from cleanroom_algo.local.audit.canaries import CanaryFormat, audit_canaries
    from cleanroom_algo.local.client import CleanRoom

    canary = CanaryFormat(form)
    with CleanRoom(home) as room:
        found = audit_canaries(room, room.model(model), planted, canary, references=references, target=target, say=say)
    if as_json:
        emit_json(found.document())
    else:
        _show(found)
    if max_exposure is not None and found.mean > max_exposure:
        say(f"the mean exposure is {found.mean:.2f}, which is more than {max_exposure:g}")
        context.exit(ExitCode.CONTRACT)


def _show(found: CanaryAudit) -> None:
    fields(
        {
            "model": found.model,
            "canaries": f"{len(found.canaries):,} in column {found.column}, {found.references:,} references each",
            "score": found.meaning,
            "mean exposure": f"{found.mean:.2f}; {found.by_chance:.2f} by chance, at most {found.largest_possible:.2f}",
            "p value": f"{found.p_value:.2g}",
        }
    )
    click.echo()
    rows = [(each.text, each.copies, each.rank, f"{each.exposure:.2f}") for each in found.canaries]
    table(("CANARY", "COPIES", "RANK", "EXPOSURE"), rows)
    for warning in found.warnings:
        say(f"warning: {warning}")
