"""`cleanroom.toml`: a room declared in a file, so that requests can name what is in it.

It stands for what members do with boto3's `cleanrooms` client before they come to machine learning: a collaboration,
its members with their abilities, their tables with the columns they allow, the algorithm and its association, and the
ML input channels with their queries.
"""

from __future__ import annotations

import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.contract.validation import problems_of
from cleanroom_algo.errors import DeclarationError, Problem
from cleanroom_algo.local.resources.arns import (
    ALGORITHM,
    ASSOCIATION,
    COLLABORATION,
    INPUT_CHANNEL,
    MEMBERSHIP,
    ML_CONFIGURATION,
    TABLE_ASSOCIATION,
)
from cleanroom_algo.local.resources.states import PENDING
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.shapes import ML, operation_model
from cleanroom_algo.local.service_model.validation import faults

if TYPE_CHECKING:
    from cleanroom_algo.local.room import Room

_NAMESPACE = uuid.UUID("c1ea2400-0000-4000-8000-00000000a191")  # for identifiers that are not pinned; any would do
Identifier = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
Account = Annotated[str, Field(pattern=r"^[0-9]{12}$")]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Member(_Entry):
    """A member; the one that pays pays for queries, training and inference."""

    account: Account
    membership: Identifier | None = None
    abilities: tuple[Literal["CAN_QUERY", "CAN_RECEIVE_RESULTS"], ...] = ()
    ml_abilities: tuple[Literal["CAN_RECEIVE_MODEL_OUTPUT", "CAN_RECEIVE_INFERENCE_OUTPUT"], ...] = ()
    pays: bool = False
    output: str | None = None
    """s3:// URI of the member's ML configuration."""


class TableEntry(_Entry):
    """A table of a member: files, the columns allowed in analyses, and those of them for comparisons only."""

    owner: str
    location: Path
    format: Literal["csv", "parquet"] = "parquet"
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    join_columns: tuple[str, ...] = ()
    allowed_associations: tuple[str, ...] = ("*",)


class AlgorithmEntry(_Entry):
    """An algorithm and its association with the collaboration."""

    owner: str
    image: str
    association: Identifier | None = None
    metric_definitions: tuple[dict[str, str], ...] = ()
    privacy: dict[str, Any] = Field(default_factory=dict)
    """privacyConfiguration.policies, literally."""


class ChannelEntry(_Entry):
    """An ML input channel; its query runs when the room is declared."""

    owner: str
    algorithm: str
    query: str
    id: Identifier | None = None
    format: Literal["CSV", "PARQUET"] = "CSV"
    retention_days: Annotated[int, Field(ge=1, le=30)] = 30


class CollaborationEntry(_Entry):
    """The collaboration itself."""

    name: str
    id: Identifier | None = None


class Declaration(_Entry):
    """A whole cleanroom.toml."""

    collaboration: CollaborationEntry
    members: Annotated[dict[str, Member], Field(min_length=1)]
    tables: dict[str, TableEntry] = Field(default_factory=dict)
    algorithms: dict[str, AlgorithmEntry] = Field(default_factory=dict)
    channels: dict[str, ChannelEntry] = Field(default_factory=dict)

    def faults(self) -> Iterator[Problem]:
        """Yield references to what is not declared."""
        for kind, entries in (("tables", self.tables), ("algorithms", self.algorithms), ("channels", self.channels)):
            for name, entry in entries.items():
                if entry.owner not in self.members:
                    hint = did_you_mean(entry.owner, self.members)
                    yield Problem(f"{kind}.{name}.owner", f"{entry.owner!r} is not a member{hint}")
        for name, channel in self.channels.items():
            if channel.algorithm not in self.algorithms:
                hint = did_you_mean(channel.algorithm, self.algorithms)
                yield Problem(f"channels.{name}.algorithm", f"{channel.algorithm!r} is not an algorithm{hint}")
        for name, table in self.tables.items():
            for column in sorted(set(table.join_columns) - set(table.columns)):
                yield Problem(f"tables.{name}.join_columns", f"{column!r} is not among its columns")


