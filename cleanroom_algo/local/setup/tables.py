"""A member's table in a collaboration, made by the operations: configured, ruled, and associated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.operations.registry import LocalTerms
from cleanroom_algo.local.resources.arns import TABLE_ASSOCIATION
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.shapes import CLEANROOMS
from cleanroom_algo.local.setup.names import identifier, role


@dataclass(frozen=True, slots=True)
class TableFiles:
    """The files of a table, and what queries may do with its columns.

    Attributes:
        location: a file, or a folder of files.
        format: of the files.
        columns: that queries may use.
        join_columns: among these, those that may be compared and not read.
        templates: ARNs of the analysis templates that may use it; None allows any query.
    """

    location: Path
    format: Literal["csv", "parquet"]
    columns: Sequence[str]
    join_columns: Sequence[str] = ()
    templates: Sequence[str] | None = None


def associate_table(
    caller: Caller, owner: Record, name: str, files: TableFiles, analyses: Sequence[str], askers: Sequence[str]
) -> None:
    """Bring a table into a collaboration, unless its owner has brought it already.

    Args:
        caller: of the room's operations.
        owner: the membership of its owner.
        name: by which queries call it.
        files: of the table.
        analyses: ARNs of the associations that may use it, with wildcards.
        askers: the accounts that may query it; those with join columns may be queried by every member.
    """
    key, configured = (identifier(kind, owner.key, name) for kind in ("table-association", "table"))
    if caller.workspace.store.count(TABLE_ASSOCIATION, key=key):
        return
    call = partial(caller.call, account=owner.account, service=CLEANROOMS)
    call(
        "CreateConfiguredTable",
        {
            "name": name,
            "tableReference": {"glue": {"databaseName": "local", "tableName": name}},
            "allowedColumns": list(files.columns),
            "analysisMethod": "DIRECT_QUERY",
        },
        terms=LocalTerms(configured, str(files.location), files.format),
    )
    kind, rule = _rule(files, askers)
    table = {"configuredTableIdentifier": configured}
    call("CreateConfiguredTableAnalysisRule", {**table, **_policy(kind, rule)})
    own = {"membershipIdentifier": owner.key}
    call(
        "CreateConfiguredTableAssociation",
        {**own, **table, "name": name, "roleArn": role(owner.account)},
        terms=LocalTerms(key),
    )
    allowed = _policy(kind, {"allowedAdditionalAnalyses": list(analyses)})
    call(
        "CreateConfiguredTableAssociationAnalysisRule", {**own, "configuredTableAssociationIdentifier": key, **allowed}
    )


def _rule(files: TableFiles, askers: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return type and policy of a table's analysis rule: with join columns a list, else templates or any query."""
    if files.join_columns:
        listed = [each for each in files.columns if each not in files.join_columns]
        columns = {"joinColumns": list(files.join_columns), "listColumns": listed}
        return "LIST", {**columns, "additionalAnalyses": "ALLOWED"}
    allowed: dict[str, Any] = {"allowedAnalyses": ["ANY_QUERY"], "allowedAnalysisProviders": list(askers)}
    if files.templates is not None:
        allowed = {"allowedAnalyses": list(files.templates)}
    return "CUSTOM", {**allowed, "additionalAnalyses": "ALLOWED"}


def _policy(kind: str, rule: dict[str, Any]) -> dict[str, Any]:
    return {"analysisRuleType": kind, "analysisRulePolicy": {"v1": {kind.lower(): rule}}}
