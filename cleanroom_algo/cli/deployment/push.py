"""`deploy push`: checks, tags and pushes an image."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cleanroom_algo.cli.options import json_option
from cleanroom_algo.cli.output import emit, emit_json, say
from cleanroom_algo.errors import Problem, PushError

if TYPE_CHECKING:
    from cleanroom_algo.local.deploy.pushing import Tool
    from cleanroom_algo.local.images.findings import Finding


@click.command()
@click.argument("image")
@click.option("--repository", metavar="URI", required=True, help="Repository, without a tag.")
@click.option("--version", metavar="TAG", help="Tag beside the one by image ID. Defaults to the tag of IMAGE.")
@click.option(
    "--engine",
    "tool",
    type=click.Choice(["docker", "podman", "skopeo"]),
    help="Program that pushes. Defaults to docker or podman, the first that responds.",
)
@click.option("--no-check", is_flag=True, help="Do not run `check` on the image first.")
@click.option("--yes", is_flag=True, help="Push. Without it, the command only shows what it would do.")
@json_option
def command(
    image: str, repository: str, version: str | None, tool: Tool | None, no_check: bool, yes: bool, as_json: bool
) -> None:
    r"""Check IMAGE, tag it by its ID and by version, push it, and print its URI.

    Requests of Clean Rooms ML name images by tag, never by digest. The tag `sha256-...` is the ID of the image, so the
    URI always means the same content. For a repository in ECR, --yes logs in with your AWS credentials, and fails if
    the repository is missing or has the version for another image.

    \b
    Examples:
      cleanroom-algo deploy push my-algorithm --repository localhost:5000/my-algorithm --yes
      cleanroom-algo deploy push my-algorithm:1.2 --repository 111122223333.dkr.ecr.us-east-1.amazonaws.com/my-algorithm
    """
    from cleanroom_algo.local.deploy.pushing import plan_push, push_image

    push = plan_push(image, repository, version, tool)
    warnings = [] if no_check else _checked(image)
    for finding in () if as_json else warnings:
        say(f"warning: {finding.where}: {finding.what}")
    digest = push_image(push, say) if yes else None
    if as_json:
        found = {"uri": push.uris[0], "uris": push.uris, "pushed": yes, "digest": digest}
        emit_json({**found, "warnings": [asdict(each) for each in warnings]})
        return
    if yes:
        say(f"pushed; the digest in the repository is {digest or 'unchanged'}")
    else:
        for tag in push.tags:
            for words in push.commands(tag):
                say(shlex.join(words))
        say("Nothing was pushed. --yes pushes.")
    emit(push.uris[0])


def _checked(image: str) -> list[Finding]:
    """Return the warnings of `check`.

    Raises:
        PushError: CR-DEP-002, `check` found errors.
    """
    from cleanroom_algo.local.images.check import Asked, check

    findings = check(image, Asked())
    if errors := [each for each in findings if each.severity == "error"]:
        raise PushError(
            f"`check` found errors in {image}",
            expected="an image that trains and serves",
            fix=f"{shlex.join(['cleanroom-algo', 'check', image])} says how to correct each; --no-check pushes anyway",
            problems=[Problem(each.where, each.what) for each in errors],
        )
    return findings
