"""The locations for a member's outputs, logs and metrics: one ML configuration for each membership."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cleanroom_algo.local.operations.authorization import in_membership, own_membership
from cleanroom_algo.local.operations.projections import show
from cleanroom_algo.local.operations.registry import Call, ml_operation
from cleanroom_algo.local.resources.arns import ML_CONFIGURATION
from cleanroom_algo.local.resources.store import Record


@ml_operation("PutMLConfiguration")
def put_configuration(call: Call) -> Mapping[str, Any]:
    """Set, or replace, the configuration of the caller's membership."""
    membership, store = own_membership(call), call.store
    document = {"defaultOutputLocation": call.params["defaultOutputLocation"]}
    existing = store.get(ML_CONFIGURATION, membership.key)
    if existing is not None:
        store.update(existing, document=document)
        return {}
    store.insert(
        Record(
            kind=ML_CONFIGURATION,
            key=membership.key,
            account=call.account,
            membership=membership.key,
            collaboration=membership.collaboration,
            document=document,
        )
    )
    return {}


@ml_operation("GetMLConfiguration")
def get_configuration(call: Call) -> Mapping[str, Any]:
    """Return the configuration of the caller's membership."""
    return show(call, in_membership(call, ML_CONFIGURATION, call.params["membershipIdentifier"]))


@ml_operation("DeleteMLConfiguration")
def delete_configuration(call: Call) -> Mapping[str, Any]:
    """Remove the configuration of the caller's membership."""
    call.store.delete(in_membership(call, ML_CONFIGURATION, call.params["membershipIdentifier"]))
    return {}
