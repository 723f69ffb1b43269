"""Trained models and their versions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cleanroom_algo.errors import ConflictError, Problem
from cleanroom_algo.local.operations.algorithms import require_container
from cleanroom_algo.local.operations.authorization import (
    CAN_QUERY,
    in_collaboration,
    in_membership,
    not_found,
    own_collaboration,
    own_membership,
    path_name,
    payer,
    require_ability,
)
from cleanroom_algo.local.operations.documented_rules import (
    OTHER_ASSOCIATION,
    instances_train_together,
    model_name_is_new,
)
from cleanroom_algo.local.operations.input_channels import active_channel
from cleanroom_algo.local.operations.projections import show, show_page
from cleanroom_algo.local.operations.quotas import check_tags, check_training, within
from cleanroom_algo.local.operations.registry import Call, ml_operation
from cleanroom_algo.local.policies.exports import inherited_policies
from cleanroom_algo.local.resources.arns import (
    ASSOCIATION,
    TRAINED_MODEL,
    new_identifier,
)
from cleanroom_algo.local.resources.states import ACTIVE, COUNTED, PENDING, move
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.usage import version_is_used
from cleanroom_algo.local.service_model.validation import invalid

MAX_CHANNELS = 20  # incremental and data channels together (Clean Rooms user guide, "Incremental training")
VERSIONS_PAGE = 10  # botocore model, documentation of ListTrainedModelVersions.maxResults


@ml_operation("CreateTrainedModel")
def create_trained_model(call: Call) -> Mapping[str, Any]:
    """Queue a training job: for a base model, or with an incremental channel for a version of a trained model."""
    membership = own_membership(call)
    require_ability(membership, CAN_QUERY)
    check_tags(call, call.params.get("tags", {}))
    association = in_collaboration(
        call, ASSOCIATION, call.params["configuredModelAlgorithmAssociationArn"], membership.collaboration
    )
    path_name(call)
    model_name_is_new(call, membership.collaboration)
    instances_train_together(call)
    require_container(call, association, "trainingContainerConfig")
    _check_channels(call, membership, association)
    base = _base_model(call)
    check_training(call, membership)
    arn, version = call.new_arn(TRAINED_MODEL, membership.key), None
    document = call.given("incrementalTrainingDataChannels")
    private: dict[str, Any] = {}
    if base is not None:
        if call.settings.switches.incremental_arn == "base":
            arn = base.key
        version = new_identifier()
        _check_versions(call, arn)
        channel = call.params["incrementalTrainingDataChannels"][0]["channelName"]
        lineage = {"channelName": channel, "versionIdentifier": base.version, "modelName": base.name}
        document["incrementalTrainingDataChannels"] = [{k: v for k, v in lineage.items() if v is not None}]
        exports = inherited_policies(call.store, base)
        private["base"] = {"key": base.key, "version": base.version, "channelName": channel, "exports": exports}
    if call.terms.resumes is not None:
        document["resumedFrom"] = "/".join(filter(None, call.terms.resumes))
        private["resumes"] = call.terms.resumes
    document |= payer(
        call, membership.collaboration, "mlModelTrainingPayerAccountId", ("machineLearning", "modelTraining")
    )
    record = call.store.insert(
        Record(
            kind=TRAINED_MODEL,
            key=arn,
            version=version,
            account=call.account,
            membership=membership.key,
            collaboration=membership.collaboration,
            parent=association.key,
            name=call.params["name"],
            status=PENDING,
            document=document,
            private=private,
        )
    )
    call.workspace.enqueue(record, hosts=call.params["resourceConfig"].get("instanceCount", 1))
    return {"trainedModelArn": arn, **({"versionIdentifier": version} if version else {})}


@ml_operation("GetTrainedModel")
def get_trained_model(call: Call) -> Mapping[str, Any]:
    """Return a version of a trained model; without versionIdentifier, the latest."""
    own_membership(call)
    version = _version(call, call.params["trainedModelArn"], call.params.get("versionIdentifier"), "get_default")
    return show(call, in_membership(call, TRAINED_MODEL, call.params["trainedModelArn"], version))


@ml_operation("GetCollaborationTrainedModel")
def get_collaboration_trained_model(call: Call) -> Mapping[str, Any]:
    """Return any trained model in the view of the collaboration; without versionIdentifier, the latest version."""
    collaboration = own_collaboration(call)
    version = _version(call, call.params["trainedModelArn"], call.params.get("versionIdentifier"), "get_default")
    return show(call, in_collaboration(call, TRAINED_MODEL, call.params["trainedModelArn"], collaboration, version))


@ml_operation("ListTrainedModels")
def list_trained_models(call: Call) -> Mapping[str, Any]:
    """Return the trained models of the caller's membership, the latest first."""
    return _list(call, membership=own_membership(call).key)


@ml_operation("ListCollaborationTrainedModels")
def list_collaboration_trained_models(call: Call) -> Mapping[str, Any]:
    """Return the trained models of all members, the latest first."""
    return _list(call, collaboration=own_collaboration(call))


@ml_operation("ListTrainedModelVersions")
def list_versions(call: Call) -> Mapping[str, Any]:
    """Return the base and the versions of one trained model, or those with one status, the latest first."""
    membership, store, arn = own_membership(call), call.store, call.params["trainedModelArn"]
    if not store.count(TRAINED_MODEL, key=arn, membership=membership.key):
        raise not_found(TRAINED_MODEL, "membership")
    statuses = (call.params["status"],) if "status" in call.params else ()

    def find(before: int | None, limit: int) -> Sequence[Record]:
        return store.find(TRAINED_MODEL, statuses=statuses, before=before, limit=limit, key=arn)

    return show_page(call, find, default=VERSIONS_PAGE)


