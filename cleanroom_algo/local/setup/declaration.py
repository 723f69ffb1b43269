"""`cleanroom.toml`: declares a room in a file, so that requests can name its resources.

It replaces what members do with boto3's `cleanrooms` client before machine learning: create a collaboration with
members and their abilities, tables with their allowed columns, analysis templates, the algorithm with its association,
and the ML input channels with their queries.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.contract.validation import problems_of
from cleanroom_algo.errors import DeclarationError, Problem
from cleanroom_algo.local.resources.settings import QueryEngine

Identifier = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
Account = Annotated[str, Field(pattern=r"^[0-9]{12}$")]
COLUMN_NAME: Final = re.compile(r"[a-z0-9_](([a-z0-9_ ]+-)*([a-z0-9_ ]+))?")
"""Of a table in Clean Rooms (botocore model of cleanrooms, ColumnName)."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Member(_Entry):
    """A member; the payer pays for queries, training and inference."""

    account: Account
    membership: Identifier | None = None
    abilities: tuple[Literal["CAN_QUERY", "CAN_RECEIVE_RESULTS"], ...] = ()
    ml_abilities: tuple[Literal["CAN_RECEIVE_MODEL_OUTPUT", "CAN_RECEIVE_INFERENCE_OUTPUT"], ...] = ()
    pays: bool = False
    output: str | None = None
    """s3:// URI of the member's ML configuration."""


class TableEntry(_Entry):
    """A table of a member: files, the columns allowed in analyses, and those of them that can only be compared."""

    owner: str
    location: str
    format: Literal["csv", "parquet"] = "parquet"
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    join_columns: tuple[str, ...] = ()
    allowed_associations: tuple[str, ...] = ("*",)
    allowed_templates: tuple[str, ...] | None = None
    """Analysis templates that may use it; None allows any query of the members."""
    access_budget: dict[Literal["CALENDAR_DAY", "CALENDAR_WEEK", "CALENDAR_MONTH", "LIFETIME"], int] | None = None
    """How many queries may use it: in each period, in all, or both."""


class AlgorithmEntry(_Entry):
    """An algorithm and its association with the collaboration."""

    owner: str
    image: str
    inference_image: str | None = None
    """A separate image for inference; by default, `image` is used for both."""
    entrypoint: tuple[str, ...] = ()
    """The program that trains, instead of the image's; the service has no such parameter for inference."""
    arguments: tuple[str, ...] = ()
    """Arguments of training, instead of the word `train`."""
    association: Identifier | None = None
    metric_definitions: tuple[dict[str, str], ...] = ()
    privacy: dict[str, Any] = Field(default_factory=dict)
    """privacyConfiguration.policies, literally."""


class ParameterEntry(_Entry):
    """A parameter of an analysis template."""

    type: str
    """A value of the API's ParameterType, such as DATE."""
    default: str | None = None


class SyntheticEntry(_Entry):
    """Rows to generate instead of a template's own."""

    epsilon: float
    max_attack_score: float
    """The service's maxMembershipInferenceAttackScore."""
    categorical: tuple[str, ...] = ()
    numerical: tuple[str, ...] = ()
    predictive: tuple[str, ...] = ()
    """The column to predict, which is one of the above."""


class TemplateEntry(_Entry):
    """An analysis template: SQL in which `:name` is a parameter."""

    owner: str
    query: str
    parameters: dict[str, ParameterEntry] = Field(default_factory=dict)
    synthetic: SyntheticEntry | None = None


class ChannelEntry(_Entry):
    """An ML input channel with a query or a template; its query runs when the room is declared."""

    owner: str
    algorithm: str
    query: str | None = None
    template: str | None = None
    parameters: dict[str, str] = Field(default_factory=dict)
    id: Identifier | None = None
    format: Literal["CSV", "PARQUET"] = "CSV"
    retention_days: Annotated[int, Field(ge=1, le=30)] = 30


class QueriesEntry(_Entry):
    """The engine for the queries of the channels."""

    engine: QueryEngine | None = None
    """By default, that of settings.toml."""
    spark: dict[str, str] = Field(default_factory=dict)
    """Properties of Spark, in addition to those of settings.toml."""


class CollaborationEntry(_Entry):
    """The collaboration itself."""

    name: str
    id: Identifier | None = None


class Declaration(_Entry):
    """A complete cleanroom.toml."""

    collaboration: CollaborationEntry
    queries: QueriesEntry = QueriesEntry()
    members: Annotated[dict[str, Member], Field(min_length=1)]
    tables: dict[str, TableEntry] = Field(default_factory=dict)
    templates: dict[str, TemplateEntry] = Field(default_factory=dict)
    algorithms: dict[str, AlgorithmEntry] = Field(default_factory=dict)
    channels: dict[str, ChannelEntry] = Field(default_factory=dict)

    def faults(self) -> Iterator[Problem]:
        """Yield references to what is not declared, and contradictory entries."""
        for kind in ("tables", "templates", "algorithms", "channels"):
            for name, entry in getattr(self, kind).items():
                yield from _unknown(f"{kind}.{name}.owner", entry.owner, self.members, "a member")
        for name, template in self.templates.items():
            if template.synthetic is not None:
                known = dict.fromkeys((*template.synthetic.categorical, *template.synthetic.numerical))
                for column in template.synthetic.predictive:
                    yield from _unknown(f"templates.{name}.synthetic.predictive", column, known, "among the columns")
        yield from self._channel_faults()
        yield from self._table_faults()

    def _channel_faults(self) -> Iterator[Problem]:
        for name, channel in self.channels.items():
            yield from _unknown(f"channels.{name}.algorithm", channel.algorithm, self.algorithms, "an algorithm")
            if channel.template is not None:
                yield from _unknown(f"channels.{name}.template", channel.template, self.templates, "a template")
            if (channel.query is None) == (channel.template is None):
                yield Problem(f"channels.{name}", "needs exactly one of query and template")
            elif channel.query is not None and channel.parameters:
                yield Problem(f"channels.{name}.parameters", "are allowed only with template")

    def _table_faults(self) -> Iterator[Problem]:
        for name, table in self.tables.items():
            for column in table.columns:
                if not COLUMN_NAME.fullmatch(column):
                    what = "has characters other than lowercase letters, digits, _, - and spaces; rename the column"
                    yield Problem(f"tables.{name}.columns", f"{column!r} {what}")
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
        DeclarationError: CR-ROM-006, with all faults.
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
        expected="tables [collaboration], [queries], [members.NAME], [tables.NAME], [templates.NAME], "
        "[algorithms.NAME], [channels.NAME]",
        fix="correct the file; docs/guides/declare-a-room.md describes it",
        problems=problems,
    )
