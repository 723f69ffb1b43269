"""Collaborations and their members: what boto3's `cleanrooms` client creates before machine learning begins.

(botocore model of `cleanrooms`: who pays by default.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from cleanroom_algo.errors import AccessDeniedError, NotEmulatedError, Problem, ResourceNotFoundError
from cleanroom_algo.local.operations.authorization import CAN_QUERY, active_memberships, member_of, pays
from cleanroom_algo.local.operations.projections import show_one, show_page, times
from cleanroom_algo.local.operations.registry import Call, cleanrooms_operation
from cleanroom_algo.local.resources.arns import (
    ANALYSIS_TEMPLATE,
    COLLABORATION,
    MEMBERSHIP,
    PRIVACY_BUDGET,
    TABLE_ASSOCIATION,
    cleanrooms_arn,
)
from cleanroom_algo.local.resources.store import Record, Store
from cleanroom_algo.local.service_model.validation import invalid

OF_CREATOR: Final = {
    "memberAbilities": "creatorMemberAbilities",
    "mlMemberAbilities": "creatorMLMemberAbilities",
    "displayName": "creatorDisplayName",
    "paymentConfiguration": "creatorPaymentConfiguration",
}
"""The names of CreateCollaboration's members for its caller, by those for other members."""
PAID: Final = (("queryCompute",), ("machineLearning", "modelTraining"), ("machineLearning", "modelInference"))
"""What can be paid for, as paths of payment configurations."""
PAID_IF_NAMED: Final = (("machineLearning", "syntheticDataGeneration"), ("jobCompute",))
"""The same, for what has no default payer."""
_INVITED: Final = "INVITED"
_DEPARTED: Final = "departed"  # of a member: how it left, LEFT or REMOVED
_DELETED: Final = "DELETED"


@cleanrooms_operation("CreateCollaboration")
def create_collaboration(call: Call) -> Mapping[str, Any]:
    """Create a collaboration; its creator is a member, and joins it like the others with CreateMembership."""
    creator = {"accountId": call.account}
    creator |= {own: call.params[name] for own, name in OF_CREATOR.items() if name in call.params}
    members = [creator, *call.params["members"]]
    twice = [account for account, count in Counter(each["accountId"] for each in members).items() if count > 1]
    if twice:
        raise invalid(
            call.operation, [Problem("members", f"names {account} twice, or names the creator") for account in twice]
        )
    # Where cleartext is allowed, the other settings are about encrypted columns, so they have no effect without these.
    encrypted = not call.params.get("dataEncryptionMetadata", {}).get("allowCleartext", True)
    if encrypted or call.params.get("analyticsEngine") == "CLEAN_ROOMS_SQL":
        raise _of_other_kind()
    identifier = call.new_identifier()
    record = call.store.insert(
        Record(
            kind=COLLABORATION,
            key=identifier,
            account=call.account,
            collaboration=identifier,
            name=call.params["name"],
            document=call.given("members", "tags", *OF_CREATOR.values()),
            private={"members": [{**each, "paymentConfiguration": _payments(each, members)} for each in members]},
        )
    )
    return show_one(call, describe_collaboration(call, record))


@cleanrooms_operation("GetCollaboration")
def get_collaboration(call: Call) -> Mapping[str, Any]:
    """Return a collaboration of which the caller is a member, or to which it is invited."""
    return show_one(call, describe_collaboration(call, named(call)))


@cleanrooms_operation("ListCollaborations")
def list_collaborations(call: Call) -> Mapping[str, Any]:
    """Return the collaborations of the caller, the latest first."""
    wanted = call.params.get("memberStatus")

    def find(before: int | None, limit: int) -> Sequence[Record]:
        found = [each for each in call.store.find(COLLABORATION, before=before) if _is_named(call, each)]
        return [each for each in found if wanted in (None, describe_collaboration(call, each)["memberStatus"])][:limit]

    return show_page(call, find, describe=describe_collaboration)


