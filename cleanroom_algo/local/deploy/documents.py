"""The files of `deploy template`: for each member, a template and a script with the calls that CloudFormation lacks."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cleanroom_algo.local.deploy.api_calls import ApiCall, job_call, room_calls
from cleanroom_algo.local.deploy.placeholders import distinct
from cleanroom_algo.local.deploy.rehearsal import Rehearsal
from cleanroom_algo.local.deploy.scripts import python_script
from cleanroom_algo.local.deploy.stack import Stack
from cleanroom_algo.local.deploy.yaml_text import to_yaml
from cleanroom_algo.local.resources.store import Store

Format = Literal["yaml", "json"]


@dataclass(frozen=True, slots=True)
class MemberFiles:
    """The files of one member.

    Attributes:
        member: its name.
        stack_name: of its stack.
        files: texts by file name, the template first; empty for a member who has nothing to deploy.
        required: parameters of the template without a default.
        warnings: what the template lacks, and what AWS may refuse.
    """

    member: str
    stack_name: str
    files: dict[str, str]
    required: list[str]
    warnings: list[str]

    def deployment(self, folder: Path) -> str:
        """Return the command of the aws CLI that creates the stack from a template in a folder."""
        words = ["aws", "cloudformation", "deploy", "--template-file", str(folder / next(iter(self.files)))]
        words += ["--stack-name", self.stack_name, "--capabilities", "CAPABILITY_NAMED_IAM"]
        overrides = [f"{each}=..." for each in self.required]
        return shlex.join([*words, *(["--parameter-overrides", *overrides] if overrides else [])])


def stack_name(rehearsal: Rehearsal, member: str) -> str:
    """Return the name of a member's stack."""
    return f"{rehearsal.slug}-{distinct(member, 24)}"


def member_files(store: Store, rehearsal: Rehearsal, member: str, *, clean_room: bool, form: Format) -> MemberFiles:
    """Return the files of a member.

    Args:
        store: of the room.
        rehearsal: of the room.
        member: its name.
        clean_room: whether the member also creates or joins the collaboration, and adds tables and templates.
        form: of the template.

    Raises:
        TemplateError: CR-DEP-001. InvalidRequestError: CR-REQ-001.
    """
    stack = Stack(rehearsal, member, clean_room=clean_room)
    document = stack.document()
    if "Resources" not in document:
        return MemberFiles(member, "", {}, [], [])
    name, base = stack_name(rehearsal, member), distinct(member)
    text = to_yaml(document) if form == "yaml" else json.dumps(document, indent=2) + "\n"
    files = {f"{base}.{form}": text}
    if calls := list(member_calls(store, rehearsal, member)):
        about = f"What the stack of {member!r} lacks: the ML configuration, ML input channels, and the rehearsed jobs."
        files[f"{base}-calls.py"] = python_script(calls, about, stack=name, outputs=stack.outputs)
    required = [each for each, about in document["Parameters"].items() if "Default" not in about]
    return MemberFiles(member, name, files, required, stack.warnings)


def member_calls(store: Store, rehearsal: Rehearsal, member: str) -> Iterator[ApiCall]:
    """Yield the calls of a member that CloudFormation lacks, in their order."""
    yield from room_calls(rehearsal, member)
    for job in rehearsal.jobs.get(member, ()):
        yield job_call(store, job, rehearsal.names)
