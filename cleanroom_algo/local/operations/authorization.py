"""Authorization: memberships, abilities, and finding the resources that a request names.

A member acts through its own membership. A request cannot find out whether another member's membership exists: in both
cases, the error is "access denied", the only such error that every operation declares. (Clean Rooms user guide, "IAM
behaviors for AWS Clean Rooms ML"; the abilities are those of botocore's `cleanrooms` model.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cleanroom_algo.errors import AccessDeniedError, ConflictError, Problem, ResourceNotFoundError
from cleanroom_algo.local.operations.registry import Call
from cleanroom_algo.local.resources.arns import COLLABORATION, MEMBERSHIP, ML_CONFIGURATION
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.validation import invalid

CAN_QUERY: Final = "CAN_QUERY"
CAN_RECEIVE_MODEL_OUTPUT: Final = "CAN_RECEIVE_MODEL_OUTPUT"
CAN_RECEIVE_INFERENCE_OUTPUT: Final = "CAN_RECEIVE_INFERENCE_OUTPUT"


def own_membership(call: Call, *, ended: bool = False) -> Record:
    """Return the caller's membership that the request names, if it is active.

    Args:
        call: of an operation.
        ended: whether it may also be inactive.

    Raises:
        AccessDeniedError: CR-REQ-004.
    """
    found = call.store.get(MEMBERSHIP, call.params["membershipIdentifier"])
    if found is None or found.account != call.account or not (ended or found.status == "ACTIVE"):
        raise AccessDeniedError(
            f"account {call.account} has no active membership with this identifier",
            expected="membershipIdentifier of the caller's own membership",
            fix="use your own membership, or call as its account (an access key ID of twelve digits is the account)",
        )
    return found


def own_collaboration(call: Call) -> str:
    """Return the identifier of the named collaboration, of which the caller must be an active member.

    Raises:
        AccessDeniedError: CR-REQ-004.
    """
    identifier: str = call.params["collaborationIdentifier"]
    memberships = call.store.find(MEMBERSHIP, collaboration=identifier, account=call.account, statuses=("ACTIVE",))
    if not memberships:
        raise AccessDeniedError(
            f"account {call.account} is not an active member of this collaboration",
            expected="collaborationIdentifier of a collaboration that the caller has joined",
            fix="create a membership first, or call as a member",
        )
    return identifier


def abilities(membership: Record) -> frozenset[str]:
    """Return the abilities of a member, including those for custom models."""
    ml: Mapping[str, Any] = membership.document.get("mlMemberAbilities", {})
    return frozenset((*membership.document.get("memberAbilities", ()), *ml.get("customMLMemberAbilities", ())))


def require_ability(membership: Record, ability: str) -> None:
    """Check that a member may do something.

    Raises:
        AccessDeniedError: CR-REQ-004.
    """
    if ability not in abilities(membership):
        raise AccessDeniedError(
            f"account {membership.account} lacks the ability {ability} in this collaboration",
            expected=f"a member with {ability}",
            fix="call as the member who has it, or grant it when you create the collaboration"
            + _in_file(membership, "abilities"),
        )


def active_memberships(call: Call, collaboration: str) -> list[Record]:
    """Return the active memberships of a collaboration, the latest first."""
    return call.store.find(MEMBERSHIP, collaboration=collaboration, statuses=("ACTIVE",))


def member_of(call: Call, collaboration: str, account: str) -> Record | None:
    """Return the active membership of an account in a collaboration, or None."""
    found = call.store.find(MEMBERSHIP, collaboration=collaboration, account=account, statuses=("ACTIVE",), limit=1)
    return found[0] if found else None


def receiver_location(call: Call, collaboration: str, ability: str) -> str:
    """Return the s3:// URI to which the only receiver wants an output to be written.

    Raises:
        InvalidRequestError: CR-REQ-001, the account is not a member, lacks the ability, or has no ML configuration.
    """
    path = "outputConfiguration.members[0].accountId"
    member = member_of(call, collaboration, call.params["outputConfiguration"]["members"][0]["accountId"])
    if member is None:
        raise invalid(call.operation, [Problem(path, "is not an active member of the collaboration")])
    if ability not in abilities(member):
        raise invalid(
            call.operation, [Problem(path, f"is a member without {ability}{_in_file(member, 'ml_abilities')}")]
        )
    configuration = call.store.get(ML_CONFIGURATION, member.key)
    destination = {} if configuration is None else configuration.document["defaultOutputLocation"].get("destination")
    if not destination:
        raise invalid(
            call.operation,
            [
                Problem(
                    path,
                    "has no ML configuration with a destination; call PutMLConfiguration" + _in_file(member, "output"),
                )
            ],
        )
    uri: str = destination["s3Destination"]["s3Uri"]
    return uri


def pays(payment: Mapping[str, Any], what: Sequence[str]) -> bool:
    """Whether a payment configuration says that its member pays for something; `what` is a path in it."""
    for name in what:
        payment = payment.get(name, {})
    return bool(payment.get("isResponsible"))


def payer(call: Call, collaboration: str, path: str, what: Sequence[str]) -> dict[str, str]:
    """Return the payer as members of a document: the named one, or else the member who is responsible.

    Args:
        call: of the operation.
        collaboration: identifier.
        path: of the parameter, such as `mlModelTrainingPayerAccountId`, or `payerConfiguration.computePayerAccountId`.
        what: a path in `paymentConfiguration`, such as `machineLearning`, `modelTraining`.

    Raises:
        InvalidRequestError: CR-REQ-001, the named account is not responsible for it.
    """
    members = active_memberships(call, collaboration)
    responsible = [each.account for each in members if pays(each.document.get("paymentConfiguration", {}), what)]
    *outer, member = path.split(".")
    place: Mapping[str, Any] = call.params
    for name in outer:
        place = place.get(name, {})
    named = place.get(member)
    if named is None:
        return {member: responsible[0]} if len(responsible) == 1 else {}
    if named not in responsible:
        raise invalid(call.operation, [Problem(path, f"is not a member that pays for {what[-1]}")])
    return {member: named}


def in_account(call: Call, kind: str, key: str) -> Record:
    """Return a resource of the caller's own account.

    Raises:
        ResourceNotFoundError: CR-REQ-003.
    """
    found = call.store.get(kind, key)
    if found is None or found.account != call.account:
        raise not_found(kind, "account")
    return found


def in_membership(call: Call, kind: str, key: str, version: str | None = None) -> Record:
    """Return a resource of the caller's own membership.

    Raises:
        AccessDeniedError: CR-REQ-004. ResourceNotFoundError: CR-REQ-003.
    """
    membership = own_membership(call)
    found = call.store.get(kind, key, version)
    if found is None or found.membership != membership.key:
        raise not_found(kind, "membership", version)
    return found


def in_collaboration(call: Call, kind: str, key: str, collaboration: str, version: str | None = None) -> Record:
    """Return a resource of any member of a collaboration.

    Raises:
        ResourceNotFoundError: CR-REQ-003.
    """
    found = call.store.get(kind, key, version)
    if found is None or found.collaboration != collaboration:
        raise not_found(kind, COLLABORATION, version)
    return found


def not_found(kind: str, where: str, version: str | None = None) -> ResourceNotFoundError:
    """Return the error for a resource that does not exist."""
    what = f"version of the {kind.replace('-', ' ')}" if version else kind.replace("-", " ")
    return ResourceNotFoundError(
        f"the {what} does not exist in this {where}",
        expected="an ARN that the room has returned, and the version if it has one",
        fix="list the resources to find the ARN",
    )


def unique_name(call: Call, kind: str, name: str, statuses: tuple[str, ...] = (), **where: str) -> None:
    """Check that a name is not used; that names must differ is a guess from the declared ConflictException.

    Raises:
        ConflictError: CR-REQ-002.
    """
    if call.store.count(kind, name=name, statuses=statuses, **where):
        raise ConflictError(
            f"another {kind.replace('-', ' ')} already has this name",
            expected="a unique name",
            fix="choose another name; resources cannot be edited, and only some can be deleted",
        )


def path_name(call: Call) -> None:
    """Check a name that becomes part of the location of outputs.

    Raises:
        InvalidRequestError: CR-REQ-001.
    """
    if {".", ".."} & set(call.params["name"].split("/")):
        raise invalid(
            call.operation,
            [Problem("name", "must not contain . or .. between slashes, because it becomes a part of a path")],
        )


def _in_file(member: Record, key: str) -> str:
    """Return where a file that declares the room has a property of a member; nothing for a member without a name."""
    return "" if member.name == member.account else f" (in cleanroom.toml: {key} of [members.{member.name}])"
