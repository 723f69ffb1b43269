"""Configured tables, their associations with a collaboration, and the analysis rules of both.

Here, a table of AWS Glue is a file or folder, on this machine or in S3, which `[glue_tables]` of settings.toml names.
`cleanroom_algo.local.query.tables` uses what is stored here to decide what a query may do with a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.errors import ConflictError, NotEmulatedError, Problem
from cleanroom_algo.local.objects.s3 import SCHEME
from cleanroom_algo.local.operations.authorization import in_account, in_membership, not_found, own_membership
from cleanroom_algo.local.operations.collaborations import membership_arn
from cleanroom_algo.local.operations.projections import show_one, show_page, times
from cleanroom_algo.local.operations.registry import Call, cleanrooms_operation
from cleanroom_algo.local.resources.arns import (
    CONFIGURED_TABLE,
    PRIVACY_BUDGET,
    TABLE_ASSOCIATION,
    cleanrooms_arn,
)
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.validation import invalid

_NOT_EMULATED: Final = ("differentialPrivacy", "aggregationThresholds", "comparisonControls")


@cleanrooms_operation("CreateConfiguredTable")
def create_table(call: Call) -> Mapping[str, Any]:
    """Register a table of AWS Glue, with the columns that can be used."""
    _check_emulated(call)
    location = call.terms.location or _glue_location(call, call.params["tableReference"]["glue"])
    record = call.store.insert(
        Record(
            kind=CONFIGURED_TABLE,
            key=call.new_identifier(),
            account=call.account,
            name=call.params["name"],
            document={**call.given("tags"), "tableType": "GLUE"},
            private={**call.terms.kept, "location": location},
        )
    )
    return show_one(call, _table(call, record))


@cleanrooms_operation("GetConfiguredTable")
def get_table(call: Call) -> Mapping[str, Any]:
    """Return a table of the caller."""
    return show_one(call, _table(call, _own_table(call)))


@cleanrooms_operation("ListConfiguredTables")
def list_tables(call: Call) -> Mapping[str, Any]:
    """Return the tables of the caller, the latest first."""

    def find(before: int | None, limit: int) -> Sequence[Record]:
        return call.store.find(CONFIGURED_TABLE, before=before, limit=limit, account=call.account)

    return show_page(call, find, describe=_table)


@cleanrooms_operation("UpdateConfiguredTable")
def update_table(call: Call) -> Mapping[str, Any]:
    """Change a table: its name, its location, or its columns; its rule must still fit them."""
    table = _own_table(call)
    _check_emulated(call)
    changes = call.given("configuredTableIdentifier")
    rules = table.document.get("rules", {})
    columns = changes.get("allowedColumns", table.document["allowedColumns"])
    if problems := [fault for policy in rules.values() for fault in _column_faults(policy, columns)]:
        raise ConflictError(
            "the table's analysis rule has columns that would no longer be allowed",
            expected="allowedColumns that include the columns of the rule",
            fix="update or delete the analysis rule first",
            problems=problems,
        )
    private = {}
    if "tableReference" in changes:
        private = {"location": _glue_location(call, changes["tableReference"]["glue"]), "format": None}
    name = call.params.get("name")
    return show_one(call, _table(call, call.store.update(table, name=name, document=changes, private=private)))


@cleanrooms_operation("DeleteConfiguredTable")
def delete_table(call: Call) -> Mapping[str, Any]:
    """Remove a table that is in no collaboration, with its analysis rule."""
    table = _own_table(call)
    if call.store.count(TABLE_ASSOCIATION, parent=table.key):
        raise ConflictError(
            "the table is in a collaboration",
            expected="a table without associations",
            fix="delete its associations first: DeleteConfiguredTableAssociation",
        )
    call.store.delete(table)
    return {}


@cleanrooms_operation("CreateConfiguredTableAnalysisRule")
def create_table_rule(call: Call) -> Mapping[str, Any]:
    """Set what queries may do with a table."""
    table = _own_table(call)
    _without_rule(table)
    kind, policy = _table_policy(call, table)
    return show_one(call, _table_rule(call, _with_rule(call, table, kind, policy), kind))


@cleanrooms_operation("GetConfiguredTableAnalysisRule")
def get_table_rule(call: Call) -> Mapping[str, Any]:
    """Return an analysis rule of a table of the caller."""
    return show_one(call, _table_rule(call, _own_table(call), call.params["analysisRuleType"]))


@cleanrooms_operation("UpdateConfiguredTableAnalysisRule")
def update_table_rule(call: Call) -> Mapping[str, Any]:
    """Replace the policy of a table by one of the same type; existing channels stay."""
    table = _own_table(call)
    _held_policy(table, call.params["analysisRuleType"])
    kind, policy = _table_policy(call, table)
    return show_one(call, _table_rule(call, _with_rule(call, table, kind, policy), kind))


@cleanrooms_operation("DeleteConfiguredTableAnalysisRule")
def delete_table_rule(call: Call) -> Mapping[str, Any]:
    """Remove the analysis rule of a table, which can then not be queried."""
    return _delete_rule(call, _own_table(call))


@cleanrooms_operation("CreateConfiguredTableAssociation")
def create_association(call: Call) -> Mapping[str, Any]:
    """Associate a table with a collaboration, under its name in queries."""
    membership = own_membership(call)
    table = _own_table(call)
    store, name = call.store, call.params["name"]
    others = store.find(TABLE_ASSOCIATION, collaboration=membership.collaboration)
    if any(each.name.lower() == name.lower() for each in others):  # queries ignore case
        raise ConflictError(
            "the collaboration already has a table with this name",
            expected="a unique name, because queries refer to tables by name",
            fix="choose another name",
        )
    record = store.insert(
        Record(
            kind=TABLE_ASSOCIATION,
            key=call.new_identifier(),
            account=call.account,
            membership=membership.key,
            collaboration=membership.collaboration,
            parent=table.key,
            name=name,
            status="ACTIVE",
            document=call.given("configuredTableIdentifier", "tags"),
        )
    )
    return show_one(call, _association(call, record))


@cleanrooms_operation("GetConfiguredTableAssociation")
def get_association(call: Call) -> Mapping[str, Any]:
    """Return a table association of the caller's membership."""
    return show_one(call, _association(call, _own_association(call)))


