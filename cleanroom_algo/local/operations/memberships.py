"""Memberships: joining a collaboration, the settings of a member, and leaving it.

(botocore model of `cleanrooms`: who pays by default, and what a member accepts when it joins.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cleanroom_algo.errors import ConflictError, NotEmulatedError, Problem
from cleanroom_algo.local.operations.authorization import CAN_QUERY, member_of, own_membership, pays
from cleanroom_algo.local.operations.collaborations import (
    PAID,
    PAID_IF_NAMED,
    describe_collaboration,
    mark_departed,
    membership_arn,
    named,
    specification,
)
from cleanroom_algo.local.operations.projections import show_one, show_page, times
from cleanroom_algo.local.operations.registry import Call, cleanrooms_operation
from cleanroom_algo.local.resources.arns import (
    ANALYSIS_TEMPLATE,
    ASSOCIATION,
    COLLABORATION,
    INFERENCE_JOB,
    INPUT_CHANNEL,
    MEMBERSHIP,
    TABLE_ASSOCIATION,
    TRAINED_MODEL,
)
from cleanroom_algo.local.resources.states import ENDED, FAILED, INACTIVE
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.validation import invalid


@cleanrooms_operation("CreateMembership")
def create_membership(call: Call) -> Mapping[str, Any]:
    """Join a collaboration; a member that should pay accepts this here."""
    collaboration = named(call)
    if member_of(call, collaboration.key, call.account) is not None:
        raise ConflictError(
            f"account {call.account} has an active membership already",
            expected="one membership of an account in a collaboration",
            fix="use the existing membership; ListMemberships shows it",
        )
    member = specification(collaboration, call.account)
    if problems := list(_unaccepted(call, member)):
        raise invalid(call.operation, problems)
    identifier = call.new_identifier()
    kept = {
        "memberAbilities": member.get("memberAbilities", []),
        "paymentConfiguration": member["paymentConfiguration"],
    }
    if "mlMemberAbilities" in member:
        kept["mlMemberAbilities"] = member["mlMemberAbilities"]
    record = call.store.insert(
        Record(
            kind=MEMBERSHIP,
            key=identifier,
            account=call.account,
            membership=identifier,
            collaboration=collaboration.key,
            name=member["displayName"],
            status="ACTIVE",
            document={**call.given("collaborationIdentifier", "tags", "paymentConfiguration"), **kept},
        )
    )
    return show_one(call, _membership(call, record))


@cleanrooms_operation("GetMembership")
def get_membership(call: Call) -> Mapping[str, Any]:
    """Return a membership of the caller, also an ended one."""
    return show_one(call, _membership(call, own_membership(call, ended=True)))


@cleanrooms_operation("ListMemberships")
def list_memberships(call: Call) -> Mapping[str, Any]:
    """Return the memberships of the caller, the latest first."""
    statuses = (call.params["status"],) if "status" in call.params else ()

    def find(before: int | None, limit: int) -> Sequence[Record]:
        return call.store.find(MEMBERSHIP, statuses=statuses, before=before, limit=limit, account=call.account)

    return show_page(call, find, describe=_membership)


@cleanrooms_operation("UpdateMembership")
def update_membership(call: Call) -> Mapping[str, Any]:
    """Change the settings of a membership for logs and results of queries, which have no effect here."""
    membership = own_membership(call)
    if "membershipPaymentConfiguration" in call.params:
        raise NotEmulatedError(
            "changing who pays is not emulated",
            expected="the payment configuration that the member accepted when joining",
            fix="omit membershipPaymentConfiguration; name the payers when the collaboration is created",
        )
    return show_one(call, _membership(call, call.store.update(membership, document=call.given())))


@cleanrooms_operation("DeleteMembership")
def delete_membership(call: Call) -> Mapping[str, Any]:
    """Leave a collaboration when the membership has no resources left; an ended membership is deleted immediately."""
    membership = own_membership(call, ended=True)
    if membership.status == "ACTIVE":
        if problems := list(_left_over(call, membership)):
            raise ConflictError(
                "the membership has resources",
                expected="a membership without resources (botocore's model of DeleteMembership)",
                fix="delete these first",
                problems=problems,
            )
        collaboration = call.store.get(COLLABORATION, membership.collaboration)
        assert collaboration is not None
        mark_departed(call, collaboration, call.account, "LEFT")
    call.store.delete(membership)
    return {}


def _left_over(call: Call, membership: Record) -> Iterator[Problem]:
    kinds = (TABLE_ASSOCIATION, ANALYSIS_TEMPLATE, ASSOCIATION, INPUT_CHANNEL, TRAINED_MODEL, INFERENCE_JOB)
    for kind in kinds:
        for each in call.store.find(kind, membership=membership.key):
            if each.status not in (ENDED if kind == INFERENCE_JOB else (INACTIVE, FAILED)):
                yield Problem(
                    each.name, f"is a {kind.replace('-', ' ')} of the membership{each.status and f', {each.status}'}"
                )


def _membership(call: Call, record: Record) -> dict[str, Any]:
    collaboration = call.store.get(COLLABORATION, record.collaboration)
    assert collaboration is not None
    of = describe_collaboration(call, collaboration)
    return {
        "queryLogStatus": "DISABLED",
        **record.document,
        **times(record),
        "id": record.key,
        "arn": membership_arn(call, record),
        "status": record.status,
        "collaborationId": of["id"],
        "collaborationArn": of["arn"],
        "collaborationName": of["name"],
        "collaborationCreatorAccountId": of["creatorAccountId"],
        "collaborationCreatorDisplayName": of["creatorDisplayName"],
    }


def _unaccepted(call: Call, member: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what a member should pay for but does not accept, and what it accepts but should not pay for."""
    accepted = call.params.get("paymentConfiguration")
    can_query = CAN_QUERY in member.get("memberAbilities", ())
    for path in (*PAID, *PAID_IF_NAMED):
        named = pays(member["paymentConfiguration"], path)
        if accepted is None and can_query:
            continue
        says = pays(accepted or {}, path)
        name = ".".join(("paymentConfiguration", *path, "isResponsible"))
        if named and not says:
            yield Problem(name, "must be true, because the collaboration names this member as payer")
        elif says and not named:
            yield Problem(name, "must be false, because the collaboration does not name this member as payer")
