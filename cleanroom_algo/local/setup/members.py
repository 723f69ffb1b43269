"""Names and joins the members of a collaboration by calling the operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.operations.collaborations import OF_CREATOR, add_member
from cleanroom_algo.local.operations.registry import LocalTerms
from cleanroom_algo.local.resources.arns import COLLABORATION, MEMBERSHIP, ML_CONFIGURATION
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.shapes import CLEANROOMS
from cleanroom_algo.local.setup.names import role


def create_collaboration(caller: Caller, identifier: str, name: str, members: Sequence[Mapping[str, Any]]) -> Record:
    """Return a collaboration; if it does not exist, the first member creates it and names the others.

    Args:
        caller: of the room's operations.
        identifier: of the collaboration.
        name: of the collaboration.
        members: at least one, in the form of CreateCollaboration's members.
    """
    store = caller.workspace.store
    creator, *others = members
    if store.get(COLLABORATION, identifier) is None:
        own = {OF_CREATOR[member]: value for member, value in creator.items() if member in OF_CREATOR}
        asked = {"name": name, "members": others, "queryLogStatus": "DISABLED", **own}
        terms = LocalTerms(identifier)
        caller.call("CreateCollaboration", asked, creator["accountId"], service=CLEANROOMS, terms=terms)
    made = store.get(COLLABORATION, identifier)
    assert made is not None
    return made


def join(caller: Caller, collaboration: str, member: Mapping[str, Any], membership: str, output: str | None) -> Record:
    """Return a membership; if it does not exist, the member is named and joins.

    Args:
        caller: of the room's operations.
        collaboration: identifier of the collaboration, which is created if necessary.
        member: in the form of CreateCollaboration's members.
        membership: its identifier.
        output: the s3:// URI of the member's ML configuration; None for a member without one.
    """
    store = caller.workspace.store
    account: str = member["accountId"]
    existing = store.get(MEMBERSHIP, membership)
    if existing is None:
        add_member(store, create_collaboration(caller, collaboration, "local", [member]), member)
        asked = {"collaborationIdentifier": collaboration, "queryLogStatus": "DISABLED"}
        if "paymentConfiguration" in member:
            asked["paymentConfiguration"] = member["paymentConfiguration"]
        caller.call("CreateMembership", asked, account, service=CLEANROOMS, terms=LocalTerms(membership))
    made = store.get(MEMBERSHIP, membership)
    assert made is not None
    if output is not None and store.get(ML_CONFIGURATION, membership) is None:
        configure_output(caller, made, output)
    return made


def configure_output(caller: Caller, membership: Record, output: str) -> None:
    """Set the ML configuration of a membership, which replaces an earlier one.

    Args:
        caller: of the room's operations.
        membership: of the member.
        output: an s3:// URI.
    """
    location = {"destination": {"s3Destination": {"s3Uri": output}}, "roleArn": role(membership.account)}
    own = {"membershipIdentifier": membership.key, "defaultOutputLocation": location}
    caller.call("PutMLConfiguration", own, membership.account)