@cleanrooms_operation("ListConfiguredTableAssociations")
def list_associations(call: Call) -> Mapping[str, Any]:
    """Return the table associations of the caller's membership, the latest first."""
    key = own_membership(call).key

    def find(before: int | None, limit: int) -> Sequence[Record]:
        return call.store.find(TABLE_ASSOCIATION, before=before, limit=limit, membership=key)

    return show_page(call, find, describe=_association)


@cleanrooms_operation("UpdateConfiguredTableAssociation")
def update_association(call: Call) -> Mapping[str, Any]:
    """Change the description or the role of a table association."""
    changes = call.given("configuredTableAssociationIdentifier")
    return show_one(call, _association(call, call.store.update(_own_association(call), document=changes)))


@cleanrooms_operation("DeleteConfiguredTableAssociation")
def delete_association(call: Call) -> Mapping[str, Any]:
    """Remove a table from a collaboration; existing channels stay."""
    association = _own_association(call)
    for budget in call.store.find(PRIVACY_BUDGET, parent=association.key):
        call.store.delete(budget)
    call.store.delete(association)
    return {}


@cleanrooms_operation("CreateConfiguredTableAssociationAnalysisRule")
def create_association_rule(call: Call) -> Mapping[str, Any]:
    """Set which ML algorithms may use results of queries on a table in this collaboration."""
    association = _own_association(call)
    _without_rule(association)
    kind, policy = _policy(call)
    table = call.store.get(CONFIGURED_TABLE, association.parent)
    if table is None or kind not in table.document.get("rules", {}):
        raise invalid(call.operation, [Problem("analysisRuleType", "is not the type of the table's own analysis rule")])
    return show_one(call, _association_rule(call, _with_rule(call, association, kind, policy), kind))


