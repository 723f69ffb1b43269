"""Schemas: the tables of a collaboration in the view of all its members, with their columns and rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cleanroom_algo.errors import ConflictError, ResourceNotFoundError, TableUnreadableError
from cleanroom_algo.local.operations.authorization import not_found, own_collaboration
from cleanroom_algo.local.operations.collaborations import membership_and_collaboration
from cleanroom_algo.local.operations.projections import show_members, show_one, show_page, times
from cleanroom_algo.local.operations.registry import Call, cleanrooms_operation
from cleanroom_algo.local.resources.arns import (
    COLLABORATION,
    CONFIGURED_TABLE,
    MEMBERSHIP,
    TABLE_ASSOCIATION,
    cleanrooms_arn,
)
from cleanroom_algo.local.resources.store import Record


@cleanrooms_operation("ListSchemas")
def list_schemas(call: Call) -> Mapping[str, Any]:
    """Return the tables of all members, the latest first."""
    key = own_collaboration(call)
    of_tables = call.params.get("schemaType", "TABLE") == "TABLE"

    def find(before: int | None, limit: int) -> Sequence[Record]:
        return call.store.find(TABLE_ASSOCIATION, before=before, limit=limit, collaboration=key) if of_tables else []

    return show_page(call, find, describe=_summary)


@cleanrooms_operation("GetSchema")
def get_schema(call: Call) -> Mapping[str, Any]:
    """Return a table with the columns that queries may use."""
    return show_one(call, _schema(call, _named(call, call.params["name"])))


@cleanrooms_operation("BatchGetSchema")
def get_schemas(call: Call) -> Mapping[str, Any]:
    """Return several tables; missing ones are listed in `errors`."""
    found, errors = [], []
    for name in call.params["names"]:
        try:
            found.append(_schema(call, _named(call, name)))
        except ResourceNotFoundError as error:
            errors.append({"name": name, "code": "ResourceNotFoundException", "message": error.what})
    return {**show_members(call, "schemas", found), "errors": errors}


@cleanrooms_operation("GetSchemaAnalysisRule")
def get_schema_rule(call: Call) -> Mapping[str, Any]:
    """Return the analysis rule of a table, and that of its association."""
    association, kind = _named(call, call.params["name"]), call.params["type"]
    table = _table(call, association)
    rules = table.document.get("rules", {})
    if kind not in rules:
        raise not_found("analysis-rule", "table")
    values = {**times(table), "collaborationId": association.collaboration, "type": kind, "name": association.name}
    values["policy"] = {"v1": {kind.lower(): rules[kind]}}
    if own := association.document.get("rules"):
        values["collaborationPolicy"] = {"v1": {kind.lower(): own[kind]}}
    return show_one(call, values)


def _named(call: Call, name: str) -> Record:
    for each in call.store.find(TABLE_ASSOCIATION, collaboration=own_collaboration(call)):
        if each.name.lower() == name.lower():  # queries ignore case
            return each
    raise not_found("table", COLLABORATION)


def _table(call: Call, association: Record) -> Record:
    table = call.store.get(CONFIGURED_TABLE, association.parent)
    assert table is not None
    return table


def _summary(call: Call, association: Record) -> dict[str, Any]:
    table = _table(call, association)
    path = (MEMBERSHIP, association.membership, "configuredtableassociation", association.key)
    return {
        **times(association),
        **membership_and_collaboration(call, association),
        "name": association.name,
        "type": "TABLE",
        "creatorAccountId": association.account,
        "analysisRuleTypes": list(table.document.get("rules", {})),
        "analysisMethod": table.document["analysisMethod"],
        "resourceArn": cleanrooms_arn(call.region, association.account, *path),
    }


def _schema(call: Call, association: Record) -> dict[str, Any]:
    from cleanroom_algo.local.query.engines.database import column_types  # importing duckdb takes time
    from cleanroom_algo.local.query.tables import whole_table

    table = _table(call, association)
    try:
        columns = column_types(whole_table(association, table), call.settings.machine.s3_url)
    except TableUnreadableError as error:
        raise ConflictError(error.what, expected=error.expected, fix=error.fix) from None
    return {
        **_summary(call, association),
        "description": association.document.get("description", ""),
        "columns": [{"name": name, "type": kind} for name, kind in columns.items()],
        "partitionKeys": [],
        "schemaStatusDetails": [_status(association, table)],
        "schemaTypeProperties": {"configuredTableAssociation": {"configuredTableAssociationId": association.key}},
    }


def _status(association: Record, table: Record) -> dict[str, Any]:
    reasons = [{"code": code, "message": message} for code, message in _reasons(association, table)]
    status = {
        "status": "NOT_READY" if reasons else "READY",
        "analysisType": "ADDITIONAL_ANALYSIS",
        "analysisRuleType": next(iter(table.document.get("rules", {})), None),
        "reasons": reasons,
    }
    return {name: value for name, value in status.items() if value}


def _reasons(association: Record, table: Record) -> Iterator[tuple[str, str]]:
    """Yield why queries for machine learning cannot use a table."""
    rules: Mapping[str, Any] = table.document.get("rules", {})
    if not rules:
        yield "ANALYSIS_RULE_MISSING", "The table has no analysis rule."
        return
    ((kind, rule),) = rules.items()
    if rule.get("additionalAnalyses") not in ("ALLOWED", "REQUIRED"):
        yield "ADDITIONAL_ANALYSES_NOT_ALLOWED", "The analysis rule of the table does not allow additional analyses."
    if kind == "CUSTOM" and not rule["allowedAnalyses"]:
        yield "ANALYSIS_TEMPLATES_NOT_CONFIGURED", "The analysis rule of the table allows no analyses."
    if not association.document.get("rules"):
        yield "COLLABORATION_ANALYSIS_RULE_NOT_CONFIGURED", "The association of the table has no analysis rule."
