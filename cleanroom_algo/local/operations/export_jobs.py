"""Export jobs: a trained model's artifacts to a member. The API shows them only to the collaboration, in a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cleanroom_algo.errors import AccessDeniedError
from cleanroom_algo.local.operations.authorization import (
    CAN_RECEIVE_MODEL_OUTPUT,
    in_collaboration,
    own_collaboration,
    own_membership,
    path_name,
    receiver_location,
)
from cleanroom_algo.local.operations.inference_jobs import output_uri, show_jobs
from cleanroom_algo.local.operations.registry import Call, ml_operation
from cleanroom_algo.local.operations.trained_models import usable_version
from cleanroom_algo.local.policies.exports import export_policy
from cleanroom_algo.local.resources.arns import ASSOCIATION, EXPORT_JOB
from cleanroom_algo.local.resources.states import PENDING


@ml_operation("StartTrainedModelExportJob")
def start_export_job(call: Call) -> Mapping[str, Any]:
    """Queue the export of a version; only the member who trained it can do so, if its association allows it."""
    membership = own_membership(call)
    path_name(call)
    version = call.params.get("trainedModelVersionIdentifier")
    model = usable_version(call, call.params["trainedModelArn"], version, "export_default")
    association = in_collaboration(call, ASSOCIATION, model.parent, membership.collaboration)
    if export_policy(association, model, call.settings.switches) is None:
        raise AccessDeniedError(
            "the associations of this trained model and of its base models allow no exports of it",
            expected="associations whose privacyConfiguration has trainedModelExports, with at least one common "
            "file type",
            fix="create associations with this policy (in cleanroom.toml: "
            f"[algorithms.{association.name}.privacy.trainedModelExports]) and train the base model and the version "
            "with them; associations cannot be edited",
        )
    location = receiver_location(call, membership.collaboration, CAN_RECEIVE_MODEL_OUTPUT)
    document = call.given()
    if model.version is not None:
        document["trainedModelVersionIdentifier"] = model.version
    private = {
        "association": association.key,
        "output": output_uri(location, model, call.account, call.params["name"]),
    }
    record = call.new_record(EXPORT_JOB, membership, model.key, status=PENDING, document=document, private=private)
    call.workspace.enqueue(call.store.insert(record), hosts=0)
    return {}


@ml_operation("ListCollaborationTrainedModelExportJobs")
def list_export_jobs(call: Call) -> Mapping[str, Any]:
    """Return the export jobs of one trained model, or of one version of it, the latest first."""
    return show_jobs(call, EXPORT_JOB, collaboration=own_collaboration(call))
