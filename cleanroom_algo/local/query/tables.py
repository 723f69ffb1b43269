"""The tables and columns that a query can see: what the owners' analysis rules allow.

(Clean Rooms user guide, "Analysis rules in AWS Clean Rooms", "Analysis templates in AWS Clean Rooms" and "Associating
the configured model algorithm": a table without a rule cannot be queried; for machine learning its rule must allow
additional analyses, and the rule of its association must name the configured model algorithm association, or a
wildcard.)
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from cleanroom_algo.local.objects.listing import source_of
from cleanroom_algo.local.query.table import Table, TableAccess
from cleanroom_algo.local.resources.arns import ANALYSIS_TEMPLATE, CONFIGURED_TABLE, MEMBERSHIP, TABLE_ASSOCIATION
from cleanroom_algo.local.resources.store import Record, Store


def table_access(
    store: Store, collaboration: str, algorithm: str, account: str, template: Record | None = None
) -> TableAccess:
    """Return the tables that a query for a configured model algorithm association can see.

    Args:
        store: of the room.
        collaboration: identifier.
        algorithm: ARN of the association for which the query's channel is.
        account: of the caller.
        template: the query's analysis template; None for a query without one.
    """
    tables: list[Table] = []
    hidden: dict[str, str] = {}
    for association in store.find(TABLE_ASSOCIATION, collaboration=collaboration):
        configured = store.get(CONFIGURED_TABLE, association.parent)
        assert configured is not None
        why = _unusable(association, configured, algorithm, account, template)
        if why:
            hidden[association.name] = why
        else:
            tables.append(_configured(association, configured))
    return TableAccess(tuple(tables), hidden)


class ColumnAccess(NamedTuple):
    """The allowed use of some columns of a table.

    Attributes:
        columns: by name.
        use: `read`; `compared`, for equality with columns of tables; or `used`, but not in the output.
        by: names of members, and `template` with the names of analysis templates; or why they cannot be used.
    """

    columns: tuple[str, ...]
    use: str
    by: tuple[str, ...]


def column_access(store: Store, association: Record) -> list[ColumnAccess]:
    """Return who may use which columns of a table for what, for algorithms that its owner allows.

    Args:
        store: of the room.
        association: of the table with a collaboration.
    """
    configured = store.get(CONFIGURED_TABLE, association.parent)
    assert configured is not None
    rules: Mapping[str, Any] = configured.document.get("rules", {})
    if not rules:
        return [
            ColumnAccess(
                tuple(configured.document["allowedColumns"]), "-", ("no member, because it has no analysis rule",)
            )
        ]
    table = _configured(association, configured)
    ((kind, rule),) = rules.items()
    by = _askers(store, association, kind, rule)
    apart = {*table.join_columns, *table.withheld_columns}
    uses = {
        "read": tuple(each for each in table.columns if each not in apart),
        "compared": table.join_columns,
        "used": table.withheld_columns,
    }
    return [ColumnAccess(columns, use, by) for use, columns in uses.items() if columns]


def whole_table(association: Record, configured: Record) -> Table:
    """Return a table with all columns that its owner allows, regardless of its rule."""
    location, kind = source_of(configured.private["location"]), configured.private.get("format")
    return Table(association.name, location, kind, tuple(configured.document["allowedColumns"]))


def _askers(store: Store, association: Record, kind: str, rule: Mapping[str, Any]) -> tuple[str, ...]:
    if rule.get("additionalAnalyses") not in ("ALLOWED", "REQUIRED"):
        return ("no member, because additionalAnalyses are not allowed",)
    members = store.find(MEMBERSHIP, collaboration=association.collaboration, statuses=("ACTIVE",))
    named = {each.account: each.name for each in reversed(members)}
    if kind == "LIST":
        return tuple(named.values())
    analyses = rule["allowedAnalyses"]
    providers = rule.get("allowedAnalysisProviders", ()) if "ANY_QUERY" in analyses else ()
    templates = [store.get(ANALYSIS_TEMPLATE, each) for each in analyses if each != "ANY_QUERY"]
    of_templates = (f"template {each.name}" for each in templates if each is not None)
    return (*(named.get(each, each) for each in providers), *of_templates)


def _configured(association: Record, configured: Record) -> Table:
    location, kind = source_of(configured.private["location"]), configured.private.get("format")
    rules: Mapping[str, Any] = configured.document["rules"]
    listed = rules.get("LIST")
    if listed is None:
        return Table(
            association.name,
            location,
            kind,
            columns=tuple(configured.document["allowedColumns"]),
            withheld_columns=tuple(rules["CUSTOM"].get("disallowedOutputColumns", ())),
        )
    return Table(
        association.name,
        location,
        kind,
        columns=(*listed["joinColumns"], *listed["listColumns"]),
        join_columns=tuple(listed["joinColumns"]),
        either_join="OR" in listed.get("allowedJoinOperators", ()),
    )


def _unusable(association: Record, configured: Record, algorithm: str, account: str, template: Record | None) -> str:
    """Return why a query may not use a table; "" if it may."""
    rules: Mapping[str, Any] = configured.document.get("rules", {})
    if not rules:
        return "it has no analysis rule, and cannot be queried without one"
    ((kind, rule),) = rules.items()
    if why := _forbidden(kind, rule, account, template):
        return why
    own = association.document.get("rules", {}).get(kind, {})
    allowed = [own.get("allowedAdditionalAnalyses", ())]
    if "allowedAdditionalAnalyses" in rule:
        allowed.append(rule["allowedAdditionalAnalyses"])
    if all(any(fnmatchcase(algorithm, pattern) for pattern in patterns) for patterns in allowed):
        return ""
    return "its owner does not let this algorithm's association use it (allowedAdditionalAnalyses)"


def _forbidden(kind: str, rule: Mapping[str, Any], account: str, template: Record | None) -> str:
    if rule.get("additionalAnalyses") not in ("ALLOWED", "REQUIRED"):
        return "its analysis rule does not allow additionalAnalyses, such as machine learning"
    if kind == "LIST":
        return "" if template is None else "its analysis rule is of type LIST, but templates require CUSTOM"
    if template is not None and template.key in rule["allowedAnalyses"]:
        return ""
    if "ANY_QUERY" not in rule["allowedAnalyses"]:
        asked = "queries without a template" if template is None else "this analysis template"
        return f"its owner has not approved {asked} (allowedAnalyses of its analysis rule)"
    provider = account if template is None else template.account
    if provider not in rule.get("allowedAnalysisProviders", ()):
        who = "the calling account" if template is None else "the account that wrote the template"
        return f"its analysis rule does not name {who} (allowedAnalysisProviders)"
    return ""
