"""`differences`: lists where the local clean room differs from AWS, with sources."""

from __future__ import annotations

from dataclasses import asdict

import click

from cleanroom_algo.cli.options import json_option
from cleanroom_algo.cli.output import emit, emit_json, fields
from cleanroom_algo.errors import UnknownTopicError


@click.command()
@click.argument("operation", required=False)
@json_option
def command(operation: str | None, as_json: bool) -> None:
    r"""List the differences between the local clean room and AWS, for one OPERATION of the API or for all.

    \b
    Examples:
      cleanroom-algo differences
      cleanroom-algo differences CreateTrainedModel
    """
    from cleanroom_algo.contract.suggestions import did_you_mean
    from cleanroom_algo.local.differences import differences_for
    from cleanroom_algo.local.service_model.shapes import CLEANROOMS, ML, operation_names

    names = (*operation_names(ML), *operation_names(CLEANROOMS))
    if operation is not None:
        operation = next((name for name in names if name.lower() == operation.lower()), operation)
    if operation is not None and operation not in names:
        raise UnknownTopicError(
            f"the API has no operation {operation!r}{did_you_mean(operation, names)}",
            expected="an operation of Clean Rooms ML, such as CreateTrainedModel",
            fix="cleanroom-algo differences lists them all",
        )
    rows = differences_for(operation)
    if as_json:
        emit_json([asdict(row) for row in rows])
        return
    for row in rows:
        switch = {"switch": f"{row.switch} in settings.toml"} if row.switch else {}
        fields({row.area: row.here, "AWS": row.aws, "known": f"{row.provenance}: {row.source}", **switch})
        emit("")
    counts = {
        each: sum(row.provenance == each for row in rows) for each in ("model", "documented", "recorded", "guessed")
    }
    emit(f"{len(rows)} rows: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count))
