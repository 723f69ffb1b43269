"""`deploy iam`: writes the policies that a room needs, or compares them with given ones."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanroom_algo.cli.deployment.files import overwrite_option, write_files
from cleanroom_algo.cli.deployment.rehearsals import rehearsal_of, source_argument
from cleanroom_algo.cli.options import home_option, json_option, pairs
from cleanroom_algo.cli.output import emit, emit_json, say
from cleanroom_algo.cli.rooms import open_room
from cleanroom_algo.cli.visible import visible
from cleanroom_algo.errors import UsageError
from cleanroom_algo.errors.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cleanroom_algo.local.deploy.permissions import Policy
    from cleanroom_algo.local.deploy.placeholders import Placeholder


@click.command()
@source_argument
@click.option("--member", metavar="NAME", help="Only this member. Required for --check if there are several members.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("deploy/iam"),
    show_default=True,
    help="Folder for the files.",
)
@click.option("--value", multiple=True, metavar="NAME=VALUE", help="A value for a name in angle brackets.")
@click.option(
    "--check",
    "given",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Compare this policy with what is needed, and write nothing; can be given several times.",
)
@click.option("--for", "who", default="caller", show_default=True, help="With --check: whose policy it is.")
@overwrite_option
@json_option
@home_option
@click.pass_context
def command(
    context: click.Context,
    source: str,
    member: str | None,
    output: Path,
    value: tuple[str, ...],
    given: tuple[Path, ...],
    who: str,
    overwrite: bool,
    as_json: bool,
    home: Path | None,
) -> None:
    r"""Write the IAM policies that the members of SOURCE need, or check given ones.

    SOURCE is as in `deploy template`. Each member gets policies for people (the caller of the API, the pusher of
    images, the deployer of the stack) and for its service roles, with their trust policies. A check ends with status 3
    if something that is needed is not allowed. It also says what is allowed and not needed.

    \b
    Examples:
      cleanroom-algo deploy iam my_algorithm.py --value ACCOUNT=111122223333
      cleanroom-algo deploy iam cleanroom.toml --member airline --check policy.json --for caller
    """
    from cleanroom_algo.local.deploy.documents import stack_name
    from cleanroom_algo.local.deploy.permissions import policies_of
    from cleanroom_algo.local.deploy.placeholders import PARTITION, REGION

    with open_room(home) as room:
        rehearsal = rehearsal_of(room.store, source)
        region = room.workspace.settings.machine.region
    members = [rehearsal.member(member)] if member is not None else list(rehearsal.declaration.members)
    policies = {each: policies_of(rehearsal, each, stack_name(rehearsal, each)) for each in members}
    given_values = pairs(value, "--value")
    everywhere = {PARTITION.name: PARTITION.example, REGION.name: region}
    known = {each: {**everywhere, **rehearsal.known_values(each), **given_values} for each in members}
    if given:
        _check(context, policies, given, who, as_json=as_json, values=given_values)
        return
    files = _files(policies, known)
    texts = {name: json.dumps(document, indent=2) + "\n" for name, document in files.items()}
    write_files(output, texts, overwrite=overwrite)
    if as_json:
        emit_json([output / name for name in files])
        return
    for name in files:
        emit(str(output / name))
    if unknown := sorted({part.partition(">")[0] for text in texts.values() for part in text.split("<")[1:]}):
        say(f"Values to fill in are in angle brackets: {', '.join(unknown)}. --value NAME=VALUE fills it in.")


def _files(policies: Mapping[str, Sequence[Policy]], known: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    from cleanroom_algo.local.deploy.placeholders import distinct, resolved
    from cleanroom_algo.local.deploy.roles import policy_document

    files = {}
    for member, each in policies.items():
        values = known[member]
        for policy in each:
            name = f"{distinct(member)}-{distinct(policy.name)}"
            parts = {"": policy.statements, "-trust": policy.trust}
            for kind, statements in parts.items():
                if statements:
                    files[f"{name}{kind}.json"] = resolved(policy_document(statements), _value_in(values), "".join)
    return files


def _value_in(values: Mapping[str, str]) -> Callable[[Placeholder], str]:
    return lambda placeholder: values.get(placeholder.name, f"<{placeholder.name}>")


def _check(
    context: click.Context,
    policies: Mapping[str, Sequence[Policy]],
    given: Sequence[Path],
    who: str,
    *,
    as_json: bool,
    values: Mapping[str, str],
) -> None:
    from cleanroom_algo.local.deploy.placeholders import joined, resolved
    from cleanroom_algo.local.deploy.policy_check import check_policy, read_policy

    if len(policies) > 1:
        raise UsageError("the room has several members", expected=f"--member {'|'.join(policies)}", fix="name one")
    ((member, known),) = policies.items()
    needed = next((each for each in known if each.name == who), None)
    if needed is None:
        names = "|".join(each.name for each in known)
        raise UsageError(f"{member} needs no policy {who!r}", expected=f"--for {names}", fix="name one of these")
    statements = [
        resolved(each, lambda one: values.get(one.name, one), lambda parts: joined(*parts))
        for each in needed.statements
    ]
    findings = check_policy([each for path in given for each in read_policy(path)], statements)
    missing = [each for each in findings if each.kind != "more"]
    if as_json:
        emit_json({"member": member, "for": who, "findings": [asdict(each) for each in findings]})
    for each in () if as_json else findings:
        color = "yellow" if each.kind == "more" else "red"
        click.echo(f"{click.style(each.kind.ljust(9), fg=color, bold=True)}  {visible(each.action)}")
        emit(f"  on        {each.resource}\n  why       {each.why}")
    if not as_json:
        say(f"{len(missing)} missing, {len(findings) - len(missing)} more than needed")
    if missing:
        context.exit(ExitCode.CONTRACT)
