"""What an operation shows of a record: only the members of its output shape.

So the collaboration's view hides environment, hyperparameters, keys and tags without a list of them here: its shapes
lack them (botocore model; Clean Rooms user guide, "IAM behaviors for AWS Clean Rooms ML").
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cleanroom_algo.contract.redaction import error_summary
from cleanroom_algo.local.operations.paging import DEFAULT_PAGE, page
from cleanroom_algo.local.operations.registry import Call
from cleanroom_algo.local.policies.recipients import Recipients
from cleanroom_algo.local.resources.arns import (
    ALGORITHM,
    ASSOCIATION,
    INFERENCE_JOB,
    INPUT_CHANNEL,
    TRAINED_MODEL,
)
from cleanroom_algo.local.resources.documents import Json
from cleanroom_algo.local.resources.states import FAILED
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.shapes import ML, members, operation_model

Describe = Callable[[Call, Record], Mapping[str, Any]]

_KEY_MEMBERS: Mapping[str, str] = {
    ALGORITHM: "configuredModelAlgorithmArn",
    ASSOCIATION: "configuredModelAlgorithmAssociationArn",
    INPUT_CHANNEL: "mlInputChannelArn",
    TRAINED_MODEL: "trainedModelArn",
    INFERENCE_JOB: "trainedModelInferenceJobArn",
}


def show(call: Call, record: Record) -> dict[str, Any]:
    """Return what a Get operation shows of a record."""
    return _project(operation_model(ML, call.operation).output_shape, record, call)


def show_page(
    call: Call,
    find: Callable[[int | None, int], Sequence[Record]],
    *,
    default: int = DEFAULT_PAGE,
    describe: Describe | None = None,
) -> dict[str, Any]:
    """Return the result of a List operation: the summaries of a page, and a token if there are more.

    Args:
        call: of the operation.
        find: see `page`.
        default: records per page if maxResults is omitted.
        describe: values of a record by member, if its columns and its document are not enough.
    """
    name, summary = _list_shape(call)
    records, token = page(call, find, default=default)
    if describe is None:
        return {name: [_project(summary, record, call) for record in records], **token}
    return {name: [_chosen(summary, describe(call, record)) for record in records], **token}


def show_summary(call: Call, record: Record) -> dict[str, Any]:
    """Return what a List operation shows of one record."""
    return _project(_list_shape(call)[1], record, call)


def show_one(call: Call, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of an operation whose output has one structure, as in `cleanrooms`."""
    ((name, shape),) = members(operation_model(call.service, call.operation).output_shape).items()
    return {name: _chosen(shape, values)}


def show_members(call: Call, name: str, values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a list in an operation's output; its structures have only the members that the model names."""
    shape: Any = members(operation_model(call.service, call.operation).output_shape)[name]
    return {name: [_chosen(shape.member, each) for each in values]}


def times(record: Record) -> dict[str, dt.datetime]:
    """Return the times of creation and last change of a record, as members."""
    return {
        "createTime": dt.datetime.fromtimestamp(record.created, dt.UTC),
        "updateTime": dt.datetime.fromtimestamp(record.updated, dt.UTC),
    }


def _list_shape(call: Call) -> tuple[str, Any]:
    """Return the name of a List operation's list, and the shape of its items."""
    shapes: Mapping[str, Any] = members(operation_model(call.service, call.operation).output_shape)
    ((name, shape),) = [(name, child) for name, child in shapes.items() if child.type_name == "list"]
    return name, shape.member


def _chosen(shape: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name in members(shape) if (value := values.get(name)) is not None}


def _project(shape: Any, record: Record, call: Call) -> dict[str, Any]:
    columns: dict[str, Any] = {
        **times(record),
        "name": record.name,
        "status": record.status,
        "creatorAccountId": record.account,
        "membershipIdentifier": record.membership,
        "collaborationIdentifier": record.collaboration,
    }
    if record.kind in _KEY_MEMBERS:
        columns[_KEY_MEMBERS[record.kind]] = record.key
    if record.kind == TRAINED_MODEL and record.version is not None:
        columns["versionIdentifier"] = record.version
    wanted = members(shape)
    if "logsStatus" in wanted and (recipients := Recipients.kept_by(record)) is not None:
        columns |= recipients.shown(call.account)
    document = record.document
    held = (document.whole() if isinstance(document, Json) else document).get
    if record.status == FAILED and call.account != record.account and (details := held("statusDetails")):
        columns["statusDetails"] = _for_others(details)
    return {name: value for name in wanted if (value := columns.get(name) or held(name)) is not None}


def _for_others(details: Mapping[str, str]) -> dict[str, str]:
    """Return the reason of a failed job for accounts that did not start it: a container may have written the text."""
    return {**details, "message": error_summary(f"{details['statusCode']}: {details['message']}")}
