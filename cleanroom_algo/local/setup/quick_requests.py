"""Literal requests for files of this machine; the same files always get the same ARNs."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cleanroom_algo.contract.settings import variable
from cleanroom_algo.local.objects.listing import Source
from cleanroom_algo.local.resources.arns import ASSOCIATION, INPUT_CHANNEL, ml_arn
from cleanroom_algo.local.resources.settings import Machine
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.setup.names import identifier, spelled

BASE_CHANNEL: Final = "base_model"
"""The name of the incremental channel in generated requests."""
WHOLE_TRACEBACKS: Final = {variable("tracebacks"): "whole"}
"""The environment of generated requests: authors run their own code on their own files."""


@dataclass(frozen=True, slots=True)
class Configured:
    """The configuration of an algorithm, in addition to its image.

    Attributes:
        policies: of its association.
        entrypoint: the program that trains, instead of the image's.
        arguments: of training, instead of the word `train`.
    """

    policies: Mapping[str, Any] | None = None
    entrypoint: Sequence[str] = ()
    arguments: Sequence[str] = ()

    @property
    def container(self) -> dict[str, list[str]]:
        """The members of `trainingContainerConfig`."""
        found = {"entrypoint": list(self.entrypoint), "arguments": list(self.arguments)}
        return {name: words for name, words in found.items() if words}

    @property
    def identity(self) -> list[str]:
        """Texts that distinguish this configuration from others; empty for the default."""
        return [json.dumps(each, sort_keys=True) for each in (self.policies, self.container) if each]


AS_IT_IS: Final = Configured()
"""The configuration of an algorithm without any additions."""


def request_for(
    machine: Machine,
    algorithm: str | Path,
    channels: Mapping[str, Source | Record],
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
    configured: Configured = AS_IT_IS,
) -> dict[str, Any]:
    """Return the literal parameters of CreateTrainedModel; the same files always get the same ARNs.

    If a channel belongs to the room, the request is that of its owner, for the association of the channel.

    Args:
        machine: of the room's settings.
        algorithm: a file, a folder, or an image; with a channel of the room, the name of its association.
        channels: folder, file or prefix in S3, or the record of a channel of the room, by channel name.
        name: of the trained model; by default that of the algorithm.
        hosts: 1 to 5.
        distribution: FullyReplicated or ShardedByS3Key, of all channels.
        input_mode: File, FastFile or Pipe.
        instance_type: as the API knows them.
        volume_gb: 1 to 8192.
        hyperparameters: strings.
        environment: of the containers.
        base_model: the record of the version to start from.
        max_runtime: seconds.
        configured: the configuration of the algorithm; each configuration has its own association.
    """
    declared = next((each for each in channels.values() if isinstance(each, Record)), None)
    owner = declared or base_model
    account = owner.account if owner else machine.account
    membership = owner.membership if owner else identifier("membership", account)
    association = declared.parent if declared else _association(machine, account, membership, algorithm, configured)
    request: dict[str, Any] = {
        "membershipIdentifier": membership,
        "name": name or (base_model.name if base_model else model_name(algorithm)),
        "configuredModelAlgorithmAssociationArn": association,
        "resourceConfig": {"instanceCount": hosts, "instanceType": instance_type, "volumeSizeInGB": volume_gb},
        "dataChannels": [
            {
                "mlInputChannelArn": _channel(machine, account, membership, association, channel, source),
                "channelName": channel,
                "s3DataDistributionType": distribution,
            }
            for channel, source in channels.items()
        ],
        "trainingInputMode": input_mode,
        "environment": {**WHOLE_TRACEBACKS, **(environment or {})},
    }
    if hyperparameters:
        request["hyperparameters"] = dict(hyperparameters)
    if max_runtime is not None:
        request["stoppingCondition"] = {"maxRuntimeInSeconds": max_runtime}
    if base_model is not None:
        request["incrementalTrainingDataChannels"] = [incremental_channel(base_model.key, base_model.version)]
    return request


def incremental_channel(arn: str, version: str | None, name: str = BASE_CHANNEL) -> dict[str, str]:
    """Return the incremental channel that delivers a version of a trained model; None is the base version."""
    own = {} if version is None else {"versionIdentifier": version}
    return {"trainedModelArn": arn, **own, "channelName": name}


def inference_request_for(
    machine: Machine,
    model: Record,
    channel: Source | Record,
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
        machine: of the room's settings.
        model: the record of the version that predicts.
        channel: folder, file or prefix in S3 with the rows to predict, or the record of a channel of the room.
        name: of the job; by default based on that of the model.
        instances: 1 to 10.
        instance_type: as the API knows them.
        accept: content type of the predictions; by default the container's choice.
        max_payload_mb: 1 to 100.
        environment: of the containers.
        algorithm: another file than the one that trained the model.
    """
    association = model.parent
    if algorithm is not None:
        association = _association(machine, model.account, model.membership, algorithm)
    arn = _channel(machine, model.account, model.membership, association, "inference", channel)
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
    """Return a name for a model of an algorithm: that of its file or folder, 1 to 63 characters."""
    stem = Path(str(algorithm).rstrip("/")).stem.partition(":")[0]
    return re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-")[:63] or "model"


def _association(
    machine: Machine,
    account: str,
    membership: str,
    algorithm: str | Path,
    configured: Configured = AS_IT_IS,
) -> str:
    identity = identifier(ASSOCIATION, spelled(algorithm), *configured.identity)
    return ml_arn(ASSOCIATION, machine.region, account, membership, identity)


def _channel(
    machine: Machine, account: str, membership: str, association: str, name: str, source: Source | Record
) -> str:
    """Return the ARN of a channel; each association has its own, because it cannot be changed later."""
    if isinstance(source, Record):
        return source.key
    own = identifier(INPUT_CHANNEL, f"{association} {name}={spelled(source)}")
    return ml_arn(INPUT_CHANNEL, machine.region, account, membership, own)
