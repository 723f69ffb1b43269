"""`cleanroom.toml`: a room declared in a file, so that requests can name what is in it.

It stands for what members do with boto3's `cleanrooms` client before they come to machine learning: a collaboration,
its members with their abilities, their tables with the columns they allow, analysis templates, the algorithm and its
association, and the ML input channels with their queries.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.contract.validation import problems_of
from cleanroom_algo.errors import DeclarationError, Problem, RequestError
from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.operations.registry import LocalTerms
from cleanroom_algo.local.resources.arns import (
    ANALYSIS_TEMPLATE,
    ASSOCIATION,
    INPUT_CHANNEL,
    MEMBERSHIP,
    Arn,
    ml_arn,
    template_arn,
)
from cleanroom_algo.local.service_model.shapes import CLEANROOMS
from cleanroom_algo.local.setup.members import create_collaboration, join
from cleanroom_algo.local.setup.names import identifier, image_uri, role
from cleanroom_algo.local.setup.tables import TableFiles, associate_table

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
    allowed_templates: tuple[str, ...] | None = None
    """Analysis templates that may use it; None allows any query of the members."""


class AlgorithmEntry(_Entry):
    """An algorithm and its association with the collaboration."""

    owner: str
    image: str
    association: Identifier | None = None
    metric_definitions: tuple[dict[str, str], ...] = ()
    privacy: dict[str, Any] = Field(default_factory=dict)
    """privacyConfiguration.policies, literally."""


class ParameterEntry(_Entry):
    """A parameter of an analysis template."""

    type: str
    """Of the API's ParameterType, such as DATE."""
    default: str | None = None


class TemplateEntry(_Entry):
    """An analysis template: SQL in which `:name` stands for a parameter."""

    owner: str
    query: str
    parameters: dict[str, ParameterEntry] = Field(default_factory=dict)


class ChannelEntry(_Entry):
    """An ML input channel, of a query or a template; its query runs when the room is declared."""

    owner: str
    algorithm: str
    query: str | None = None
    template: str | None = None
    parameters: dict[str, str] = Field(default_factory=dict)
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
    templates: dict[str, TemplateEntry] = Field(default_factory=dict)
    algorithms: dict[str, AlgorithmEntry] = Field(default_factory=dict)
    channels: dict[str, ChannelEntry] = Field(default_factory=dict)

    def faults(self) -> Iterator[Problem]:
        """Yield references to what is not declared, and entries that contradict themselves."""
        for kind in ("tables", "templates", "algorithms", "channels"):
            for name, entry in getattr(self, kind).items():
                yield from _unknown(f"{kind}.{name}.owner", entry.owner, self.members, "a member")
        yield from self._channel_faults()
        yield from self._table_faults()

    def _channel_faults(self) -> Iterator[Problem]:
        for name, channel in self.channels.items():
            yield from _unknown(f"channels.{name}.algorithm", channel.algorithm, self.algorithms, "an algorithm")
            if channel.template is not None:
                yield from _unknown(f"channels.{name}.template", channel.template, self.templates, "a template")
            if (channel.query is None) == (channel.template is None):
                yield Problem(f"channels.{name}", "needs query or template, and only one")
            elif channel.query is not None and channel.parameters:
                yield Problem(f"channels.{name}.parameters", "belong to a template")

    def _table_faults(self) -> Iterator[Problem]:
        for name, table in self.tables.items():
            for column in sorted(set(table.join_columns) - set(table.columns)):
                yield Problem(f"tables.{name}.join_columns", f"{column!r} is not among its columns")
            for template in table.allowed_templates or ():
                yield from _unknown(f"tables.{name}.allowed_templates", template, self.templates, "a template")
            if table.join_columns and table.allowed_templates is not None:
                yield Problem(
                    f"tables.{name}", "has both join_columns, of a LIST rule, and allowed_templates, of a CUSTOM rule"
                )


