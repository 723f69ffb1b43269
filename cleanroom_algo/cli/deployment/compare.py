"""`deploy compare`: compares a job on AWS with its rehearsal."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit_json, say, table
from cleanroom_algo.cli.rooms import open_room
from cleanroom_algo.errors import AwsReadError, NoSuchRecordError, UsageError
from cleanroom_algo.local.resources import records

if TYPE_CHECKING:
    from cleanroom_algo.local.deploy.comparing import Answers, Compared, Shown
    from cleanroom_algo.local.room import Room


@click.command()
@click.argument("arn", required=False)
@click.option("--version", help="With ARN: the version of a trained model.")
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), help="Read the responses of AWS from this file."
)
@click.option("--rehearsal", metavar="NAME", help="The local job. Defaults to the job with the same name.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("recorded.json"),
    show_default=True,
    help="File that gets the recorded rows.",
)
@json_option
@home_option
def command(
    arn: str | None,
    version: str | None,
    file: Path | None,
    rehearsal: str | None,
    output: Path,
    as_json: bool,
    home: Path | None,
) -> None:
    r"""Show what differed between a job on AWS and its rehearsal in the local clean room, member by member.

    ARN is that of a trained model, an inference job or an ML input channel. It is read with your AWS credentials,
    together with the channels of the job. Or --file has the responses that the aws CLI printed.

    What was not asked for becomes a row of `cleanroom-algo differences`, marked as recorded, in a file that you can
    contribute. The rows hold no names, hyperparameters, accounts, ARNs, or messages of containers.

    \b
    Examples:
      cleanroom-algo deploy compare arn:aws:cleanrooms-ml:us-east-1:111122223333:membership/.../trained-model/...
      cleanroom-algo deploy compare --file responses.json --rehearsal my-algorithm
    """
    from cleanroom_algo.local.deploy.comparing import add_rows, read_answers, recorded

    if (arn is None) == (file is None):
        raise UsageError(
            "needs exactly one of ARN and --file",
            expected="cleanroom-algo deploy compare ARN, or cleanroom-algo deploy compare --file FILE",
            fix="cleanroom-algo deploy compare --help",
        )
    answers = read_answers(file) if file is not None else _fetched(str(arn), version)
    with open_room(home) as room:
        compared = _compared(room, answers, rehearsal)
    rows = recorded(compared, _where(answers))
    added = add_rows(output, rows)
    if as_json:
        emit_json({"differences": [asdict(each) for each in compared], "rows": [asdict(each) for each in rows]})
        return
    shown = [(each.resource, each.member, each.here, each.aws, each.kind) for each in compared]
    table(("RESOURCE", "MEMBER", "HERE", "AWS", ""), shown)
    say(f"{len(compared)} members differ; {added} new rows in {output}" if added else f"{len(compared)} members differ")


def _fetched(arn: str, version: str | None) -> Answers:
    """Return what AWS shows of a job and of its channels."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from cleanroom_algo.local.deploy.comparing import of_kind
    from cleanroom_algo.local.resources.arns import INPUT_CHANNEL, Arn

    parts = Arn.parse(arn) if arn.count(":") >= 5 and "/" in arn else None
    shown = of_kind(parts.kind) if parts else None
    channel = of_kind(INPUT_CHANNEL)
    if parts is None or shown is None or channel is None:
        raise UsageError(
            f"{arn} is not the ARN of a trained model, an inference job or an ML input channel",
            expected="arn:aws:cleanrooms-ml:REGION:ACCOUNT:membership/ID/trained-model/ID, or of the other two",
            fix="take the ARN that the creation printed",
        )
    client = boto3.client("cleanroomsml", region_name=parts.region)
    try:
        own = {shown.version: version} if version and shown.version else {}
        job = _get(client, shown, arn, own)
        answers = {shown.operation: [job]}
        for source in job.get("dataChannels", [job["dataSource"]] if "dataSource" in job else []):
            answers.setdefault(channel.operation, []).append(_get(client, channel, source["mlInputChannelArn"], {}))
    except (BotoCoreError, ClientError) as error:
        raise AwsReadError(
            f"AWS does not show it: {error}",
            expected="credentials of the member who started the job, with a policy that lets them read it",
            fix="`cleanroom-algo deploy iam` writes the policy; --file compares responses that you have already",
        ) from error
    return answers


def _get(client: Any, shown: Shown, arn: str, own: dict[str, str]) -> dict[str, Any]:
    from cleanroom_algo.local.deploy.scripts import snake
    from cleanroom_algo.local.resources.arns import Arn

    names = {"membershipIdentifier": Arn.parse(arn).membership, shown.arn: arn, **own}
    answer: dict[str, Any] = getattr(client, snake(shown.operation))(**names)
    return answer


def _compared(room: Room, answers: Answers, rehearsal: str | None) -> list[Compared]:
    from cleanroom_algo.local.deploy.comparing import SHOWN, compare
    from cleanroom_algo.local.resources.arns import INPUT_CHANNEL

    found: list[Compared] = []
    for shown in SHOWN:
        for answer in answers.get(shown.operation, ()):
            named = rehearsal if rehearsal is not None and shown.kind != INPUT_CHANNEL else answer["name"]
            try:
                record = records.find(room.store, named, (shown.kind,))
            except NoSuchRecordError:
                if shown.kind != INPUT_CHANNEL:
                    raise
                say(f"note: the room has no ML input channel {named!r} to compare with")
                continue
            version = {shown.version: record.version} if record.version and shown.version else {}
            asked = {"membershipIdentifier": record.membership, shown.arn: record.key, **version}
            here = room.call(shown.operation, asked, record.account)
            found += compare(shown, here, answer)
    return found


def _where(answers: Answers) -> str:
    """Return the region and the day of the compared job, which are the source of recorded rows."""
    first = next(each for listed in answers.values() for each in listed)
    regions = (str(value).split(":")[3] for name, value in first.items() if name.endswith("Arn"))
    moment = first.get("updateTime")
    day = moment.date() if isinstance(moment, datetime) else str(moment)[:10] if moment else datetime.now(UTC).date()
    return f"{next(regions, 'unknown region')}, {day}"
