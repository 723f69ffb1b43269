"""The service roles of a member: who can assume them, and what they allow.

They are those of the Clean Rooms user guide, "Set up service roles for custom modeling", each restricted to the
resources of the room, with the conditions of the guide's trust policies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cleanroom_algo.local.deploy.placeholders import (
    ACCOUNT,
    MEMBERSHIP,
    PARTITION,
    REGION,
    Joined,
    Placeholder,
    arn_of,
    distinct,
    joined,
)
from cleanroom_algo.local.deploy.rehearsal import OUTPUT_LOCATION, Rehearsal, role_arn

ML_SERVICE: Final = "cleanrooms-ml.amazonaws.com"
CLEANROOMS_SERVICE: Final = "cleanrooms.amazonaws.com"
GLUE_DATABASE: Final = Placeholder("GLUE_DATABASE", "AWS Glue database of the tables", "database")
TABLES_BUCKET: Final = Placeholder("TABLES_BUCKET", "S3 bucket with the files of the tables", "bucket")
_PREFIX: Final = "cleanrooms-ml"  # the prefix of roles that users with AWSCleanRoomsMLFullAccess may pass
_LONGEST_ROLE: Final = 64

Statement = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Role:
    """A service role.

    Attributes:
        kind: `image`, `ml-configuration`, `query` or `tables`; that of an image also has the name of its algorithm.
        name: in IAM.
        about: its purpose.
        trust: statements of its trust policy.
        statements: of its policy.
    """

    kind: str
    name: str
    about: str
    trust: tuple[Statement, ...]
    statements: tuple[Statement, ...]

    @property
    def arn(self) -> Joined:
        """Its ARN."""
        return role_arn(self.name)


def roles_of(rehearsal: Rehearsal, member: str) -> Iterator[Role]:
    """Yield the service roles that a member needs."""
    for algorithm in rehearsal.owned("algorithms", member):
        yield image_role(rehearsal, algorithm)
    if rehearsal.declaration.members[member].output is not None:
        yield output_role(rehearsal, member)
    if rehearsal.owned("channels", member):
        yield query_role(rehearsal, member)
    if rehearsal.owned("tables", member):
        yield tables_role(rehearsal, member)


def image_role(rehearsal: Rehearsal, algorithm: str) -> Role:
    """Return the role that loads the images of an algorithm."""
    repositories = [
        arn_of("ecr", f"repository/{each.repository}") if each.uri is None else repository_arn(each.uri)
        for each in rehearsal.images(algorithm)
    ]
    actions = ["ecr:BatchGetImage", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer"]
    name = _name(rehearsal, f"{algorithm}-image")
    statements = (allow(actions, repositories),)
    return Role(f"image-{algorithm}", name, f"loads the images of {algorithm!a}", (_trust(ML_SERVICE),), statements)


def output_role(rehearsal: Rehearsal, member: str) -> Role:
    """Return the role that writes outputs, logs and metrics of a member."""
    membership = arn_of("cleanrooms", "membership/", MEMBERSHIP)
    conditions = {"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnLike": {"aws:SourceArn": membership}}
    metrics = {"StringLike": {"cloudwatch:namespace": "/aws/cleanroomsml/*"}}
    logs = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    bucket = joined("arn:", PARTITION, ":s3:::", OUTPUT_LOCATION, "/*")
    return Role(
        "ml-configuration",
        _name(rehearsal, f"{member}-output"),
        f"writes outputs, logs and metrics of {member!a}",
        (_trust(ML_SERVICE, conditions),),
        (
            allow(["s3:PutObject"], [bucket], {"StringEquals": {"s3:ResourceAccount": ACCOUNT}}),
            allow(["cloudwatch:PutMetricData"], ["*"], metrics),
            allow(logs, [arn_of("logs", "log-group:/aws/cleanroomsml/*")]),
        ),
    )


def query_role(rehearsal: Rehearsal, member: str) -> Role:
    """Return the role that runs the queries of a member's ML input channels."""
    membership = arn_of("cleanrooms", "membership/", MEMBERSHIP)
    anywhere = ["cleanrooms:StartProtectedQuery", "cleanrooms:GetSchema", "cleanrooms:GetCollaborationAnalysisTemplate"]
    return Role(
        "query",
        _name(rehearsal, f"{member}-query"),
        f"runs the queries of the ML input channels of {member!a}",
        (_trust(ML_SERVICE),),
        (
            allow(anywhere, ["*"]),
            allow(["cleanrooms:GetProtectedQuery", "cleanrooms:UpdateProtectedQuery"], [membership]),
        ),
    )


def tables_role(rehearsal: Rehearsal, member: str) -> Role:
    """Return the role that reads a member's tables.

    The user guide has two trust policies for it: one trusts Clean Rooms for a membership of the collaboration, the
    other trusts Clean Rooms ML.
    """
    sources = [
        joined("arn:", PARTITION, ":cleanrooms:", REGION, ":", account_of(rehearsal, each, member), ":membership/*")
        for each in rehearsal.declaration.members
    ]
    tables = [arn_of("glue", "table/", GLUE_DATABASE, f"/{name}") for name in rehearsal.owned("tables", member)]
    catalog = [arn_of("glue", "catalog"), arn_of("glue", "database/", GLUE_DATABASE), *tables]
    reading = ("Database", "Databases", "Table", "Tables", "Partitions", "Partition")
    bucket = ("arn:", PARTITION, ":s3:::", TABLES_BUCKET)
    return Role(
        "tables",
        _name(rehearsal, f"{member}-tables"),
        f"reads the tables of {member!a}",
        (_trust(CLEANROOMS_SERVICE, {"ForAnyValue:ArnLike": {"aws:SourceArn": sources}}), _trust(ML_SERVICE)),
        (
            allow([*(f"glue:Get{each}" for each in reading), "glue:BatchGetPartition"], catalog),
            allow(["glue:GetSchema", "glue:GetSchemaVersion"], ["*"]),
            allow(["s3:ListBucket", "s3:GetBucketLocation"], [joined(*bucket)]),
            allow(["s3:GetObject"], [joined(*bucket, "/*")]),
        ),
    )


def account_of(rehearsal: Rehearsal, name: str, member: str) -> Placeholder:
    """Return the account of a member, for use by another member or the same one."""
    if name == member:
        return ACCOUNT
    account = rehearsal.declaration.members[name].account
    return Placeholder(f"ACCOUNT_{account}", f"account of the member {name!r}", account)


def allow(actions: list[str], resources: list[Any], condition: Mapping[str, Any] | None = None) -> Statement:
    """Return a statement that allows actions."""
    own = {"Condition": condition} if condition else {}
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **own}


def policy_document(statements: Sequence[Statement]) -> dict[str, Any]:
    """Return a policy as IAM takes it."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def repository_arn(uri: str) -> Joined:
    """Return the ARN of the repository of an image in ECR."""
    registry, _, path = uri.partition("/")
    account, _, _, region, *_ = registry.split(".")
    return joined("arn:", PARTITION, f":ecr:{region}:{account}:repository/{path.rpartition(':')[0] or path}")


def _trust(service: str, condition: Mapping[str, Any] | None = None) -> Statement:
    own = {"Condition": condition} if condition else {}
    return {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole", **own}


def _name(rehearsal: Rehearsal, rest: str) -> str:
    return f"{_PREFIX}-{distinct(f'{rehearsal.slug}-{rest}', _LONGEST_ROLE - len(_PREFIX) - 1)}"
