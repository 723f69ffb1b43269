"""Which tables a query sees, and which of their columns: what the owners' analysis rules allow.

(Clean Rooms user guide, "Analysis rules in AWS Clean Rooms" and "Associating the configured model algorithm": a table
without a rule cannot be queried; for machine learning its rule must allow additional analyses, and the rule of its
association must name the configured model algorithm association, or a wildcard.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from cleanroom_algo.local.query.rules import Table
from cleanroom_algo.local.resources.arns import CONFIGURED_TABLE, TABLE_ASSOCIATION
from cleanroom_algo.local.resources.store import Record, Store


@dataclass(frozen=True, slots=True)
class TableAccess:
    """What a query sees.

    Attributes:
        tables: that it may use.
        hidden: why it may not use the others of the collaboration, by name.
    """

    tables: tuple[Table, ...]
    hidden: Mapping[str, str]


def table_access(store: Store, collaboration: str, algorithm: str) -> TableAccess:
    """Return what a query for a configured model algorithm association sees.

    Args:
        store: of the room.
        collaboration: identifier.
        algorithm: ARN of the association that the query's channel is for.
    """
    tables: list[Table] = []
    hidden: dict[str, str] = {}
    for association in store.find(TABLE_ASSOCIATION, collaboration=collaboration):
        configured = store.get(CONFIGURED_TABLE, association.parent)
        if configured is None:
            table, allowed = _declared(association), association.private.get("allowed_associations", ["*"])
        else:
            rules = configured.document.get("rules", {})
            if why := _unusable(rules):
                hidden[association.name] = why
                continue
            table, allowed = _configured(association, configured), _additional(association)
        if any(fnmatchcase(algorithm, pattern) for pattern in allowed):
            tables.append(table)
        else:
            hidden[table.name] = (
                "its owner does not let this algorithm's association use it (allowedAdditionalAnalyses)"
            )
    return TableAccess(tuple(tables), hidden)


def _declared(association: Record) -> Table:
    private = association.private
    return Table(
        name=private["name"],
        location=Path(private["location"]),
        format=private["format"],
        columns=tuple(private["columns"]),
        join_columns=tuple(private["join_columns"]),
    )


def _configured(association: Record, configured: Record) -> Table:
    location = Path(configured.private["location"])
    rules: Mapping[str, Any] = configured.document["rules"]
    if "LIST" in rules:
        compared = rules["LIST"]["joinColumns"]
        columns = [*compared, *rules["LIST"]["listColumns"]]
    else:
        compared = rules["CUSTOM"].get("disallowedOutputColumns", [])
        columns = configured.document["allowedColumns"]
    return Table(association.name, location, format_of(location), tuple(columns), tuple(compared))


def _unusable(rules: Mapping[str, Any]) -> str:
    if not rules:
        return "it has no analysis rule, and cannot be queried without one"
    ((kind, rule),) = rules.items()
    if rule.get("additionalAnalyses") not in ("ALLOWED", "REQUIRED"):
        return "its analysis rule does not allow additionalAnalyses, such as machine learning"
    if kind == "CUSTOM" and "ANY_QUERY" not in rule["allowedAnalyses"]:
        return "its analysis rule allows queries of analysis templates only, which are not emulated"
    return ""


def _additional(association: Record) -> list[str]:
    rules: Mapping[str, Any] = association.document.get("rules", {})
    return [pattern for rule in rules.values() for pattern in rule.get("allowedAdditionalAnalyses", ())]


def format_of(location: Path) -> Literal["csv", "parquet"]:
    """Return the format of a table's files: Parquet where a file's name says so, else CSV."""
    names = [location] if location.is_file() else list(location.rglob("*"))
    return "parquet" if any(name.suffix == ".parquet" for name in names) else "csv"