def _unknown(path: str, name: str, known: Mapping[str, object], what: str) -> Iterator[Problem]:
    if name not in known:
        yield Problem(path, f"{name!r} is not {what}{did_you_mean(name, known)}")


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
        expected="tables [collaboration], [members.NAME], [tables.NAME], [templates.NAME], [algorithms.NAME], "
        "[channels.NAME]",
        fix="correct the file; docs/guides describes it",
        problems=problems,
    )


def declare(caller: Caller, path: Path) -> dict[str, str]:
    """Make what a cleanroom.toml declares and the room lacks, by the operations; queries of new channels are queued.

    Args:
        caller: of the room's operations.
        path: of the file; paths in it are relative to its folder.

    Returns:
        The ARNs of the channels by name.

    Raises:
        DeclarationError: CR-ROM-006. What is in the room already stays as it is.
    """
    maker = _Maker(caller, read_declaration(path), path.absolute().parent)
    try:
        with caller.workspace.store.transaction():
            maker.make()
    except RequestError as error:
        faults = error.problems or (Problem("", error.what),)
        problems = [Problem(".".join(filter(None, (maker.at, each.path))), each.message) for each in faults]
        raise DeclarationError(
            f"{path} declares what the API refuses",
            expected=f"entries that the API takes ({error.code}: {error.expected})",
            fix="correct the file",
            problems=problems,
        ) from error
    return maker.channels


