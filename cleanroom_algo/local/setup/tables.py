"""Adds a member's table to a collaboration by calling the operations: configured, with a rule, and associated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.operations.registry import LocalTerms
from cleanroom_algo.local.resources.arns import CONFIGURED_TABLE, TABLE_ASSOCIATION
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.shapes import CLEANROOMS
from cleanroom_algo.local.setup.names import identifier, role


@dataclass(frozen=True, slots=True)
class DeclaredTable:
    """A table, and its allowed uses in queries.

    Attributes:
        owner: the membership of its owner.
        name: its name in queries.
        location: a file, or a folder of files; a path or an s3:// URI.
        format: of the files.
        columns: those that queries may use.
        join_columns: a part of `columns` that can only be compared.
        templates: ARNs of the analysis templates that may use it; None allows any query.
        analyses: ARNs of the associations that may use it, with wildcards.
        askers: the accounts that may query it; every member may query a table with join columns.
    """

    owner: Record
    name: str
    location: str
    format: Literal["csv", "parquet"]
    columns: Sequence[str]
    join_columns: Sequence[str] = ()
    templates: Sequence[str] | None = None
    analyses: Sequence[str] = ()
    askers: Sequence[str] = ()

    def bring_in(self, caller: Caller) -> list[str]:
        """Add the table to its collaboration; an existing one with this name that differs is removed first.

        Returns:
            What was different in the room; empty if the table is new or unchanged.
        """
        differing: list[str] = []
        for association in caller.workspace.store.find(TABLE_ASSOCIATION, collaboration=self.owner.collaboration):
            if association.name.lower() == self.name.lower():
                differing = self._differing(caller, association)
                if not differing:
                    return []
                _take_out(caller, association)
        self._make(caller)
        return differing

    def _differing(self, caller: Caller, association: Record) -> list[str]:
        table = caller.workspace.store.get(CONFIGURED_TABLE, association.parent)
        assert table is not None
        kind, rule = self._rule()
        same = {
            "owner": association.membership == self.owner.key,
            "location": table.private.get("location") == self.location,
            "format": table.private.get("format") == self.format,
            "columns": table.document["allowedColumns"] == list(self.columns),
            "join_columns, templates or members": table.document.get("rules") == {kind: rule},
            "allowed_associations": association.document.get("rules") == {kind: self._allowed()},
        }
        return [name for name, is_same in same.items() if not is_same]

    def _make(self, caller: Caller) -> None:
        key, configured = (identifier(kind, self.owner.key, self.name) for kind in ("table-association", "table"))
        call = partial(caller.call, account=self.owner.account, service=CLEANROOMS)
        call(
            "CreateConfiguredTable",
            {
                "name": self.name,
                "tableReference": {"glue": {"databaseName": "local", "tableName": self.name}},
                "allowedColumns": list(self.columns),
                "analysisMethod": "DIRECT_QUERY",
            },
            terms=LocalTerms(configured, self.location, self.format),
        )
        kind, rule = self._rule()
        table = {"configuredTableIdentifier": configured}
        call("CreateConfiguredTableAnalysisRule", {**table, **_policy(kind, rule)})
        own = {"membershipIdentifier": self.owner.key}
        asked = {**own, **table, "name": self.name, "roleArn": role(self.owner.account)}
        call("CreateConfiguredTableAssociation", asked, terms=LocalTerms(key))
        allowed = {"configuredTableAssociationIdentifier": key, **_policy(kind, self._allowed())}
        call("CreateConfiguredTableAssociationAnalysisRule", {**own, **allowed})

    def _rule(self) -> tuple[str, dict[str, Any]]:
        return analysis_rule(self.columns, self.join_columns, self.templates, self.askers)

    def _allowed(self) -> dict[str, Any]:
        return {"allowedAdditionalAnalyses": list(self.analyses)}


def analysis_rule(
    columns: Sequence[str], join_columns: Sequence[str], templates: Sequence[Any] | None, askers: Sequence[Any]
) -> tuple[str, dict[str, Any]]:
    """Return type and policy of an analysis rule: a list if there are join columns, else templates or any query.

    Args:
        columns: those that queries may use.
        join_columns: a part of `columns` that can only be compared.
        templates: ARNs of the analysis templates that may use it; None allows any query.
        askers: the accounts that may query it.
    """
    if join_columns:
        listed = [each for each in columns if each not in join_columns]
        return "LIST", {"joinColumns": list(join_columns), "listColumns": listed, "additionalAnalyses": "ALLOWED"}
    allowed: dict[str, Any] = {"allowedAnalyses": ["ANY_QUERY"], "allowedAnalysisProviders": list(askers)}
    if templates is not None:
        allowed = {"allowedAnalyses": list(templates)}
    return "CUSTOM", {**allowed, "additionalAnalyses": "ALLOWED"}


def _take_out(caller: Caller, association: Record) -> None:
    """Remove a table from its collaboration, and delete it if it is in no other collaboration."""
    call = partial(caller.call, account=association.account, service=CLEANROOMS)
    own = {"membershipIdentifier": association.membership, "configuredTableAssociationIdentifier": association.key}
    call("DeleteConfiguredTableAssociation", own)
    if not caller.workspace.store.count(TABLE_ASSOCIATION, parent=association.parent):
        call("DeleteConfiguredTable", {"configuredTableIdentifier": association.parent})


def _policy(kind: str, rule: dict[str, Any]) -> dict[str, Any]:
    return {"analysisRuleType": kind, "analysisRulePolicy": {"v1": {kind.lower(): rule}}}
