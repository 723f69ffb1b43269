"""Inference jobs: batch transform over an ML input channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cleanroom_algo.local.operations.algorithms import require_container
from cleanroom_algo.local.operations.authorization import (
    CAN_QUERY,
    CAN_RECEIVE_INFERENCE_OUTPUT,
    in_collaboration,
    in_membership,
    own_collaboration,
    own_membership,
    path_name,
    payer,
    receiver_location,
    require_ability,
)
from cleanroom_algo.local.operations.documented_rules import channel_is_for
from cleanroom_algo.local.operations.input_channels import active_channel
from cleanroom_algo.local.operations.projections import show, show_page
from cleanroom_algo.local.operations.quotas import check_inference, check_tags
from cleanroom_algo.local.operations.registry import Call, ml_operation
from cleanroom_algo.local.operations.trained_models import cancel, usable_version
from cleanroom_algo.local.resources.arns import ASSOCIATION, INFERENCE_JOB
from cleanroom_algo.local.resources.states import PENDING
from cleanroom_algo.local.resources.store import Record


@ml_operation("StartTrainedModelInferenceJob")
def start_inference_job(call: Call) -> Mapping[str, Any]:
    """Queue an inference job; its output is written to the configured location of the only receiver."""
    membership = own_membership(call)
    require_ability(membership, CAN_QUERY)
    check_tags(call, call.params.get("tags", {}))
    path_name(call)
    version = call.params.get("trainedModelVersionIdentifier")
    model = usable_version(call, call.params["trainedModelArn"], version, "inference_default")
    association_arn = call.params.get("configuredModelAlgorithmAssociationArn", model.parent)
    association = in_collaboration(call, ASSOCIATION, association_arn, membership.collaboration)
    require_container(call, association, "inferenceContainerConfig")
    channel = active_channel(call, call.params["dataSource"]["mlInputChannelArn"], membership.collaboration)
    channel_is_for(call, channel, association)
    location = receiver_location(call, membership.collaboration, CAN_RECEIVE_INFERENCE_OUTPUT)
    check_inference(call, membership)
    document = {**call.given(), "configuredModelAlgorithmAssociationArn": association_arn}
    if model.version is not None:
        document["trainedModelVersionIdentifier"] = model.version
    document |= payer(
        call, membership.collaboration, "mlModelInferencePayerAccountId", ("machineLearning", "modelInference")
    )
    private = {"output": output_uri(location, model, call.account, call.params["name"])}
    record = call.new_record(INFERENCE_JOB, membership, model.key, status=PENDING, document=document, private=private)
    call.workspace.enqueue(call.store.insert(record), hosts=call.params["resourceConfig"].get("instanceCount", 1))
    return {"trainedModelInferenceJobArn": record.key}


@ml_operation("GetTrainedModelInferenceJob")
def get_inference_job(call: Call) -> Mapping[str, Any]:
    """Return an inference job of the caller's membership."""
    return show(call, in_membership(call, INFERENCE_JOB, call.params["trainedModelInferenceJobArn"]))


@ml_operation("ListTrainedModelInferenceJobs")
def list_inference_jobs(call: Call) -> Mapping[str, Any]:
    """Return the inference jobs of the caller's membership, the latest first."""
    return show_jobs(call, INFERENCE_JOB, membership=own_membership(call).key)


@ml_operation("ListCollaborationTrainedModelInferenceJobs")
def list_collaboration_inference_jobs(call: Call) -> Mapping[str, Any]:
    """Return the inference jobs of all members, the latest first."""
    return show_jobs(call, INFERENCE_JOB, collaboration=own_collaboration(call))


@ml_operation("CancelTrainedModelInferenceJob")
def cancel_inference_job(call: Call) -> Mapping[str, Any]:
    """Stop an inference job."""
    cancel(call, in_membership(call, INFERENCE_JOB, call.params["trainedModelInferenceJobArn"]))
    return {}


def output_uri(location: str, model: Record, account: str, job_name: str) -> str:
    """Return the prefix of a job's output.

    (Clean Rooms user guide, "Run inference jobs" and "Export model artifacts": the configured URI, collaboration,
    trained model's name, the caller's account, the job's name.)
    """
    return "/".join((location.rstrip("/"), model.collaboration, model.name, account, job_name))


def show_jobs(call: Call, kind: str, **where: str) -> Mapping[str, Any]:
    """Return the jobs of a kind, or those of one trained model or version, the latest first."""
    store, version = call.store, call.params.get("trainedModelVersionIdentifier")
    if "trainedModelArn" in call.params:
        where["parent"] = call.params["trainedModelArn"]

    def find(before: int | None, limit: int) -> Sequence[Record]:
        found = store.find(kind, before=before, limit=limit if version is None else -1, **where)
        return [each for each in found if version in (None, each.document.get("trainedModelVersionIdentifier"))][:limit]

    return show_page(call, find)