@cleanrooms_operation("UpdateCollaboration")
def update_collaboration(call: Call) -> Mapping[str, Any]:
    """Change name or description of a collaboration of the caller."""
    collaboration = _own(call)
    if call.params.get("analyticsEngine") == "CLEAN_ROOMS_SQL":
        raise _of_other_kind()
    changes = call.given("collaborationIdentifier")
    changed = call.store.update(collaboration, name=call.params.get("name"), document=changes)
    return show_one(call, describe_collaboration(call, changed))


@cleanrooms_operation("DeleteCollaboration")
def delete_collaboration(call: Call) -> Mapping[str, Any]:
    """End a collaboration of the caller for all its members; each deletes its own membership."""
    collaboration = _own(call)
    for membership in active_memberships(call, collaboration.key):
        end_membership(call, membership, "COLLABORATION_DELETED")
    call.store.update(collaboration, status=_DELETED)
    return {}


@cleanrooms_operation("DeleteMember")
def delete_member(call: Call) -> Mapping[str, Any]:
    """Remove a member from a collaboration of the caller, with its tables and templates."""
    collaboration, account = _own(call), call.params["accountId"]
    others = [each["accountId"] for each in _members(collaboration)[1:] if _DEPARTED not in each]
    if account not in others:
        raise ResourceNotFoundError(
            f"account {account} is not a member of this collaboration that can be removed",
            expected="the account of another member who has not left yet",
            fix="call ListMembers to see the members; a creator ends the collaboration with DeleteCollaboration",
        )
    membership = member_of(call, collaboration.key, account)
    if membership is not None:
        end_membership(call, membership, "REMOVED")
    mark_departed(call, collaboration, account, "REMOVED")
    return {}


@cleanrooms_operation("ListMembers")
def list_members(call: Call) -> Mapping[str, Any]:
    """Return the members of a collaboration, including invited ones."""
    collaboration = named(call)
    members = _members(collaboration)
    # An invitation is not a separate record; its index among the members is its position in the pages.
    places = [replace(collaboration, account=each["accountId"], seq=len(members) - n) for n, each in enumerate(members)]

    def find(before: int | None, limit: int) -> Sequence[Record]:
        return [each for each in places if before is None or each.seq < before][:limit]

    return show_page(call, find, describe=_member)


def add_member(store: Store, collaboration: Record, member: Mapping[str, Any]) -> None:
    """Add a member to a collaboration, like a change request of its creator; an existing member is not changed.

    Args:
        store: of the room.
        collaboration: any reading of it.
        member: in the form of CreateCollaboration's members; others pay for what it does not mention.
    """
    with store.transaction():
        now = store.get(COLLABORATION, collaboration.key)
        assert now is not None
        named = now.private["members"]
        if all(each["accountId"] != member["accountId"] for each in named):
            paying = {"paymentConfiguration": _payments(member, [*named, member])}
            store.update(now, private={"members": [*named, {**member, **paying}]})


def end_membership(call: Call, membership: Record, status: str) -> None:
    """Set the final status of a membership; from now on, queries cannot use its tables and templates."""
    for kind in (TABLE_ASSOCIATION, ANALYSIS_TEMPLATE, PRIVACY_BUDGET):
        for each in call.store.find(kind, membership=membership.key):
            call.store.delete(each)
    call.store.update(membership, status=status)


def mark_departed(call: Call, collaboration: Record, account: str, status: str) -> None:
    """Record how a member left, LEFT or REMOVED; it cannot join again."""
    members = [
        {**each, _DEPARTED: status} if each["accountId"] == account else each for each in _members(collaboration)
    ]
    call.store.update(collaboration, private={"members": members})


def membership_arn(call: Call, membership: Record) -> str:
    """Return the ARN of a membership in `cleanrooms`."""
    return cleanrooms_arn(call.region, membership.account, MEMBERSHIP, membership.key)


def collaboration_arn(call: Call, collaboration: Record) -> str:
    """Return the ARN of a collaboration in `cleanrooms`."""
    return cleanrooms_arn(call.region, collaboration.account, COLLABORATION, collaboration.key)


def membership_and_collaboration(call: Call, record: Record) -> dict[str, str]:
    """Return the membership and the collaboration of a record, as members of its description."""
    collaboration = call.store.get(COLLABORATION, record.collaboration)
    assert collaboration is not None
    return {
        **_membership(call, call.store.get(MEMBERSHIP, record.membership)),
        "collaborationId": collaboration.key,
        "collaborationArn": collaboration_arn(call, collaboration),
    }


