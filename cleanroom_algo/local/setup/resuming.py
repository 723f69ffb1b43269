"""`train --resume`: the request of an earlier job once more, to go on from its last whole epoch."""

from __future__ import annotations

from typing import Any, NamedTuple

from cleanroom_algo.local.operations.registry import LocalTerms
from cleanroom_algo.local.planning.resuming import check_resumable
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace
from cleanroom_algo.local.service_model.shapes import ML, members, operation_model


class Resumed(NamedTuple):
    """A job that goes on.

    Attributes:
        request: the parameters of CreateTrainedModel.
        account: that calls.
        terms: what no request of the API can say: where it goes on.
    """

    request: dict[str, Any]
    account: str
    terms: LocalTerms


def resumed(workspace: Workspace, record: Record) -> Resumed:
    """Return the call that goes on where a training job has ended.

    Args:
        workspace: of the room; nothing in it changes.
        record: of a trained model.

    Raises:
        NotResumableError: CR-JOB-307. JobError: CR-JOB-305 or CR-JOB-306, what it was started with is gone.
    """
    check_resumable(workspace, record)
    known = members(operation_model(ML, "CreateTrainedModel").input_shape)
    request = {name: value for name, value in record.document.items() if name in known}
    request |= {"membershipIdentifier": record.membership, "name": record.name}
    base = record.private.get("base")
    if base is not None:
        version = {} if base["version"] is None else {"versionIdentifier": base["version"]}
        channel = {"trainedModelArn": base["key"], "channelName": base["channelName"], **version}
        request["incrementalTrainingDataChannels"] = [channel]
    return Resumed(request, record.account, LocalTerms(resumes=(record.key, record.version)))