@cleanrooms_operation("GetConfiguredTableAssociationAnalysisRule")
def get_association_rule(call: Call) -> Mapping[str, Any]:
    """Return an analysis rule of a table association of the caller's membership."""
    return show_one(call, _association_rule(call, _own_association(call), call.params["analysisRuleType"]))


@cleanrooms_operation("UpdateConfiguredTableAssociationAnalysisRule")
def update_association_rule(call: Call) -> Mapping[str, Any]:
    """Replace the policy of a table association by one of the same type."""
    association = _own_association(call)
    _held_policy(association, call.params["analysisRuleType"])
    kind, policy = _policy(call)
    return show_one(call, _association_rule(call, _with_rule(call, association, kind, policy), kind))


@cleanrooms_operation("DeleteConfiguredTableAssociationAnalysisRule")
def delete_association_rule(call: Call) -> Mapping[str, Any]:
    """Remove the analysis rule of a table association."""
    return _delete_rule(call, _own_association(call))


def _check_emulated(call: Call) -> None:
    if (
        "glue" not in call.params.get("tableReference", {"glue": {}})
        or call.params.get("analysisMethod") == "DIRECT_JOB"
    ):
        raise NotEmulatedError(
            "only tables of AWS Glue for queries are emulated",
            expected="tableReference.glue, and an analysisMethod with DIRECT_QUERY",
            fix="export the table to CSV or Parquet files, and name them in [glue_tables] of settings.toml",
        )


def _glue_location(call: Call, glue: Mapping[str, str]) -> str:
    """Return the local path of a table of AWS Glue.

    Raises:
        InvalidRequestError: CR-REQ-001, it is not in the settings, or the path does not exist.
    """
    name, known = f"{glue['databaseName']}.{glue['tableName']}", call.settings.glue_tables
    if name not in known:
        problem = f"names {name}, which is not in settings.toml, table [glue_tables]{did_you_mean(name, known)}"
        raise invalid(call.operation, [Problem("tableReference.glue", problem)])
    if known[name].startswith(SCHEME):  # is listed when it is read
        return known[name]
    location = call.workspace.files.home / known[name]
    if not location.exists():
        problem = f"names {name}, but its location in [glue_tables] of settings.toml does not exist: {location}"
        raise invalid(call.operation, [Problem("tableReference.glue", problem)])
    return str(location)


def _own_table(call: Call) -> Record:
    return in_account(call, CONFIGURED_TABLE, call.params["configuredTableIdentifier"])


def _own_association(call: Call) -> Record:
    return in_membership(call, TABLE_ASSOCIATION, call.params["configuredTableAssociationIdentifier"])


def _policy(call: Call) -> tuple[str, Mapping[str, Any]]:
    """Return type and policy of a rule.

    Raises:
        InvalidRequestError: CR-REQ-001, they contradict each other.
        NotEmulatedError: CR-REQ-007, queries here cannot follow the rule.
    """
    kind: str = call.params["analysisRuleType"]
    ((name, policy),) = call.params["analysisRulePolicy"]["v1"].items()
    if name != kind.lower():
        raise invalid(call.operation, [Problem("analysisRulePolicy.v1", f"has {name}, but analysisRuleType is {kind}")])
    missing = [each for each in _NOT_EMULATED if each in policy]
    if name == "aggregation" or missing:
        raise NotEmulatedError(
            f"{', '.join(missing) or 'rules of type AGGREGATION'}: not emulated",
            expected="a rule of type LIST, or of type CUSTOM without privacy, thresholds and comparison controls",
            fix="use such a rule; models are trained on rows, and an aggregation does not return rows",
        )
    return kind, policy