def named(call: Call) -> Record:
    """Return the collaboration in the request, which must have the caller as a member.

    Raises:
        AccessDeniedError: CR-REQ-004, it does not, or it does not exist, or it was deleted.
    """
    found = call.store.get(COLLABORATION, call.params["collaborationIdentifier"])
    if found is None or not _is_named(call, found):
        raise AccessDeniedError(
            f"account {call.account} is not invited to this collaboration, has left it, or it was deleted",
            expected="collaborationIdentifier of a collaboration that names the caller",
            fix="create another collaboration, name the account among its members, or call as one of them",
        )
    return found


def _own(call: Call) -> Record:
    """Return the collaboration in the request, which must belong to the caller.

    Raises:
        AccessDeniedError: CR-REQ-004.
    """
    found = named(call)
    if found.account != call.account:
        raise AccessDeniedError(
            f"account {call.account} is not the creator of this collaboration",
            expected="a request from its creator",
            fix=f"call as account {found.account}",
        )
    return found


def _of_other_kind() -> NotEmulatedError:
    return NotEmulatedError(
        "encrypted collaborations and the engine CLEAN_ROOMS_SQL are not emulated",
        expected="a collaboration that allows cleartext, analyticsEngine SPARK",
        fix="omit dataEncryptionMetadata, or set its allowCleartext to true; AWS no longer offers the engine "
        "CLEAN_ROOMS_SQL",
    )


def _is_named(call: Call, collaboration: Record) -> bool:
    present = (each["accountId"] for each in _members(collaboration) if _DEPARTED not in each)
    return collaboration.status != _DELETED and call.account in present


def _members(collaboration: Record) -> Sequence[Mapping[str, Any]]:
    """Return the members in their original order, the creator first."""
    named: Sequence[Mapping[str, Any]] = collaboration.private["members"]
    return named


def specification(collaboration: Record, account: str) -> Mapping[str, Any]:
    """Return the entry of a member in a collaboration."""
    return next(each for each in _members(collaboration) if each["accountId"] == account)


def describe_collaboration(call: Call, record: Record) -> dict[str, Any]:
    """Return the view of the caller of a collaboration."""
    creator, *_ = _members(record)
    membership = member_of(call, record.key, call.account)
    return {
        "queryLogStatus": "DISABLED",
        **record.document,
        **times(record),
        **_membership(call, membership),
        "id": record.key,
        "arn": collaboration_arn(call, record),
        "name": record.name,
        "creatorAccountId": creator["accountId"],
        "creatorDisplayName": creator["displayName"],
        "memberStatus": _INVITED if membership is None else membership.status,
        "autoApprovedChangeTypes": record.document.get("autoApprovedChangeRequestTypes"),
    }


def _member(call: Call, place: Record) -> dict[str, Any]:
    member = specification(place, place.account)
    membership = member_of(call, place.key, place.account)
    return {
        **times(place if membership is None else membership),
        **_membership(call, membership),
        "accountId": place.account,
        "status": member.get(_DEPARTED, _INVITED) if membership is None else membership.status,
        "displayName": member["displayName"],
        "abilities": member.get("memberAbilities", []),
        "mlAbilities": member.get("mlMemberAbilities"),
        "paymentConfiguration": member["paymentConfiguration"],
    }


def _membership(call: Call, membership: Record | None) -> dict[str, str]:
    if membership is None:
        return {}
    return {"membershipId": membership.key, "membershipArn": membership_arn(call, membership)}


def _payments(member: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the payers as every membership shows them; by default, the member who can query pays."""
    found: dict[str, Any] = {}
    for path in (*PAID, *PAID_IF_NAMED):
        anyone = any(pays(each.get("paymentConfiguration", {}), path) for each in members)
        if not anyone and path in PAID_IF_NAMED:
            continue
        own = pays(member.get("paymentConfiguration", {}), path) if anyone else CAN_QUERY in member["memberAbilities"]
        place = found
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = {"isResponsible": own}
    return found
