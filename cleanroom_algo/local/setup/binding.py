"""Requests on local files: the ARNs that a request file names, or that the quick path makes, stand for them.

`adopt` registers whatever a request names and the room lacks: its collaboration, membership, algorithm, association and
ML input channels, under exactly those ARNs. From then on everything is the same as for resources made by the API.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cleanroom_algo.contract.algorithm import algorithm_file
from cleanroom_algo.contract.settings import variable
from cleanroom_algo.errors import BindingError, Problem
from cleanroom_algo.local.objects.listing import Source
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.objects.s3 import S3Prefix
from cleanroom_algo.local.plans.training_plan import AlgorithmSource
from cleanroom_algo.local.resources.arns import (
    ALGORITHM,
    ASSOCIATION,
    COLLABORATION,
    INPUT_CHANNEL,
    MEMBERSHIP,
    ML_CONFIGURATION,
    Arn,
    new_arn,
)
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.shapes import ML, operation_model
from cleanroom_algo.local.service_model.validation import faults, invalid

if TYPE_CHECKING:
    from cleanroom_algo.local.room import Room

BASE_CHANNEL: Final = "base_model"
"""The name of the incremental channel on the quick path."""
WHOLE_TRACEBACKS: Final = {variable("tracebacks"): "whole"}
"""On the quick path authors run their own code on files of their own."""

_NAMESPACE = uuid.UUID("c1ea2400-0000-4000-8000-00000000a190")  # for names of local files; any constant would do
_MAX_URI = 255  # botocore model: ContainerConfig.imageUri
_BOUND_QUERY = "SELECT * FROM a_local_folder"
_ML_ABILITIES = ["CAN_RECEIVE_MODEL_OUTPUT", "CAN_RECEIVE_INFERENCE_OUTPUT"]


def adopt(
    room: Room,
    request: Mapping[str, Any],
    *,
    algorithm: str | Path | None,
    channels: Mapping[str, Source],
    operation: str = "CreateTrainedModel",
) -> str:
    """Make the resources that a request names and the room lacks, and return the account that calls.

    Args:
        room: the clean room.
        request: literal parameters, of CreateTrainedModel or StartTrainedModelInferenceJob.
        algorithm: what the association stands for: a file, a folder, or an image; None if the room has the association.
        channels: folder, file or prefix in S3 for each channel name of the request that the room lacks; an inference
            job's one channel has any name.
        operation: whose parameters they are.

    Raises:
        InvalidRequestError: CR-REQ-001, the request breaks the model; nothing is made then.
        AlgorithmNotFoundError: CR-CON-004, there is nothing at the algorithm's path.
        BindingError: CR-ROM-003, something to be bound is not given, not there, or not of this request.
        RoomError: CR-ROM-004 or CR-ROM-007, a prefix in S3 cannot be listed, or has no objects.
    """
    if problems := faults(operation_model(ML, operation).input_shape, request):
        raise invalid(operation, problems)
    if algorithm is not None and AlgorithmSource(str(algorithm)).path is None and _is_spelt_as_path(algorithm):
        algorithm_file(algorithm)
    wanted = _channels(request, channels)
    if unbound := _unbound(room, request, algorithm, wanted, channels):
        raise BindingError(
            "the request names what the room does not have",
            expected="each of them in the room, or bound to a local file or folder",
            fix="add --algorithm PATH, --channel NAME=PATH, or make them with the API first",
            problems=unbound,
        )
    arns = [request.get("configuredModelAlgorithmAssociationArn"), *wanted.values()]
    account = _account(room, request["membershipIdentifier"], [arn for arn in arns if arn])
    # Before the transaction: S3 may take its time, and meanwhile nobody else could write.
    objects = {name: room.source_objects(channels[name]) for name in wanted if name in channels}
    with room.store.transaction():
        own = _membership(room, request["membershipIdentifier"], account, None)
        association = request.get("configuredModelAlgorithmAssociationArn")
        if algorithm is not None and association is not None:
            _bind_algorithm(room, association, algorithm, own.collaboration)
        for name, arn in wanted.items():
            if name in channels:
                _bind_channel(room, arn, (name, channels[name], objects[name]), association, own.collaboration)
    return account


def request_for(
    room: Room,
    algorithm: str | Path,
    channels: Mapping[str, Source],
    *,
    name: str | None = None,
    hosts: int = 1,
    distribution: str = "FullyReplicated",
    input_mode: str = "File",
    instance_type: str = "ml.m5.2xlarge",
    volume_gb: int = 30,
    hyperparameters: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    base_model: Record | None = None,
    max_runtime: int | None = None,
) -> dict[str, Any]:
    """Return the literal parameters of CreateTrainedModel; the ARNs are the same whenever the files are.

    Args:
        room: the clean room; nothing in it changes.
        algorithm: a file, a folder, or an image.
        channels: folder, file or prefix in S3 by channel name.
        name: of the trained model; after the algorithm if None.
        hosts: 1 to 5.
        distribution: FullyReplicated or ShardedByS3Key, of all channels.
        input_mode: File, FastFile or Pipe.
        instance_type: as the API knows them.
        volume_gb: 1 to 8192.
        hyperparameters: strings.
        environment: of the containers.
        base_model: the record of the version to start from.
        max_runtime: seconds.
    """
    account = base_model.account if base_model else room.settings.machine.account
    membership = base_model.membership if base_model else _identifier("membership", account)
    request: dict[str, Any] = {
        "membershipIdentifier": membership,
        "name": name or (base_model.name if base_model else model_name(algorithm)),
        "configuredModelAlgorithmAssociationArn": _local_arn(room, ASSOCIATION, account, membership, _spelt(algorithm)),
        "resourceConfig": {"instanceCount": hosts, "instanceType": instance_type, "volumeSizeInGB": volume_gb},
        "dataChannels": [
            {
                "mlInputChannelArn": _local_arn(room, INPUT_CHANNEL, account, membership, f"{each}={_spelt(path)}"),
                "channelName": each,
                "s3DataDistributionType": distribution,
            }
            for each, path in channels.items()
        ],
        "trainingInputMode": input_mode,
        "environment": {**WHOLE_TRACEBACKS, **(environment or {})},
    }
    if hyperparameters:
        request["hyperparameters"] = dict(hyperparameters)
    if max_runtime is not None:
        request["stoppingCondition"] = {"maxRuntimeInSeconds": max_runtime}
    if base_model is not None:
        version = {} if base_model.version is None else {"versionIdentifier": base_model.version}
        channel = {"trainedModelArn": base_model.key, **version, "channelName": BASE_CHANNEL}
        request["incrementalTrainingDataChannels"] = [channel]
    return request


def inference_request_for(
    room: Room,
    model: Record,
    channel: Source,
    *,
    name: str | None = None,
    instances: int = 1,
    instance_type: str = "ml.m5.2xlarge",
    accept: str | None = None,
    max_payload_mb: int | None = None,
    environment: Mapping[str, str] | None = None,
    algorithm: str | Path | None = None,
) -> dict[str, Any]:
    """Return the literal parameters of StartTrainedModelInferenceJob.

    Args:
        room: the clean room; nothing in it changes.
        model: the record of the version that predicts.
        channel: folder, file or prefix in S3 with what to predict from.
        name: of the job; after the model if None.
        instances: 1 to 10.
        instance_type: as the API knows them.
        accept: content type of the predictions; the container's own choice if None.
        max_payload_mb: 1 to 100.
        environment: of the containers.
        algorithm: predict with another file than the one that trained.
    """
    arn = _local_arn(room, INPUT_CHANNEL, model.account, model.membership, f"inference={_spelt(channel)}")
    association = model.parent
    if algorithm is not None:
        association = _local_arn(room, ASSOCIATION, model.account, model.membership, _spelt(algorithm))
    request: dict[str, Any] = {
        "membershipIdentifier": model.membership,
        "name": name or f"{model.name[:50]}-{uuid.uuid4().hex[:8]}",
        "trainedModelArn": model.key,
        "configuredModelAlgorithmAssociationArn": association,
        "resourceConfig": {"instanceType": instance_type, "instanceCount": instances},
        "outputConfiguration": {"members": [{"accountId": model.account}]},
        "dataSource": {"mlInputChannelArn": arn},
        "environment": {**WHOLE_TRACEBACKS, **(environment or {})},
    }
    if model.version is not None:
        request["trainedModelVersionIdentifier"] = model.version
    if accept is not None:
        request["outputConfiguration"]["accept"] = accept
    if max_payload_mb is not None:
        request["containerExecutionParameters"] = {"maxPayloadInMB": max_payload_mb}
    return request


def model_name(algorithm: str | Path) -> str:
    """Return a name for what an algorithm trains: that of its file or folder, 1 to 63 characters."""
    stem = Path(str(algorithm).rstrip("/")).stem.partition(":")[0]
    return re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-")[:63] or "model"


def _channels(request: Mapping[str, Any], given: Mapping[str, Source]) -> dict[str, str]:
    if "dataSource" in request:
        name = next(iter(given), "inference")
        return {name: request["dataSource"]["mlInputChannelArn"]}
    return {each["channelName"]: each["mlInputChannelArn"] for each in request["dataChannels"]}


def _unbound(
    room: Room,
    request: Mapping[str, Any],
    algorithm: str | Path | None,
    wanted: Mapping[str, str],
    channels: Mapping[str, Source],
) -> Sequence[Problem]:
    problems: list[Problem] = []
    association = request.get("configuredModelAlgorithmAssociationArn")
    known = association is None or room.store.get(ASSOCIATION, association) is not None
    if algorithm is None and not known:
        problems.append(
            Problem("configuredModelAlgorithmAssociationArn", "is not in the room, and no algorithm is given")
        )
    problems += [
        Problem(name, f"is not in the room ({arn}), and no folder is given for it")
        for name, arn in wanted.items()
        if name not in channels and room.store.get(INPUT_CHANNEL, arn) is None
    ]
    problems += [Problem(name, "is no channel of the request") for name in channels if name not in wanted]
    problems += [Problem(name, f"has nothing at {path}") for name, path in channels.items() if _is_absent(path)]
    for kind, arn in [(ASSOCIATION, association if algorithm is not None else None)] + [
        (INPUT_CHANNEL, wanted[name]) for name in channels if name in wanted
    ]:
        existing = None if arn is None else room.store.get(kind, arn)
        if existing is not None and not existing.private.get("adopted"):
            problems.append(Problem(str(arn), "was made with the API, and stays what it is"))
    return problems


def _account(room: Room, membership: str, arns: Sequence[str]) -> str:
    existing = room.store.get(MEMBERSHIP, membership)
    if existing is not None:
        return existing.account
    parsed = [Arn.parse(arn) for arn in arns]
    return next((each.account for each in parsed if each.membership == membership), room.settings.machine.account)


def _membership(room: Room, identifier: str, account: str, collaboration: str | None) -> Record:
    existing = room.store.get(MEMBERSHIP, identifier)
    if existing is not None:
        return existing
    collaboration = collaboration or _identifier("collaboration", identifier)
    if room.store.get(COLLABORATION, collaboration) is None:
        room.store.insert(
            Record(kind=COLLABORATION, key=collaboration, account=account, name="local", collaboration=collaboration)
        )
    paying = {"isResponsible": not room.members(collaboration)}
    record = room.store.insert(
        Record(
            kind=MEMBERSHIP,
            key=identifier,
            account=account,
            membership=identifier,
            collaboration=collaboration,
            status="ACTIVE",
            document={
                "memberAbilities": ["CAN_QUERY"],
                "mlMemberAbilities": {"customMLMemberAbilities": _ML_ABILITIES},
                "paymentConfiguration": {
                    "queryCompute": paying,
                    "machineLearning": {"modelTraining": paying, "modelInference": paying},
                },
            },
            private={"adopted": True},
        )
    )
    room.store.insert(
        Record(
            kind=ML_CONFIGURATION,
            key=identifier,
            account=account,
            membership=identifier,
            collaboration=collaboration,
            document={
                "defaultOutputLocation": {
                    "destination": {"s3Destination": {"s3Uri": f"s3://cleanroom-output-{account}/"}},
                    "roleArn": _role(account),
                }
            },
        )
    )
    return record


def _bind_algorithm(room: Room, association: str, algorithm: str | Path, collaboration: str) -> None:
    source = _spelt(algorithm)
    arn = Arn.parse(association)
    existing = room.store.get(ASSOCIATION, association)
    container = {"imageUri": source if len(source) <= _MAX_URI else source[-_MAX_URI:]}
    document = {"trainingContainerConfig": container, "inferenceContainerConfig": container}
    if existing is not None:
        parent = room.store.get(ALGORITHM, existing.parent)
        assert parent is not None
        room.store.update(parent, document=document, private={"algorithm": source})
        return
    member = _membership(room, arn.membership, arn.account, collaboration)
    made = room.store.insert(
        Record(
            kind=ALGORITHM,
            key=new_arn(ALGORITHM, arn.region, arn.account),
            account=arn.account,
            name=model_name(source),
            document={"roleArn": _role(arn.account), **document},
            private={"adopted": True, "algorithm": source},
        )
    )
    room.store.insert(
        Record(
            kind=ASSOCIATION,
            key=association,
            account=arn.account,
            membership=arn.membership,
            collaboration=member.collaboration,
            parent=made.key,
            name=model_name(source),
            document={"configuredModelAlgorithmArn": made.key},
            private={"adopted": True},
        )
    )


def _bind_channel(
    room: Room,
    channel: str,
    found: tuple[str, Source, Sequence[ObjectRef]],
    association: str | None,
    collaboration: str,
) -> None:
    arn = Arn.parse(channel)
    name, source, objects = found
    private = {"adopted": True, "location": str(source.absolute() if isinstance(source, Path) else source)}
    existing = room.store.get(INPUT_CHANNEL, channel)
    associations = list(existing.document["configuredModelAlgorithmAssociations"]) if existing else []
    if association is not None:
        associations = [association]  # the model allows exactly one
    if existing is not None:
        document = {"configuredModelAlgorithmAssociations": associations}
        room.store.update(existing, status="ACTIVE", document=document, private=private)
        return
    member = _membership(room, arn.membership, arn.account, collaboration)
    query = {"sqlParameters": {"queryString": _BOUND_QUERY}}
    record = Record(
        kind=INPUT_CHANNEL,
        key=channel,
        account=arn.account,
        membership=arn.membership,
        collaboration=member.collaboration,
        parent=association or "",
        name=name,
        status="ACTIVE",
        private=private,
    )
    made: dict[str, Any] = {
        "configuredModelAlgorithmAssociations": associations,
        "inputChannel": {
            "dataSource": {"protectedQueryInputParameters": query},
            "roleArn": _role(arn.account),
        },
        "retentionInDays": 30,
        "numberOfFiles": float(len(objects)),
        "sizeInGb": sum(each.size for each in objects) / 1e9,
    }
    room.store.update(room.store.insert(record), document=made)


def _local_arn(room: Room, kind: str, account: str, membership: str, text: str) -> str:
    return f"arn:aws:cleanrooms-ml:{room.region}:{account}:membership/{membership}/{kind}/{_identifier(kind, text)}"


def _identifier(kind: str, text: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{kind}:{text}"))


def _is_absent(source: Source) -> bool:
    return isinstance(source, Path) and not source.exists()


def _spelt(place: str | Path | S3Prefix) -> str:
    return str(AlgorithmSource(str(place)).path or place)


def _is_spelt_as_path(algorithm: str | Path) -> bool:
    """Whether a text that names no file was meant to: image names have neither this end nor these beginnings."""
    return isinstance(algorithm, Path) or algorithm.endswith(".py") or algorithm.startswith(("/", ".", "~", "file:"))


def _role(account: str) -> str:
    return f"arn:aws:iam::{account}:role/local"
