"""The permissions that each member's people and service roles need.

The resources of an action are those of the Service Authorization Reference, "Actions, resources, and condition keys for
AWS Clean Rooms ML". Calls also need `cleanrooms:PassMembership` (Clean Rooms user guide, "IAM behaviors for Clean Rooms
ML Custom Models").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cleanroom_algo.local.deploy.placeholders import (
    MEMBERSHIP,
    PARTITION,
    REGION,
    Joined,
    arn_of,
    joined,
)
from cleanroom_algo.local.deploy.rehearsal import Rehearsal
from cleanroom_algo.local.deploy.roles import ML_SERVICE, Role, account_of, allow, roles_of
from cleanroom_algo.local.resources.arns import ALGORITHM, ASSOCIATION, INFERENCE_JOB, INPUT_CHANNEL, TRAINED_MODEL

ANY: Final = "*"
_QUERYING: Final = (
    "CreateMLInputChannel",
    "CreateTrainedModel",
    "StartTrainedModelInferenceJob",
    "StartTrainedModelExportJob",
    "GetMLInputChannel",
    "GetTrainedModel",
    "GetTrainedModelInferenceJob",
)
_RESOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "CreateConfiguredModelAlgorithmAssociation": (ALGORITHM,),
    "CreateMLInputChannel": (ASSOCIATION,),
    "CreateTrainedModel": (ASSOCIATION,),
    "StartTrainedModelInferenceJob": (ASSOCIATION, INPUT_CHANNEL, TRAINED_MODEL),
    "StartTrainedModelExportJob": (TRAINED_MODEL,),
    "GetMLInputChannel": (INPUT_CHANNEL,),
    "GetTrainedModel": (TRAINED_MODEL,),
    "GetTrainedModelInferenceJob": (INFERENCE_JOB,),
    **dict.fromkeys(("GetConfiguredModelAlgorithm", "DeleteConfiguredModelAlgorithm"), (ALGORITHM,)),
    **dict.fromkeys(
        ("GetConfiguredModelAlgorithmAssociation", "DeleteConfiguredModelAlgorithmAssociation"), (ASSOCIATION,)
    ),
}
"""The kinds of resources of an action; an action that is not listed applies to any."""
_PUSHING: Final = (
    "BatchCheckLayerAvailability",
    "BatchGetImage",
    "CompleteLayerUpload",
    "DescribeImages",
    "DescribeRepositories",
    "InitiateLayerUpload",
    "PutImage",
    "UploadLayerPart",
)
_REPOSITORY: Final = (
    "CreateRepository",
    "DeleteRepository",
    "DescribeRepositories",
    "ListTagsForResource",
    "PutImageScanningConfiguration",
    "PutImageTagMutability",
)
_ROLE: Final = ("CreateRole", "DeleteRole", "DeleteRolePolicy", "GetRole", "GetRolePolicy", "PutRolePolicy")
_STACK: Final = ("CreateChangeSet", "DescribeChangeSet", "DescribeStacks", "ExecuteChangeSet", "DescribeStackEvents")


@dataclass(frozen=True, slots=True)
class Policy:
    """The permissions of one person or role.

    Attributes:
        name: `caller`, `pusher`, `deployer`, or the kind of a service role.
        about: a description of the person or role.
        statements: allow what is needed, and nothing else.
        trust: statements of the trust policy; empty for a person.
    """

    name: str
    about: str
    statements: tuple[Mapping[str, Any], ...]
    trust: tuple[Mapping[str, Any], ...] = field(default=())


def policies_of(rehearsal: Rehearsal, member: str, stack: str) -> list[Policy]:
    """Return the policies of a member.

    Args:
        rehearsal: of the room.
        member: its name.
        stack: the name of its stack.
    """
    roles = list(roles_of(rehearsal, member))
    people = (
        Policy("caller", f"makes the calls of {member!r}", tuple(_calling(rehearsal, member, roles))),
        Policy("pusher", f"pushes the images of {member!r}", tuple(_pushing(rehearsal, member))),
        Policy("deployer", f"deploys the stack of {member!r}", tuple(_deploying(rehearsal, member, roles, stack))),
    )
    services = [Policy(f"{each.kind}-role", each.about, each.statements, each.trust) for each in roles]
    return [*(each for each in people if each.statements), *services]


def _calling(rehearsal: Rehearsal, member: str, roles: Sequence[Role]) -> Iterator[Mapping[str, Any]]:
    entry = rehearsal.declaration.members[member]
    passed = [each.arn for each in roles if each.kind in ("ml-configuration", "query")]
    operations = ["PutMLConfiguration"] if entry.output is not None else []
    if "CAN_QUERY" in entry.abilities or rehearsal.owned("channels", member):
        operations += _QUERYING
    if not operations:
        return
    yield from _of_operations(rehearsal, member, operations)
    yield from _passing(passed)
    yield allow(["cleanrooms:PassMembership"], [ANY])
    yield allow(["cleanrooms:GetMembership"], [arn_of("cleanrooms", "membership/", MEMBERSHIP)])


def _pushing(rehearsal: Rehearsal, member: str) -> Iterator[Mapping[str, Any]]:
    if repositories := _repositories(rehearsal, member):
        yield allow([f"ecr:{each}" for each in _PUSHING], repositories)
        yield allow(["ecr:GetAuthorizationToken"], [ANY])


def _deploying(rehearsal: Rehearsal, member: str, roles: Sequence[Role], stack: str) -> Iterator[Mapping[str, Any]]:
    own = [each for each in roles if each.kind != "tables"]  # this one exists only with --clean-room
    if not own:
        return
    stacks = [arn_of("cloudformation", f"stack/{stack}/*")]
    yield allow([f"cloudformation:{each}" for each in _STACK], stacks)
    yield allow(["cloudformation:GetTemplateSummary"], [ANY])
    yield allow([f"iam:{each}" for each in _ROLE], [each.arn for each in own])
    if repositories := _repositories(rehearsal, member):
        yield allow([f"ecr:{each}" for each in _REPOSITORY], repositories)
    if rehearsal.owned("algorithms", member):
        verbs = ("Create", "Get", "Delete")
        kinds = ("ConfiguredModelAlgorithm", "ConfiguredModelAlgorithmAssociation")
        operations = [f"{verb}{kind}" for kind in kinds for verb in verbs]
        yield from _of_operations(rehearsal, member, [*operations, "ListTagsForResource"])
        yield from _passing([each.arn for each in roles if each.kind.startswith("image-")])
        yield allow(["cleanrooms:PassMembership"], [ANY])


def _of_operations(rehearsal: Rehearsal, member: str, operations: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield statements for operations of Clean Rooms ML; operations on the same resources share one."""
    grouped: dict[tuple[str, ...], list[str]] = {}
    for each in operations:
        grouped.setdefault(_RESOURCES.get(each, ()), []).append(f"cleanrooms-ml:{each}")
    for kinds, actions in grouped.items():
        resources = [arn for kind in kinds for arn in _arns(rehearsal, member, kind)]
        yield allow(actions, resources or [ANY])


def _arns(rehearsal: Rehearsal, member: str, kind: str) -> list[Joined]:
    if kind == ALGORITHM:
        return [arn_of("cleanrooms-ml", f"{ALGORITHM}/*")]
    own = arn_of("cleanrooms-ml", "membership/", MEMBERSHIP, f"/{kind}/*")
    if kind != ASSOCIATION:
        return [own]
    owners = dict.fromkeys(each.owner for each in rehearsal.declaration.algorithms.values())
    begin = ("arn:", PARTITION, ":cleanrooms-ml:", REGION, ":")
    others = [
        joined(*begin, account_of(rehearsal, owner, member), f":membership/*/{kind}/*")
        for owner in owners
        if owner != member
    ]
    return [*([own] if member in owners else []), *others]


def _passing(roles: Sequence[Joined]) -> Iterator[Mapping[str, Any]]:
    if roles:
        yield allow(["iam:PassRole"], list(roles), {"StringEquals": {"iam:PassedToService": ML_SERVICE}})


def _repositories(rehearsal: Rehearsal, member: str) -> list[Joined]:
    return [
        arn_of("ecr", f"repository/{image.repository}")
        for name in rehearsal.owned("algorithms", member)
        for image in rehearsal.images(name)
        if image.uri is None
    ]