class _Maker:
    def __init__(self, caller: Caller, declaration: Declaration, folder: Path) -> None:
        self.caller = caller
        self.store = caller.workspace.store
        self.region = caller.workspace.settings.machine.region
        self.declaration = declaration
        self.folder = folder
        self.at = "collaboration"  # what is being made
        own = declaration.collaboration
        self.collaboration = own.id or identifier(own.name)
        self.memberships = {
            name: member.membership or identifier(own.name, name) for name, member in declaration.members.items()
        }
        self.associations = {
            name: self._arn(each.owner, ASSOCIATION, each.association or identifier(own.name, ASSOCIATION, name))
            for name, each in declaration.algorithms.items()
        }
        self.templates = {
            name: template_arn(
                self.region,
                declaration.members[each.owner].account,
                self.memberships[each.owner],
                identifier(own.name, ANALYSIS_TEMPLATE, name),
            )
            for name, each in declaration.templates.items()
        }
        self.channels = {
            name: self._arn(each.owner, INPUT_CHANNEL, each.id or identifier(own.name, INPUT_CHANNEL, name))
            for name, each in declaration.channels.items()
        }

    def make(self) -> None:
        members = [_specification(name, each) for name, each in self.declaration.members.items()]
        create_collaboration(self.caller, self.collaboration, self.declaration.collaboration.name, members)
        for (name, member), specification in zip(self.declaration.members.items(), members, strict=True):
            self.at = f"members.{name}"
            join(self.caller, self.collaboration, specification, self.memberships[name], member.output)
        for name, algorithm in self.declaration.algorithms.items():
            self.at = f"algorithms.{name}"
            self._algorithm(name, algorithm)
        for name, template in self.declaration.templates.items():
            self.at = f"templates.{name}"
            self._template(name, template)
        for name, table in self.declaration.tables.items():
            self.at = f"tables.{name}"
            self._table(name, table)
        for name, channel in self.declaration.channels.items():
            self.at = f"channels.{name}"
            self._channel(name, channel)

    def _table(self, name: str, table: TableEntry) -> None:
        owner = self.store.get(MEMBERSHIP, self.memberships[table.owner])
        assert owner is not None
        templates = (
            None if table.allowed_templates is None else [self.templates[each] for each in table.allowed_templates]
        )
        files = TableFiles(self.folder / table.location, table.format, table.columns, table.join_columns, templates)
        analyses = [self._analysis(each) for each in table.allowed_associations]
        askers = [member.account for member in self.declaration.members.values()]
        associate_table(self.caller, owner, name, files, analyses, askers)

    def _analysis(self, name: str) -> str:
        """Return an allowed additional analysis: of a declared algorithm, of all, or an ARN."""
        if name == "*":
            return ml_arn(ASSOCIATION, self.region, "*", "*", "*")
        return self.associations.get(name, name)

    def _algorithm(self, name: str, entry: AlgorithmEntry) -> None:
        if self.store.get(ASSOCIATION, self.associations[name]) is not None:
            return
        account = self.declaration.members[entry.owner].account
        local = self.folder / entry.image
        image = str(local.resolve()) if local.exists() else entry.image
        container: dict[str, Any] = {"imageUri": image_uri(image)}
        metrics = {"metricDefinitions": list(entry.metric_definitions)} if entry.metric_definitions else {}
        made = self.caller.call(
            "CreateConfiguredModelAlgorithm",
            {
                "name": name,
                "roleArn": role(account),
                "trainingContainerConfig": container | metrics,
                "inferenceContainerConfig": container,
            },
            account,
            terms=LocalTerms(identifier(self.declaration.collaboration.name, "algorithm", name), image),
        )
        privacy = {"privacyConfiguration": {"policies": entry.privacy}} if entry.privacy else {}
        self.caller.call(
            "CreateConfiguredModelAlgorithmAssociation",
            {
                "membershipIdentifier": self.memberships[entry.owner],
                "name": name,
                "configuredModelAlgorithmArn": made["configuredModelAlgorithmArn"],
                **privacy,
            },
            account,
            terms=LocalTerms(Arn.parse(self.associations[name]).identifier),
        )

    def _template(self, name: str, entry: TemplateEntry) -> None:
        arn = self.templates[name]
        if self.store.get(ANALYSIS_TEMPLATE, arn) is not None:
            return
        defaults = {
            key: {} if each.default is None else {"defaultValue": each.default}
            for key, each in entry.parameters.items()
        }
        declared = [{"name": key, "type": each.type, **defaults[key]} for key, each in entry.parameters.items()]
        self.caller.call(
            "CreateAnalysisTemplate",
            {
                "membershipIdentifier": self.memberships[entry.owner],
                "name": name,
                "format": "SQL",
                "source": {"text": entry.query},
                "analysisParameters": declared,
            },
            self.declaration.members[entry.owner].account,
            service=CLEANROOMS,
            terms=LocalTerms(arn.rpartition("/")[2]),
        )

    def _channel(self, name: str, entry: ChannelEntry) -> None:
        if self.store.get(INPUT_CHANNEL, self.channels[name]) is not None:
            return
        account = self.declaration.members[entry.owner].account
        sql: dict[str, Any] = {"queryString": entry.query}
        if entry.template is not None:
            sql = {"analysisTemplateArn": self.templates[entry.template], "parameters": entry.parameters}
        query = {"sqlParameters": sql, "resultFormat": entry.format}
        source = {"dataSource": {"protectedQueryInputParameters": query}, "roleArn": role(account)}
        self.caller.call(
            "CreateMLInputChannel",
            {
                "membershipIdentifier": self.memberships[entry.owner],
                "name": name,
                "configuredModelAlgorithmAssociations": [self.associations[entry.algorithm]],
                "inputChannel": source,
                "retentionInDays": entry.retention_days,
            },
            account,
            terms=LocalTerms(Arn.parse(self.channels[name]).identifier),
        )

    def _arn(self, owner: str, kind: str, own: str) -> str:
        account = self.declaration.members[owner].account
        return ml_arn(kind, self.region, account, self.memberships[owner], own)


def _specification(name: str, member: Member) -> dict[str, Any]:
    """Return a member in the form of CreateCollaboration's members."""
    paying = {"isResponsible": member.pays}
    return {
        "accountId": member.account,
        "displayName": name,
        "memberAbilities": list(member.abilities),
        "mlMemberAbilities": {"customMLMemberAbilities": list(member.ml_abilities)},
        "paymentConfiguration": {
            "queryCompute": paying,
            "machineLearning": {"modelTraining": paying, "modelInference": paying},
        },
    }
