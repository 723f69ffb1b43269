"""Privacy budget templates of access budgets: how often queries may use a member's table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cleanroom_algo.errors import ConflictError, NotEmulatedError, Problem
from cleanroom_algo.local.operations.authorization import (
    in_collaboration,
    in_membership,
    own_collaboration,
    own_membership,
)
from cleanroom_algo.local.operations.collaborations import membership_and_collaboration
from cleanroom_algo.local.operations.projections import show_one, show_page, times
from cleanroom_algo.local.operations.registry import Call, cleanrooms_operation
from cleanroom_algo.local.policies.budgets import LIFETIME, access_budget
from cleanroom_algo.local.resources.arns import (
    PRIVACY_BUDGET,
    TABLE_ASSOCIATION,
    cleanrooms_arn,
)
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.validation import invalid

_OF_ACCESS = "ACCESS_BUDGET"


@cleanrooms_operation("CreatePrivacyBudgetTemplate")
def create_budget(call: Call) -> Mapping[str, Any]:
    """Limit how often queries may use a table of the caller."""
    membership = own_membership(call)
    parameters = _parameters(call)
    association = in_membership(call, TABLE_ASSOCIATION, parameters["resourceArn"].rpartition("/")[2])
    if call.store.count(PRIVACY_BUDGET, parent=association.key):
        raise ConflictError(
            f"the table {association.name!r} has an access budget already",
            expected="one access budget for a table",
            fix="change it with UpdatePrivacyBudgetTemplate, or delete it first",
        )
    record = call.store.insert(
        Record(
            kind=PRIVACY_BUDGET,
            key=call.new_identifier(),
            account=call.account,
            membership=membership.key,
            collaboration=membership.collaboration,
            parent=association.key,
            name=association.name,
            document={**call.given("tags"), "autoRefresh": "NONE"},
        )
    )
    return show_one(call, _template(call, record))


@cleanrooms_operation("GetPrivacyBudgetTemplate")
def get_budget(call: Call) -> Mapping[str, Any]:
    """Return a budget template of the caller's membership."""
    return show_one(call, _template(call, _own(call)))


@cleanrooms_operation("GetCollaborationPrivacyBudgetTemplate")
def get_collaboration_budget(call: Call) -> Mapping[str, Any]:
    """Return any member's budget template."""
    identifier = call.params["privacyBudgetTemplateIdentifier"]
    return show_one(call, _template(call, in_collaboration(call, PRIVACY_BUDGET, identifier, own_collaboration(call))))


@cleanrooms_operation("UpdatePrivacyBudgetTemplate")
def update_budget(call: Call) -> Mapping[str, Any]:
    """Change the numbers of a budget; a period that does not refresh automatically starts again."""
    template = _own(call)
    held = template.document["parameters"]["accessBudget"]
    changed = {"accessBudget": {**held, **_parameters(call, held)}}
    return show_one(call, _template(call, call.store.update(template, document={"parameters": changed})))


@cleanrooms_operation("DeletePrivacyBudgetTemplate")
def delete_budget(call: Call) -> Mapping[str, Any]:
    """Remove a budget: queries may use its table without limit."""
    call.store.delete(_own(call))
    return {}


@cleanrooms_operation("ListPrivacyBudgetTemplates")
def list_templates(call: Call) -> Mapping[str, Any]:
    """Return the budget templates of the caller's membership, the latest first."""
    return _page(call, membership=own_membership(call).key)


@cleanrooms_operation("ListCollaborationPrivacyBudgetTemplates")
def list_collaboration_templates(call: Call) -> Mapping[str, Any]:
    """Return the budget templates of all members, the latest first."""
    return _page(call, collaboration=own_collaboration(call))


@cleanrooms_operation("ListPrivacyBudgets")
def list_budgets(call: Call) -> Mapping[str, Any]:
    """Return the remaining budgets of the caller's membership, the latest first."""
    return _page(call, membership=own_membership(call).key)


@cleanrooms_operation("ListCollaborationPrivacyBudgets")
def list_collaboration_budgets(call: Call) -> Mapping[str, Any]:
    """Return the remaining budgets of all members, the latest first."""
    return _page(call, collaboration=own_collaboration(call))


def _page(call: Call, **where: str) -> Mapping[str, Any]:
    kind = call.params.get("privacyBudgetType", _OF_ACCESS)
    resource = call.params.get("accessBudgetResourceArn")

    def find(before: int | None, limit: int) -> Sequence[Record]:
        found = call.store.find(PRIVACY_BUDGET, before=before, limit=-1, **where)
        arns = (each.document["parameters"]["accessBudget"]["resourceArn"] for each in found)
        wanted = [each for each, arn in zip(found, arns, strict=True) if resource in (None, arn) and kind == _OF_ACCESS]
        return wanted[:limit]

    return show_page(call, find, describe=_template)


def _own(call: Call) -> Record:
    return in_membership(call, PRIVACY_BUDGET, call.params["privacyBudgetTemplateIdentifier"])


def _parameters(call: Call, held: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """Return the parameters of an access budget.

    Raises:
        InvalidRequestError: CR-REQ-001. NotEmulatedError: CR-REQ-007, they are of differential privacy.
    """
    if call.params["privacyBudgetType"] != _OF_ACCESS:
        raise NotEmulatedError(
            "budgets of type DIFFERENTIAL_PRIVACY: not emulated",
            expected="privacyBudgetType ACCESS_BUDGET",
            fix="leave it out: models are trained on rows, which aggregations with noise do not return",
        )
    parameters: Mapping[str, Any] = call.params.get("parameters", {}).get("accessBudget", held)
    if problems := list(_faults(call, parameters)):
        raise invalid(call.operation, problems)
    return parameters


def _faults(call: Call, parameters: Mapping[str, Any] | None) -> Iterator[Problem]:
    if parameters is None:
        yield Problem("parameters", "needs accessBudget, as privacyBudgetType is ACCESS_BUDGET")
        return
    if "autoRefresh" in call.params:
        yield Problem("autoRefresh", "belongs to DIFFERENTIAL_PRIVACY; each of budgetParameters has its own")
    kinds = [each["type"] for each in parameters["budgetParameters"]]
    if len(kinds) > 1 and kinds.count(LIFETIME) != 1:
        yield Problem("parameters.accessBudget.budgetParameters", "must be one period and LIFETIME if there are two")
    for index, each in enumerate(parameters["budgetParameters"]):
        if each["type"] == LIFETIME and "autoRefresh" in each:
            yield Problem(f"parameters.accessBudget.budgetParameters[{index}].autoRefresh", "belongs to a period")


def _template(call: Call, record: Record) -> dict[str, Any]:
    arn = cleanrooms_arn(call.region, record.account, "privacybudgettemplate", record.key)
    return {
        **record.document,
        **times(record),
        **membership_and_collaboration(call, record),
        "id": record.key,
        "arn": arn,
        "privacyBudgetTemplateId": record.key,
        "privacyBudgetTemplateArn": arn,
        "creatorAccountId": record.account,
        "type": _OF_ACCESS,
        "budget": {"accessBudget": access_budget(record)},
    }