@ml_operation("CancelTrainedModel")
def cancel_trained_model(call: Call) -> Mapping[str, Any]:
    """Stop a training job; without versionIdentifier, that of the base model."""
    model = in_membership(call, TRAINED_MODEL, call.params["trainedModelArn"], call.params.get("versionIdentifier"))
    cancel(call, model)
    return {}


@ml_operation("DeleteTrainedModelOutput")
def delete_trained_model_output(call: Call) -> Mapping[str, Any]:
    """Queue the deletion of a version's artifacts; without versionIdentifier, only those of the base model.

    Any active member may request it (Clean Rooms user guide, "IAM behaviors for AWS Clean Rooms ML").
    """
    membership = own_membership(call)
    arn, version = call.params["trainedModelArn"], call.params.get("versionIdentifier")
    model = in_collaboration(call, TRAINED_MODEL, arn, membership.collaboration, version)
    if version_is_used(call.store, model):
        raise ConflictError(
            "jobs that start from this version are pending or running",
            expected="a version that no job is using",
            fix="wait until they end, or cancel them",
        )
    call.workspace.enqueue(move(call.store, model, "DELETE_PENDING"), hosts=0)
    return {}


def cancel(call: Call, record: Record) -> None:
    """Request that the job of a record stops; the supervisor stops it."""
    call.store.stop_job(move(call.store, record, "CANCEL_PENDING"))


def usable_version(call: Call, arn: str, version: str | None, switch: str) -> Record:
    """Return the version of a trained model that a job starts from.

    Args:
        call: of the operation.
        arn: of the trained model.
        version: the requested one; None for the default.
        switch: name of the setting that defines the default.

    Raises:
        ResourceNotFoundError: CR-REQ-003. ConflictError: CR-REQ-002, it is not ACTIVE.
    """
    model = in_membership(call, TRAINED_MODEL, arn, _version(call, arn, version, switch, only_active=True))
    if model.status != ACTIVE:
        raise ConflictError(
            f"the trained model {model.name!r} is {model.status}",
            expected="an ACTIVE version",
            fix="wait until GetTrainedModel returns the status ACTIVE, or name another version; if the training "
            "failed or was stopped, train again (`cleanroom-algo train --resume NAME` continues from a checkpoint)",
        )
    return model


def _version(call: Call, arn: str, asked: str | None, switch: str, *, only_active: bool = False) -> str | None:
    if asked is not None or getattr(call.settings.switches, switch) == "base":
        return asked
    statuses = (ACTIVE,) if only_active else ()
    latest = call.store.find(TRAINED_MODEL, key=arn, limit=1, statuses=statuses)
    return latest[0].version if latest else None


def _list(call: Call, **where: str) -> Mapping[str, Any]:
    store = call.store

    def find(before: int | None, limit: int) -> Sequence[Record]:
        if call.settings.switches.list_models == "each-model":
            return store.latest_versions(TRAINED_MODEL, before=before, limit=limit, **where)
        return store.find(TRAINED_MODEL, before=before, limit=limit, **where)

    return show_page(call, find)


def _check_channels(call: Call, membership: Record, association: Record) -> None:
    data: list[Mapping[str, Any]] = call.params["dataChannels"]
    incremental: list[Mapping[str, Any]] = call.params.get("incrementalTrainingDataChannels", [])
    names = Counter(each["channelName"] for each in (*data, *incremental))
    problems = [
        Problem("dataChannels", f"contains the channel name {name!r} {count} times, including the incremental channel")
        for name, count in names.items()
        if count > 1
    ]
    problems.extend(_unusable_names(call, names))
    if len(data) + len(incremental) > MAX_CHANNELS:
        problems.append(
            Problem("dataChannels", f"must have at most {MAX_CHANNELS} channels, including the incremental channel")
        )
    for index, each in enumerate(data):
        channel = active_channel(call, each["mlInputChannelArn"], membership.collaboration)
        if association.key not in channel.document["configuredModelAlgorithmAssociations"]:
            path = f"dataChannels[{index}].mlInputChannelArn"
            problems.append(Problem(path, OTHER_ASSOCIATION))
    if problems:
        raise invalid(call.operation, problems)


def _unusable_names(call: Call, names: Iterable[str]) -> Iterator[Problem]:
    """Yield names that a folder cannot have, and names of files beside another channel's objects."""
    mode = call.params.get("trainingInputMode", call.settings.switches.default_input_mode)
    beside = "_[0-9]+" if mode == "Pipe" else "-manifest"
    for name in names:
        if name in (".", ".."):
            yield Problem("dataChannels", f"contains the channel name {name!r}, which cannot be the name of a folder")
    for name in names:
        for other in names:
            if re.fullmatch(re.escape(name) + beside, other):
                problem = f"contains the names {name!r} and {other!r}, but SageMaker creates {other!r} for {name!r}"
                yield Problem("dataChannels", problem)


def _base_model(call: Call) -> Record | None:
    for channel in call.params.get("incrementalTrainingDataChannels", ()):
        return usable_version(call, channel["trainedModelArn"], channel.get("versionIdentifier"), "incremental_default")
    return None


def _check_versions(call: Call, arn: str) -> None:
    used = call.store.count(TRAINED_MODEL, key=arn, statuses=(*COUNTED, ACTIVE))
    limit = call.settings.quotas.versions_per_trained_model
    within(call, "Versions per trained model", used + 1, limit)
