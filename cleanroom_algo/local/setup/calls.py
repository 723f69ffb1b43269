"""From an author's files and names to the calls of the API that start jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.errors import BindingError, NoSuchRecordError, Problem
from cleanroom_algo.local.objects.listing import Source
from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.operations.registry import LocalTerms
from cleanroom_algo.local.planning.inputs import algorithm_source, record_of_job
from cleanroom_algo.local.planning.resuming import check_resumable
from cleanroom_algo.local.plans.training_plan import AlgorithmSource
from cleanroom_algo.local.resources.arns import ASSOCIATION, INFERENCE_JOB, INPUT_CHANNEL, TRAINED_MODEL
from cleanroom_algo.local.resources.states import ACTIVE
from cleanroom_algo.local.resources.store import Record, Store
from cleanroom_algo.local.service_model.shapes import ML, members, operation_model
from cleanroom_algo.local.setup.binding import prepare_binding
from cleanroom_algo.local.setup.quick_requests import (
    AS_IT_IS,
    Configured,
    incremental_channel,
    inference_request_for,
    request_for,
)

TRAIN: Final = "CreateTrainedModel"
INFER: Final = "StartTrainedModelInferenceJob"
_MADE: Final = {TRAIN: (TRAINED_MODEL, "trainedModelArn"), INFER: (INFERENCE_JOB, "trainedModelInferenceJobArn")}
"""The kind of the record that each operation creates, and the member of its output with the ARN."""

ROOM_CHANNEL: Final = "room:"
"""The prefix of channels of the room, where paths are also possible."""


def room_channel(store: Store, words: str) -> Record:
    """Return the channel of the room with a name: one with a query, not a bound folder.

    Args:
        store: of the room.
        words: `room:` with a name or an ARN.

    Raises:
        NoSuchRecordError: CR-CLI-007, there is none, or several members have one with this name.
    """
    name = words.removeprefix(ROOM_CHANNEL)
    known = [each for each in store.find(INPUT_CHANNEL) if "location" not in each.private]
    found = [each for each in known if name in (each.name, each.key)]
    active = [each for each in found if each.status == ACTIVE] or found
    if len(active) == 1:
        return active[0]
    names = sorted({each.name for each in known})
    several = f"{len(active)} channels {name!r}" if active else f"no channel {name!r} of a query"
    raise NoSuchRecordError(
        f"the room has {several}" + ("" if active else did_you_mean(name, names)),
        expected=f"the name of one declared channel, or its ARN; the names are: {', '.join(names) or 'none'}",
        fix="use its ARN, which `cleanroom-algo show NAME` prints" if active else "see `cleanroom-algo show`",
    )


class JobCall(NamedTuple):
    """A call that starts a job.

    Attributes:
        operation: of the API.
        params: in the form of boto3.
        account: of the caller.
        terms: properties that requests of the API cannot contain.
        bind: creates the resources that the request names and the room lacks.
    """

    operation: str
    params: dict[str, Any]
    account: str
    terms: LocalTerms | None = None
    bind: Callable[[], None] = lambda: None


def make_call(caller: Caller, call: JobCall, check: Callable[[], None] = lambda: None) -> Record:
    """Start a job, and return its record; if it is refused, the room is not changed.

    Args:
        caller: of the room's operations.
        call: of the job.
        check: called when the resources of the job exist; it raises an error to refuse the job.

    Raises:
        The errors of the operation, of `prepare_binding` and of the check.
    """
    with caller.transaction():
        call.bind()
        check()
        made = caller.call(call.operation, call.params, call.account, terms=call.terms)
        kind, member = _MADE[call.operation]
        record = caller.workspace.store.get(kind, made[member], made.get("versionIdentifier"))
    assert record is not None
    return record


def training_call(
    caller: Caller,
    algorithm: str | Path | None,
    channels: Mapping[str, Source | Record],
    *,
    configured: Configured = AS_IT_IS,
    **options: Any,
) -> JobCall:
    """Return the call that trains an algorithm on files of this machine, or on channels of the room.

    Args:
        caller: of the room's operations.
        algorithm: a file, a folder, or an image; with channels of the room, None or the one of the channels.
        channels: folder, file or prefix in S3, or the record of a channel of the room, by channel name.
        configured: the configuration of the algorithm, in addition to its image.
        options: of `request_for`.

    Raises:
        The errors of `prepare_binding`. BindingError: CR-ROM-003, also if the channels are for another algorithm.
    """
    machine = caller.workspace.settings.machine
    own = [each for each in channels.values() if isinstance(each, Record)]
    files = {name: each for name, each in channels.items() if not isinstance(each, Record)}
    if own:
        association = _association_of(caller, own, algorithm, configured)
        params = request_for(machine, association.name, channels, **options)
        return literal_call(caller, TRAIN, params, None, files)
    assert algorithm is not None
    params = request_for(machine, algorithm, channels, configured=configured, **options)
    return literal_call(caller, TRAIN, params, algorithm, files, configured)


def _association_of(
    caller: Caller, channels: Sequence[Record], algorithm: str | Path | None, configured: Configured
) -> Record:
    """Return the association for which channels of the room were created.

    Raises:
        BindingError: CR-ROM-003, there are several, or another algorithm is requested.
    """
    workspace = caller.workspace
    association = record_of_job(workspace, ASSOCIATION, channels[0].parent)
    problems = [
        Problem(each.name, "was created for another algorithm, or by another member")
        for each in channels
        if (each.parent, each.membership) != (association.key, channels[0].membership)
    ]
    own = algorithm_source(workspace, association, "trainingContainerConfig")
    wanted = None if algorithm is None else AlgorithmSource(str(algorithm))
    if wanted is not None and (wanted.path or wanted.image_uri) != (own.path or own.image_uri):
        problems.append(Problem(channels[0].name, f"was created for {own.image_uri}, not for {algorithm}"))
    if configured.identity:
        problems.append(Problem(association.name, "already has its configuration: entrypoint, arguments, policies"))
    if problems:
        raise BindingError(
            "the channels of the room can be used only with the algorithm for which they were declared",
            expected="channels of one algorithm, without another algorithm",
            fix="omit the algorithm, or declare it in cleanroom.toml with its own channels",
            problems=problems,
        )
    return association


def inference_call(
    caller: Caller, model: Record, channel: Source | Record, *, algorithm: str | Path | None = None, **options: Any
) -> JobCall:
    """Return the call that predicts from files of this machine.

    Args:
        caller: of the room's operations.
        model: the record of the version that predicts.
        channel: folder, file or prefix in S3, or the record of a channel of the room.
        algorithm: another algorithm than the one that trained the model.
        options: of `inference_request_for`.

    Raises:
        The errors of `prepare_binding`.
    """
    machine = caller.workspace.settings.machine
    params = inference_request_for(machine, model, channel, algorithm=algorithm, **options)
    files = {} if isinstance(channel, Record) else {"inference": channel}
    return literal_call(caller, INFER, params, algorithm, files)


def literal_call(
    caller: Caller,
    operation: str,
    params: dict[str, Any],
    algorithm: str | Path | None,
    channels: Mapping[str, Source],
    configured: Configured = AS_IT_IS,
) -> JobCall:
    """Return the call with literal parameters; missing resources will be bound to files: see `prepare_binding`."""
    account, bind = prepare_binding(
        caller, params, algorithm=algorithm, channels=channels, operation=operation, configured=configured
    )
    return JobCall(operation, params, account, bind=bind)


def resuming_call(caller: Caller, record: Record) -> JobCall:
    """Return the call that continues a training job after its last complete epoch, with the same request.

    Args:
        caller: of the room's operations; the room is not changed.
        record: of a trained model.

    Raises:
        NotResumableError: CR-JOB-307. JobError: CR-JOB-305 or CR-JOB-306, one of its inputs no longer exists.
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
