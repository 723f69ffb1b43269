"""`audit model`: attacks on a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleanroom_algo.cli.options import home_option, json_option, target_option
from cleanroom_algo.cli.output import emit_json, fields, say, table, writing
from cleanroom_algo.errors import UsageError
from cleanroom_algo.errors.exit_codes import ExitCode

if TYPE_CHECKING:
    from cleanroom_algo.local.audit.membership import Audit

_rows = click.Path(path_type=Path, exists=True)


@click.command()
@click.argument("model")
@click.option("--members", type=_rows, required=True, help="A folder or file with rows on which the model was trained.")
@click.option(
    "--non-members", type=_rows, required=True, help="Rows of the same kind on which the model was not trained."
)
@target_option
@click.option(
    "--shadows",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Number of models to train on random halves of the rows for a stronger attack; must be even.",
)
@click.option(
    "--max-auc", type=click.FloatRange(0, 1), help="Exit with status 3 if the AUC of an attack is larger than this."
)
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw the ROC curves into this SVG file.")
@json_option
@home_option
@click.pass_context
def command(
    context: click.Context,
    model: str,
    members: Path,
    non_members: Path,
    target: str | None,
    shadows: int,
    max_auc: float | None,
    plot: Path | None,
    as_json: bool,
    home: Path | None,
) -> None:
    r"""Run membership inference attacks on MODEL: try to recognize the rows on which it was trained.

    MODEL is the name of a trained model; add `:VERSION` for one version. An inference job predicts all rows, so any
    framework is possible. The attack assumes that the model predicts the rows of its training well. An AUC of 0.5 is
    random guessing, and 1 is certainty. A low AUC does not prove that better attacks would fail.

    \b
    Examples:
      cleanroom-algo audit my-algorithm --members data/train --non-members data/other
      cleanroom-algo audit my-algorithm --members data/train --non-members data/other --shadows 16
      cleanroom-algo audit my-algorithm --members data/train --non-members data/other --max-auc 0.6 --plot roc.svg
    """
    from cleanroom_algo.local.audit.membership import audit
    from cleanroom_algo.local.client import CleanRoom

    if shadows % 2:
        raise UsageError(
            f"--shadows {shadows} is odd",
            expected="an even number: each row is in the training data of half of the models",
            fix=f"--shadows {shadows + 1}",
        )
    if plot is not None:
        with writing(plot):  # before the long computation
            plot.touch()
    with CleanRoom(home) as room:
        found = audit(room, room.model(model), members, non_members, target=target, shadows=shadows, say=say)
    if plot is not None:
        from cleanroom_algo.local.audit.plot import roc_svg

        plot.write_text(roc_svg(found), encoding="utf-8")
    if as_json:
        emit_json(found.document())
    else:
        _show(found)
    worst = found.worst
    if max_auc is not None and worst.separation.auc > max_auc:
        say(f"the AUC of {worst.name} is {worst.separation.auc:.3f}, which is more than {max_auc:g}")
        context.exit(ExitCode.CONTRACT)


def _show(found: Audit) -> None:
    fields(
        {
            "model": found.model,
            "rows": f"{found.members:,} members, {found.non_members:,} non-members",
            "score": found.meaning,
        }
    )
    rows = [
        (
            attack.name,
            f"{each.auc:.3f}",
            "{:.3f} to {:.3f}".format(*each.auc_interval),
            f"{each.tpr:.1%}",
            "{:.1%} to {:.1%}".format(*each.tpr_interval),
        )
        for attack in found.attacks
        for each in (attack.separation,)
    ]
    click.echo()
    table(("ATTACK", "AUC", "95%", "TPR AT 1% FPR", "95%"), rows)
    if found.most_allowed is not None:
        say(f"note: by the epsilon in its manifest, no attack has a TPR of more than {found.most_allowed:.1%}")
    for warning in found.warnings:
        say(f"warning: {warning}")