def read_declaration(path: Path) -> Declaration:
    """Read a cleanroom.toml.

    Raises:
        DeclarationError: CR-ROM-006, with all faults at once.
    """
    problems: list[Problem]
    try:
        declaration = Declaration.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        problems = [Problem("", f"cannot be read: {error.strerror}")]
    except tomllib.TOMLDecodeError as error:
        problems = [Problem("", f"is not TOML: {error}")]
    except ValidationError as error:
        problems = list(problems_of(error))
    else:
        problems = list(declaration.faults())
        if not problems:
            return declaration
    raise DeclarationError(
        f"{path} does not declare a room",
        expected="tables [collaboration], [members.NAME], [tables.NAME], [algorithms.NAME], [channels.NAME]",
        fix="correct the file; docs/guides describes it",
        problems=problems,
    )


def declare(room: Room, path: Path) -> dict[str, str]:
    """Make what a cleanroom.toml declares and the room lacks; queries of new channels are queued.

    Args:
        room: the clean room.
        path: of the file; paths in it are relative to its folder.

    Returns:
        The ARNs of the channels by name.

    Raises:
        DeclarationError: CR-ROM-006. What is in the room already stays as it is.
    """
    declaration = read_declaration(path)
    maker = _Maker(room, declaration, path.absolute().parent)
    if problems := list(maker.policy_faults()):
        raise DeclarationError(
            f"{path} declares what the API would refuse",
            expected="privacyConfiguration.policies and metricDefinitions as the API's model has them",
            fix="correct the file",
            problems=problems,
        )
    with room.store.transaction():
        maker.make()
    room.supervisor.wake()
    return maker.channels


