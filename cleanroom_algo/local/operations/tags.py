"""Tags. Only the account that owns a resource can see and set them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cleanroom_algo.local.operations.authorization import not_found
from cleanroom_algo.local.operations.quotas import check_tags
from cleanroom_algo.local.operations.registry import Call, ml_operation
from cleanroom_algo.local.resources.arns import Arn
from cleanroom_algo.local.resources.store import Record


@ml_operation("ListTagsForResource")
def list_tags(call: Call) -> Mapping[str, Any]:
    """Return the tags of a resource."""
    return {"tags": _resource(call).document.get("tags", {})}


@ml_operation("TagResource")
def tag(call: Call) -> Mapping[str, Any]:
    """Add tags to a resource, or change them."""
    resource = _resource(call)
    tags = {**resource.document.get("tags", {}), **call.params["tags"]}
    check_tags(call, tags)
    _set(call, resource, tags)
    return {}


@ml_operation("UntagResource")
def untag(call: Call) -> Mapping[str, Any]:
    """Remove tags from a resource; keys that it does not have are ignored."""
    resource = _resource(call)
    gone = set(call.params["tagKeys"])
    _set(call, resource, {k: v for k, v in resource.document.get("tags", {}).items() if k not in gone})
    return {}


def _resource(call: Call) -> Record:
    arn = call.params["resourceArn"]
    kind = Arn.parse(arn).kind
    found = call.store.find(kind, key=arn, account=call.account)
    if not found:
        raise not_found(kind, "account")
    return found[0]


def _set(call: Call, resource: Record, tags: Mapping[str, str]) -> None:
    # The versions of a trained model share one ARN, and so they share its tags.
    for each in call.store.find(resource.kind, key=resource.key):
        call.store.update(each, document={"tags": dict(tags)}, touch=False)
