"""From what an author has, files and names, to the calls of the API that start jobs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from cleanroom_algo.local.objects.listing import Source
from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.operations.registry import LocalTerms
from cleanroom_algo.local.planning.resuming import check_resumable
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.shapes import ML, members, operation_model
from cleanroom_algo.local.setup.binding import adopt
from cleanroom_algo.local.setup.quick_requests import incremental_channel, inference_request_for, request_for

TRAIN: Final = "CreateTrainedModel"
INFER: Final = "StartTrainedModelInferenceJob"


class JobCall(NamedTuple):
    """A call that starts a job; what it names is in the room.

    Attributes:
        operation: of the API.
        params: as boto3 takes them.
        account: that calls.
        terms: what no request of the API can say.
    """

    operation: str
    params: dict[str, Any]
    account: str
    terms: LocalTerms | None = None


def training_call(
    caller: Caller,
    algorithm: str | Path,
    channels: Mapping[str, Source],
    *,
    policies: Mapping[str, Any] | None = None,
    **options: Any,
) -> JobCall:
    """Return the call that trains an algorithm of this machine on files of this machine.

    Args:
        caller: of the room's operations.
        algorithm: a file, a folder, or an image.
        channels: folder, file or prefix in S3 by channel name.
        policies: of the algorithm's association.
        options: of `request_for`.

    Raises:
        What `adopt` raises.
    """
    params = request_for(caller.workspace.settings.machine, algorithm, channels, policies=policies, **options)
    return literal_call(caller, TRAIN, params, algorithm, channels, policies)


def inference_call(
    caller: Caller, model: Record, channel: Source, *, algorithm: str | Path | None = None, **options: Any
) -> JobCall:
    """Return the call that predicts from files of this machine.

    Args:
        caller: of the room's operations.
        model: the record of the version that predicts.
        channel: folder, file or prefix in S3.
        algorithm: predict with another one than the one that trained.
        options: of `inference_request_for`.

    Raises:
        What `adopt` raises.
    """
    machine = caller.workspace.settings.machine
    params = inference_request_for(machine, model, channel, algorithm=algorithm, **options)
    return literal_call(caller, INFER, params, algorithm, {"inference": channel})


def literal_call(
    caller: Caller,
    operation: str,
    params: dict[str, Any],
    algorithm: str | Path | None,
    channels: Mapping[str, Source],
    policies: Mapping[str, Any] | None = None,
) -> JobCall:
    """Return the call with literal parameters; what they name and the room lacks is bound to files: see `adopt`."""
    account = adopt(caller, params, algorithm=algorithm, channels=channels, operation=operation, policies=policies)
    return JobCall(operation, params, account)


def resuming_call(caller: Caller, record: Record) -> JobCall:
    """Return the call that continues a training job after its last whole epoch, with the same request.

    Args:
        caller: of the room's operations; nothing in the room changes.
        record: of a trained model.

    Raises:
        NotResumableError: CR-JOB-307. JobError: CR-JOB-305 or CR-JOB-306, what it was started with is gone.
    """
    check_resumable(caller.workspace, record)
    known = members(operation_model(ML, TRAIN).input_shape)
    params = {name: value for name, value in record.document.items() if name in known}
    params |= {"membershipIdentifier": record.membership, "name": record.name}
    base = record.private.get("base")
    if base is not None:
        channel = incremental_channel(base["key"], base["version"], base["channelName"])
        params["incrementalTrainingDataChannels"] = [channel]
    return JobCall(TRAIN, params, record.account, LocalTerms(resumes=(record.key, record.version)))