class _Maker:
    def __init__(self, room: Room, declaration: Declaration, folder: Path) -> None:
        self.room = room
        self.declaration = declaration
        self.folder = folder
        own = declaration.collaboration
        self.collaboration = own.id or _identifier(own.name)
        self.memberships = {
            name: member.membership or _identifier(own.name, name) for name, member in declaration.members.items()
        }
        self.associations = {
            name: self._arn(each.owner, ASSOCIATION, each.association or _identifier(own.name, "association", name))
            for name, each in declaration.algorithms.items()
        }
        self.channels = {
            name: self._arn(each.owner, INPUT_CHANNEL, each.id or _identifier(own.name, "channel", name))
            for name, each in declaration.channels.items()
        }

    def policy_faults(self) -> Iterator[Problem]:
        shape = operation_model(ML, "CreateConfiguredModelAlgorithmAssociation").input_shape
        for name, entry in self.declaration.algorithms.items():
            if entry.privacy and shape is not None:
                policy = shape.members["privacyConfiguration"]
                for fault in faults(policy, {"policies": entry.privacy}):
                    yield Problem(f"algorithms.{name}.privacy.{fault.path.removeprefix('policies.')}", fault.message)

    def make(self) -> None:
        self._insert(COLLABORATION, self.collaboration, owner=None, name=self.declaration.collaboration.name)
        for name, member in self.declaration.members.items():
            self._member(name, member)
        for name, table in self.declaration.tables.items():
            self._table(name, table)
        for name, algorithm in self.declaration.algorithms.items():
            self._algorithm(name, algorithm)
        for name, channel in self.declaration.channels.items():
            self._channel(name, channel)

    def _member(self, name: str, member: Member) -> None:
        paying = {"isResponsible": member.pays}
        document = {
            "memberAbilities": list(member.abilities),
            "mlMemberAbilities": {"customMLMemberAbilities": list(member.ml_abilities)},
            "paymentConfiguration": {
                "queryCompute": paying,
                "machineLearning": {"modelTraining": paying, "modelInference": paying},
            },
        }
        self._insert(MEMBERSHIP, self.memberships[name], owner=name, name=name, status="ACTIVE", document=document)
        if member.output is not None:
            destination = {"s3Destination": {"s3Uri": member.output}}
            location = {"destination": destination, "roleArn": _role(member.account)}
            self._insert(
                ML_CONFIGURATION, self.memberships[name], owner=name, document={"defaultOutputLocation": location}
            )

    def _table(self, name: str, table: TableEntry) -> None:
        allowed = [self.associations.get(each, each) for each in table.allowed_associations]
        private = {
            "name": name,
            "location": str(self.folder / table.location),
            "format": table.format,
            "columns": list(table.columns),
            "join_columns": list(table.join_columns),
            "allowed_associations": allowed,
        }
        key = _identifier(self.declaration.collaboration.name, "table", name)
        self._insert(TABLE_ASSOCIATION, key, owner=table.owner, name=name, status="ACTIVE", private=private)

    def _algorithm(self, name: str, entry: AlgorithmEntry) -> None:
        account = self.declaration.members[entry.owner].account
        local = self.folder / entry.image
        image = str(local.resolve()) if local.exists() else entry.image
        key = f"arn:aws:cleanrooms-ml:{self.room.region}:{account}:{ALGORITHM}/" + _identifier(
            self.declaration.collaboration.name, "algorithm", name
        )
        # The model allows 255 characters; where a folder lies deeper than that, its path is kept beside the record.
        container: dict[str, Any] = {"imageUri": image[-255:]}
        training = container | (
            {"metricDefinitions": list(entry.metric_definitions)} if entry.metric_definitions else {}
        )
        document: dict[str, Any] = {
            "roleArn": _role(account),
            "trainingContainerConfig": training,
            "inferenceContainerConfig": container,
        }
        self._insert(
            ALGORITHM, key, owner=None, name=name, account=account, document=document, private={"algorithm": image}
        )
        association: dict[str, Any] = {"configuredModelAlgorithmArn": key}
        if entry.privacy:
            association["privacyConfiguration"] = {"policies": entry.privacy}
        self._insert(
            ASSOCIATION, self.associations[name], owner=entry.owner, name=name, parent=key, document=association
        )

    def _channel(self, name: str, entry: ChannelEntry) -> None:
        if self.room.store.get(INPUT_CHANNEL, self.channels[name]) is not None:
            return
        association = self.associations[entry.algorithm]
        parameters = {"sqlParameters": {"queryString": entry.query}, "resultFormat": entry.format}
        account = self.declaration.members[entry.owner].account
        source = {"dataSource": {"protectedQueryInputParameters": parameters}, "roleArn": _role(account)}
        document = {
            "configuredModelAlgorithmAssociations": [association],
            "inputChannel": source,
            "retentionInDays": entry.retention_days,
        }
        record = self._insert(
            INPUT_CHANNEL,
            self.channels[name],
            owner=entry.owner,
            name=name,
            status=PENDING,
            parent=association,
            document=document,
        )
        self.room.queue(record, hosts=1)

    def _insert(self, kind: str, key: str, *, owner: str | None, account: str = "", **more: Any) -> Record:
        existing = self.room.store.get(kind, key)
        if existing is not None:
            return existing
        if owner is not None:
            account = self.declaration.members[owner].account
        membership = self.memberships[owner] if owner is not None else ""
        collaboration = "" if kind == ALGORITHM else self.collaboration
        return self.room.store.insert(
            Record(kind=kind, key=key, account=account, membership=membership, collaboration=collaboration, **more)
        )

    def _arn(self, owner: str, kind: str, identifier: str) -> str:
        account = self.declaration.members[owner].account if owner in self.declaration.members else "0" * 12
        membership = self.memberships.get(owner, "")
        return f"arn:aws:cleanrooms-ml:{self.room.region}:{account}:{MEMBERSHIP}/{membership}/{kind}/{identifier}"


def _identifier(*names: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "/".join(names)))


def _role(account: str) -> str:
    return f"arn:aws:iam::{account}:role/cleanroom-local"