def _table_policy(call: Call, table: Record) -> tuple[str, Mapping[str, Any]]:
    kind, policy = _policy(call)
    if problems := [*_column_faults(policy, table.document["allowedColumns"]), *_provider_faults(policy)]:
        raise invalid(call.operation, problems)
    return kind, policy


def _column_faults(policy: Mapping[str, Any], allowed: Sequence[str]) -> Iterator[Problem]:
    for part in ("joinColumns", "listColumns", "disallowedOutputColumns"):
        for index, column in enumerate(policy.get(part, ())):
            if column not in allowed:
                yield Problem(f"analysisRulePolicy.v1.{part}[{index}]", "is not among the table's allowedColumns")
    for index, column in enumerate(policy.get("listColumns", ())):
        if column in policy["joinColumns"]:
            yield Problem(f"analysisRulePolicy.v1.listColumns[{index}]", "is also a join column")


def _provider_faults(policy: Mapping[str, Any]) -> Iterator[Problem]:
    if "ANY_QUERY" in policy.get("allowedAnalyses", ()) and not policy.get("allowedAnalysisProviders"):
        path = "analysisRulePolicy.v1.custom.allowedAnalysisProviders"
        yield Problem(path, "is required with ANY_QUERY: the accounts whose queries the rule allows")


def _without_rule(record: Record) -> None:
    if rules := record.document.get("rules"):
        raise ConflictError(
            f"an analysis rule of type {next(iter(rules))} already exists",
            expected="one rule for a table, and one for its association",
            fix="update the rule, or delete it first",
        )


def _with_rule(call: Call, record: Record, kind: str, policy: Mapping[str, Any]) -> Record:
    return call.store.update(record, document={"rules": {kind: policy}})


def _delete_rule(call: Call, record: Record) -> Mapping[str, Any]:
    _held_policy(record, call.params["analysisRuleType"])
    call.store.update(record, document={"rules": None})
    return {}


def _held_policy(record: Record, kind: str) -> Mapping[str, Any]:
    """Return the policy of a rule.

    Raises:
        ResourceNotFoundError: CR-REQ-003, there is no rule of this type.
    """
    rules: Mapping[str, Mapping[str, Any]] = record.document.get("rules", {})
    if kind not in rules:
        raise not_found("analysis-rule", record.kind.replace("-", " "))
    return rules[kind]


def _table(call: Call, record: Record) -> dict[str, Any]:
    return {
        **record.document,
        **times(record),
        "id": record.key,
        "arn": cleanrooms_arn(call.region, record.account, "configuredtable", record.key),
        "name": record.name,
        "analysisRuleTypes": list(record.document.get("rules", {})),
    }


def _association(call: Call, record: Record) -> dict[str, Any]:
    membership = own_membership(call)
    return {
        **record.document,
        **times(record),
        "id": record.key,
        "arn": cleanrooms_arn(call.region, record.account, "configuredtableassociation", record.membership, record.key),
        "name": record.name,
        "configuredTableId": record.parent,
        "configuredTableArn": cleanrooms_arn(call.region, record.account, "configuredtable", record.parent),
        "membershipId": membership.key,
        "membershipArn": membership_arn(call, membership),
        "analysisRuleTypes": list(record.document.get("rules", {})),
    }


def _table_rule(call: Call, record: Record, kind: str) -> dict[str, Any]:
    table = _table(call, record)
    return {**_rule(record, kind), "configuredTableId": table["id"], "configuredTableArn": table["arn"]}


def _association_rule(call: Call, record: Record, kind: str) -> dict[str, Any]:
    association = _association(call, record)
    own = {"configuredTableAssociationId": association["id"], "configuredTableAssociationArn": association["arn"]}
    return {**_rule(record, kind), **own, "membershipIdentifier": record.membership}


def _rule(record: Record, kind: str) -> dict[str, Any]:
    return {**times(record), "type": kind, "policy": {"v1": {kind.lower(): _held_policy(record, kind)}}}
