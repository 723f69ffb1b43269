"""A rehearsal, in one form: a declared room, or an algorithm that was trained without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.errors import NoSuchRecordError
from cleanroom_algo.local.deploy.placeholders import (
    ACCOUNT,
    MEMBERSHIP,
    PARTITION,
    Joined,
    Placeholder,
    distinct,
    identifier,
    joined,
    ml_arn,
)
from cleanroom_algo.local.deploy.repositories import is_in_ecr
from cleanroom_algo.local.resources.arns import ALGORITHM, ASSOCIATION, INPUT_CHANNEL
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.setup.declaration import (
    AlgorithmEntry,
    ChannelEntry,
    CollaborationEntry,
    Declaration,
    Member,
)

AUTHOR: Final = "author"
"""The only member of a room that was not declared."""
OUTPUT_LOCATION: Final = Placeholder("OUTPUT_LOCATION", "bucket and prefix for outputs, without s3://", "bucket/prefix")


@dataclass(frozen=True, slots=True)
class Image:
    """An image of an algorithm.

    Attributes:
        algorithm: its name.
        kind: "" for the image that trains, "-inference" for a separate one that predicts.
        uri: of an existing image; None for one that is still to be pushed.
    """

    algorithm: str
    kind: str
    uri: str | None

    @property
    def repository(self) -> str:
        """The name of its repository in ECR."""
        return f"cleanrooms-ml/{distinct(self.algorithm + self.kind, 100)}"

    @property
    def placeholder(self) -> Placeholder:
        """Its URI."""
        name = f"IMAGE_URI_{identifier(self.algorithm + self.kind)}"
        example = f"111122223333.dkr.ecr.us-east-1.amazonaws.com/{self.repository}:1"
        return Placeholder(name, f"URI of the image of {self.algorithm!r}", example)

    @property
    def value(self) -> str | Placeholder:
        """Its URI, if it is known, or a placeholder."""
        return self.uri or self.placeholder


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A room and the jobs that ran in it.

    Attributes:
        declaration: of the room.
        jobs: records of the trained models and inference jobs to repeat, by the name of the member that started them.
        tables: the tables of channels whose query lacks only them.
        names: of algorithms, by the ARN of their local association, if they have other names on AWS.
    """

    declaration: Declaration
    jobs: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    tables: Mapping[str, Placeholder] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """A short name of the collaboration, for names of resources in an account."""
        return distinct(self.declaration.collaboration.name, 24)

    @property
    def creator(self) -> str:
        """The member who creates the collaboration: the first."""
        return next(iter(self.declaration.members))

    def known_values(self, member: str) -> dict[str, str]:
        """Return the values of placeholders that a declared room contains, for one of its members."""
        entries = self.declaration.members
        if list(entries) == [AUTHOR]:
            return {}
        others = {f"{ACCOUNT.name}_{each.account}": each.account for each in entries.values()}
        output = (entries[member].output or "").removeprefix("s3://").rstrip("/")
        location = {OUTPUT_LOCATION.name: output} if output else {}
        return {**others, ACCOUNT.name: entries[member].account, **location}

    def member(self, name: str) -> str:
        """Return the name of a member.

        Raises:
            NoSuchRecordError: CR-CLI-007, the room has no member with this name.
        """
        if name not in self.declaration.members:
            raise NoSuchRecordError(
                f"the room has no member {name!r}{did_you_mean(name, self.declaration.members)}",
                expected=f"one of {', '.join(self.declaration.members)}",
                fix="name one of them",
            )
        return name

    def owned(self, kind: str, member: str) -> dict[str, Any]:
        """Return the entries of a kind (`algorithms`, `channels`, `tables`, `templates`) that a member owns."""
        entries: Mapping[str, Any] = getattr(self.declaration, kind)
        return {name: each for name, each in entries.items() if each.owner == member}

    def images(self, name: str) -> tuple[Image, ...]:
        """Return the image of an algorithm that trains, and the one that predicts if there is a separate one."""
        entry = self.declaration.algorithms[name]
        training = Image(name, "", _uri(entry.image))
        own = entry.inference_image
        return (training,) if own in (None, entry.image) else (training, Image(name, "-inference", _uri(own or "")))


def declaration_of_algorithm(
    name: str,
    image: str,
    container: Mapping[str, Any],
    policies: Mapping[str, Any],
    channels: Mapping[str, str],
) -> Declaration:
    """Return a room of one member for an algorithm without a cleanroom.toml.

    Args:
        name: of the algorithm.
        image: of the algorithm, or its path.
        container: entrypoint, arguments and metricDefinitions, if it has them.
        policies: of its privacy configuration.
        channels: queries, by the name of the channel.
    """
    algorithm = AlgorithmEntry(
        owner=AUTHOR,
        image=image,
        entrypoint=tuple(container.get("entrypoint", ())),
        arguments=tuple(container.get("arguments", ())),
        metric_definitions=tuple(container.get("metricDefinitions", ())),
        privacy=dict(policies),
    )
    member = Member(
        account=ACCOUNT.example,
        abilities=("CAN_QUERY",),
        ml_abilities=("CAN_RECEIVE_MODEL_OUTPUT", "CAN_RECEIVE_INFERENCE_OUTPUT"),
        pays=True,
        output="s3://",  # not known: a parameter of the template without a default
    )
    return Declaration(
        collaboration=CollaborationEntry(name=name),
        members={AUTHOR: member},
        algorithms={name: algorithm},
        channels={each: ChannelEntry(owner=AUTHOR, algorithm=name, query=query) for each, query in channels.items()},
    )


def association_arn(name: str) -> Placeholder:
    """Return the ARN of the association of an algorithm."""
    return ml_arn(f"ASSOCIATION_{identifier(name)}_ARN", f"ARN of the association of {name!r}", ASSOCIATION)


def channel_arn(name: str) -> Placeholder:
    """Return the ARN of an ML input channel."""
    return ml_arn(f"CHANNEL_{identifier(name)}_ARN", f"ARN of the ML input channel {name!r}", INPUT_CHANNEL)


def algorithm_arn(name: str) -> Placeholder:
    """Return the ARN of a configured model algorithm."""
    example = f"arn:aws:cleanrooms-ml:us-east-1:{ACCOUNT.example}:{ALGORITHM}/1"
    return Placeholder(f"ALGORITHM_{identifier(name)}_ARN", f"ARN of the configured model algorithm {name!r}", example)


def template_arn(name: str) -> Placeholder:
    """Return the ARN of an analysis template."""
    example = f"arn:aws:cleanrooms:us-east-1:{ACCOUNT.example}:membership/{MEMBERSHIP.example}/analysistemplate/1"
    return Placeholder(f"TEMPLATE_{identifier(name)}_ARN", f"ARN of the analysis template {name!r}", example)


def output_uri(member: str) -> Placeholder:
    """Return the location for a member's outputs."""
    return Placeholder("OUTPUT_URI", f"URI (s3://) for outputs of {member!r}", "s3://bucket/prefix")


def role_arn(name: str) -> Joined:
    """Return the ARN of a role of the member's account."""
    return joined("arn:", PARTITION, ":iam::", ACCOUNT, f":role/{name}")


def _uri(image: str) -> str | None:
    return image if is_in_ecr(image) and "@" not in image else None
