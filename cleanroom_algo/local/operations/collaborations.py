"""Collaborations and memberships: what boto3's `cleanrooms` client makes before machine learning begins.

(botocore model of `cleanrooms`: who pays where nobody is named, and what a member accepts when it joins.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from cleanroom_algo.errors import AccessDeniedError, ConflictError, NotEmulatedError, Problem
from cleanroom_algo.local.operations.authorization import CAN_QUERY, member_of, own_membership
from cleanroom_algo.local.operations.projections import show_one, show_page, times
from cleanroom_algo.local.operations.registry import Call, cleanrooms_operation
from cleanroom_algo.local.resources.arns import COLLABORATION, MEMBERSHIP, cleanrooms_arn
from cleanroom_algo.local.resources.store import Record, Store
from cleanroom_algo.local.service_model.validation import invalid

_OF_CREATOR: Final = {
    "creatorMemberAbilities": "memberAbilities",
    "creatorMLMemberAbilities": "mlMemberAbilities",
    "creatorDisplayName": "displayName",
    "creatorPaymentConfiguration": "paymentConfiguration",
}
_PAID: Final = (("queryCompute",), ("machineLearning", "modelTraining"), ("machineLearning", "modelInference"))
_PAID_IF_NAMED: Final = (("machineLearning", "syntheticDataGeneration"), ("jobCompute",))  # none has a default payer
_INVITED: Final = "INVITED"


@cleanrooms_operation("CreateCollaboration")
def create_collaboration(call: Call) -> Mapping[str, Any]:
    """Make a collaboration; its creator is a member, and joins it like the others with CreateMembership."""
    creator = {"accountId": call.account}
    creator |= {own: call.params[name] for name, own in _OF_CREATOR.items() if name in call.params}
    members = [creator, *call.params["members"]]
    twice = [account for account, count in Counter(each["accountId"] for each in members).items() if count > 1]
    if twice:
        raise invalid(call.operation, [Problem("members", f"has {account} twice, or as creator") for account in twice])
    # Where cleartext is allowed, the rest is about columns that were encrypted before: nothing changes without them.
    encrypted = not call.params.get("dataEncryptionMetadata", {}).get("allowCleartext", True)
    if encrypted or call.params.get("analyticsEngine") == "CLEAN_ROOMS_SQL":
        raise NotEmulatedError(
            "encrypted collaborations and the engine CLEAN_ROOMS_SQL are not emulated",
            expected="a collaboration that allows cleartext, analyticsEngine SPARK",
            fix="leave dataEncryptionMetadata out, or set its allowCleartext to true; AWS has ended the old engine",
        )
    identifier = call.new_identifier()
    record = call.store.insert(
        Record(
            kind=COLLABORATION,
            key=identifier,
            account=call.account,
            collaboration=identifier,
            name=call.params["name"],
            document=call.given("members", "tags", *_OF_CREATOR),
            private={"members": [{**each, "paymentConfiguration": _payments(each, members)} for each in members]},
        )
    )
    return show_one(call, _collaboration(call, record))


@cleanrooms_operation("GetCollaboration")
def get_collaboration(call: Call) -> Mapping[str, Any]:
    """Return a collaboration of which the caller is a member, or to which it is invited."""
    return show_one(call, _collaboration(call, _named(call)))


@cleanrooms_operation("ListCollaborations")
def list_collaborations(call: Call) -> Mapping[str, Any]:
    """Return the collaborations of the caller, the latest first."""
    wanted = call.params.get("memberStatus")

    def find(before: int | None, limit: int) -> Sequence[Record]:
        found = [each for each in call.store.find(COLLABORATION, before=before) if _is_named(call, each)]
        return [each for each in found if wanted in (None, _collaboration(call, each)["memberStatus"])][:limit]

    return show_page(call, find, describe=_collaboration)


@cleanrooms_operation("ListMembers")
def list_members(call: Call) -> Mapping[str, Any]:
    """Return the members of a collaboration, those invited included."""
    collaboration = _named(call)
    members = _members(collaboration)
    # An invitation is no record of its own; its place among the members serves for the pages.
    places = [replace(collaboration, account=each["accountId"], seq=len(members) - n) for n, each in enumerate(members)]

    def find(before: int | None, limit: int) -> Sequence[Record]:
        return [each for each in places if before is None or each.seq < before][:limit]

    return show_page(call, find, describe=_member)


@cleanrooms_operation("CreateMembership")
def create_membership(call: Call) -> Mapping[str, Any]:
    """Join a collaboration; whoever was named to pay accepts it here."""
    collaboration = _named(call)
    if member_of(call, collaboration.key, call.account) is not None:
        raise ConflictError(
            f"account {call.account} has an active membership already",
            expected="one membership of an account in a collaboration",
            fix="use it: ListMemberships",
        )
    member = _specification(collaboration, call.account)
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
    """Return a membership of the caller."""
    return show_one(call, _membership(call, own_membership(call)))


@cleanrooms_operation("ListMemberships")
def list_memberships(call: Call) -> Mapping[str, Any]:
    """Return the memberships of the caller, the latest first."""
    statuses = (call.params["status"],) if "status" in call.params else ()

    def find(before: int | None, limit: int) -> Sequence[Record]:
        return call.store.find(MEMBERSHIP, statuses=statuses, before=before, limit=limit, account=call.account)

    return show_page(call, find, describe=_membership)


def add_member(store: Store, collaboration: Record, member: Mapping[str, Any]) -> None:
    """Name one more member of a collaboration, as a change request of its creator does; one that is named stays.

    Args:
        store: of the room.
        collaboration: any reading of it.
        member: in the form of CreateCollaboration's members; what it does not say it pays for, others pay.
    """
    with store.transaction():
        now = store.get(COLLABORATION, collaboration.key)
        assert now is not None
        named = now.private["members"]
        if all(each["accountId"] != member["accountId"] for each in named):
            paying = {"paymentConfiguration": _payments(member, [*named, member])}
            store.update(now, private={"members": [*named, {**member, **paying}]})


def membership_arn(call: Call, membership: Record) -> str:
    """Return the ARN by which `cleanrooms` shows a membership."""
    return cleanrooms_arn(call.region, membership.account, MEMBERSHIP, membership.key)


def collaboration_arn(call: Call, collaboration: Record) -> str:
    """Return the ARN by which `cleanrooms` shows a collaboration."""
    return cleanrooms_arn(call.region, collaboration.account, COLLABORATION, collaboration.key)


def _named(call: Call) -> Record:
    found = call.store.get(COLLABORATION, call.params["collaborationIdentifier"])
    if found is None or not _is_named(call, found):
        raise AccessDeniedError(
            f"account {call.account} is no member of this collaboration, and not invited to it",
            expected="collaborationIdentifier of a collaboration that names the caller",
            fix="name the account among the members of CreateCollaboration, or call as one of them",
        )
    return found


def _is_named(call: Call, collaboration: Record) -> bool:
    return any(each["accountId"] == call.account for each in _members(collaboration))


def _members(collaboration: Record) -> Sequence[Mapping[str, Any]]:
    """Return the members as they were named, the creator first."""
    named: Sequence[Mapping[str, Any]] = collaboration.private["members"]
    return named


def _specification(collaboration: Record, account: str) -> Mapping[str, Any]:
    return next(each for each in _members(collaboration) if each["accountId"] == account)


def _collaboration(call: Call, record: Record) -> dict[str, Any]:
    creator, *_ = _members(record)
    membership = member_of(call, record.key, call.account)
    own = (
        {}
        if membership is None
        else {"membershipId": membership.key, "membershipArn": membership_arn(call, membership)}
    )
    return {
        "queryLogStatus": "DISABLED",
        **record.document,
        **times(record),
        **own,
        "id": record.key,
        "arn": collaboration_arn(call, record),
        "name": record.name,
        "creatorAccountId": creator["accountId"],
        "creatorDisplayName": creator["displayName"],
        "memberStatus": _INVITED if membership is None else membership.status,
        "autoApprovedChangeTypes": record.document.get("autoApprovedChangeRequestTypes"),
    }


def _member(call: Call, place: Record) -> dict[str, Any]:
    member = _specification(place, place.account)
    membership = member_of(call, place.key, place.account)
    joined = (
        {}
        if membership is None
        else {"membershipId": membership.key, "membershipArn": membership_arn(call, membership)}
    )
    return {
        **times(place if membership is None else membership),
        **joined,
        "accountId": place.account,
        "status": _INVITED if membership is None else membership.status,
        "displayName": member["displayName"],
        "abilities": member.get("memberAbilities", []),
        "mlAbilities": member.get("mlMemberAbilities"),
        "paymentConfiguration": member["paymentConfiguration"],
    }


def _membership(call: Call, record: Record) -> dict[str, Any]:
    collaboration = call.store.get(COLLABORATION, record.collaboration)
    assert collaboration is not None
    of = _collaboration(call, collaboration)
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


def _payments(member: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return who pays as every membership shows it; where nobody was named, the member who can query pays."""
    found: dict[str, Any] = {}
    for path in (*_PAID, *_PAID_IF_NAMED):
        anyone = any(_pays(each.get("paymentConfiguration", {}), path) for each in members)
        if not anyone and path in _PAID_IF_NAMED:
            continue
        own = _pays(member.get("paymentConfiguration", {}), path) if anyone else CAN_QUERY in member["memberAbilities"]
        place = found
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = {"isResponsible": own}
    return found


def _unaccepted(call: Call, member: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what a member was named to pay and does not accept, and what it accepts and was not named for."""
    accepted = call.params.get("paymentConfiguration")
    can_query = CAN_QUERY in member.get("memberAbilities", ())
    for path in (*_PAID, *_PAID_IF_NAMED):
        named = _pays(member["paymentConfiguration"], path)
        if accepted is None and can_query:
            continue
        says = _pays(accepted or {}, path)
        name = ".".join(("paymentConfiguration", *path, "isResponsible"))
        if named and not says:
            yield Problem(name, "must be true: the collaboration names this member to pay for it")
        elif says and not named:
            yield Problem(name, "must be false: the collaboration does not name this member to pay for it")


def _pays(payment: Mapping[str, Any], path: Sequence[str]) -> bool:
    for name in path:
        payment = payment.get(name, {})
    return bool(payment.get("isResponsible"))
