"""Configured model algorithms and associations: what runs, and what it may write. Neither can be edited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cleanroom_algo.errors import ConflictError, Problem
from cleanroom_algo.local.operations.authorization import (
    active_memberships,
    in_account,
    in_collaboration,
    in_membership,
    own_collaboration,
    own_membership,
    unique_name,
)
from cleanroom_algo.local.operations.projections import show, show_page
from cleanroom_algo.local.operations.quotas import check_tags, within
from cleanroom_algo.local.operations.registry import Call, ml_operation
from cleanroom_algo.local.resources.arns import ALGORITHM, ASSOCIATION
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.usage import association_is_used
from cleanroom_algo.local.service_model.validation import invalid


@ml_operation("CreateConfiguredModelAlgorithm")
def create_algorithm(call: Call) -> Mapping[str, Any]:
    """Register the images of an algorithm; `imageUri` may be the path of an algorithm file or folder."""
    if not {"trainingContainerConfig", "inferenceContainerConfig"} & call.params.keys():
        # The model requires neither, but an algorithm without both could never be used; the refusal is a guess.
        problem = Problem("", "needs trainingContainerConfig, inferenceContainerConfig or both")
        raise invalid(call.operation, [problem])
    check_tags(call, call.params.get("tags", {}))
    unique_name(call, ALGORITHM, call.params["name"], account=call.account)
    used = call.store.count(ALGORITHM, account=call.account)
    within(call, "Active configured model algorithms", used + 1, call.settings.quotas.algorithms_per_account)
    record = Record(
        kind=ALGORITHM,
        key=call.new_arn(ALGORITHM),
        account=call.account,
        name=call.params["name"],
        document=call.given(),
        private=call.terms.kept,
    )
    call.store.insert(record)
    return {"configuredModelAlgorithmArn": record.key}


@ml_operation("GetConfiguredModelAlgorithm")
def get_algorithm(call: Call) -> Mapping[str, Any]:
    """Return an algorithm of the caller's account."""
    return show(call, _own_algorithm(call))


@ml_operation("ListConfiguredModelAlgorithms")
def list_algorithms(call: Call) -> Mapping[str, Any]:
    """Return the algorithms of the caller's account, the latest first."""
    store, account = call.store, call.account
    return show_page(call, lambda before, limit: store.find(ALGORITHM, before=before, limit=limit, account=account))


@ml_operation("DeleteConfiguredModelAlgorithm")
def delete_algorithm(call: Call) -> Mapping[str, Any]:
    """Remove an algorithm that no association uses."""
    algorithm = _own_algorithm(call)
    if call.store.count(ASSOCIATION, parent=algorithm.key):
        raise _in_use("the algorithm has associations", "delete its associations first")
    call.store.delete(algorithm)
    return {}


@ml_operation("CreateConfiguredModelAlgorithmAssociation")
def create_association(call: Call) -> Mapping[str, Any]:
    """Associate an algorithm of the caller with a collaboration, with policies that cannot be changed later."""
    membership = own_membership(call)
    algorithm = _own_algorithm(call)
    check_tags(call, call.params.get("tags", {}))
    unique_name(call, ASSOCIATION, call.params["name"], membership=membership.key)
    used = call.store.count(ASSOCIATION, membership=membership.key)
    within(
        call,
        "Active configured model algorithm associations per membership",
        used + 1,
        call.settings.quotas.associations_per_membership,
    )
    _check_policies(call, membership.collaboration)
    new = call.new_record(ASSOCIATION, membership, algorithm.key, document=call.given(), private=call.terms.kept)
    record = call.store.insert(new)
    return {"configuredModelAlgorithmAssociationArn": record.key}


@ml_operation("GetConfiguredModelAlgorithmAssociation")
def get_association(call: Call) -> Mapping[str, Any]:
    """Return an association of the caller's membership."""
    return show(call, in_membership(call, ASSOCIATION, call.params["configuredModelAlgorithmAssociationArn"]))


@ml_operation("GetCollaborationConfiguredModelAlgorithmAssociation")
def get_collaboration_association(call: Call) -> Mapping[str, Any]:
    """Return any member's association, as the collaboration sees it."""
    collaboration = own_collaboration(call)
    arn = call.params["configuredModelAlgorithmAssociationArn"]
    return show(call, in_collaboration(call, ASSOCIATION, arn, collaboration))


@ml_operation("ListConfiguredModelAlgorithmAssociations")
def list_associations(call: Call) -> Mapping[str, Any]:
    """Return the associations of the caller's membership, the latest first."""
    key, store = own_membership(call).key, call.store
    return show_page(call, lambda before, limit: store.find(ASSOCIATION, before=before, limit=limit, membership=key))


@ml_operation("ListCollaborationConfiguredModelAlgorithmAssociations")
def list_collaboration_associations(call: Call) -> Mapping[str, Any]:
    """Return the associations of all members, the latest first."""
    key, store = own_collaboration(call), call.store
    return show_page(call, lambda before, limit: store.find(ASSOCIATION, before=before, limit=limit, collaboration=key))


@ml_operation("DeleteConfiguredModelAlgorithmAssociation")
def delete_association(call: Call) -> Mapping[str, Any]:
    """Remove an association that no job is using now."""
    association = in_membership(call, ASSOCIATION, call.params["configuredModelAlgorithmAssociationArn"])
    if association_is_used(call.store, association):
        raise _in_use("jobs of the association are pending or running", "wait until they end, or cancel them")
    call.store.delete(association)
    return {}


def require_container(call: Call, association: Record, config: str) -> None:
    """Check that an algorithm has the container of a job.

    Args:
        call: of the operation that starts the job.
        association: of the algorithm.
        config: `trainingContainerConfig` or `inferenceContainerConfig`.

    Raises:
        InvalidRequestError: CR-REQ-001.
    """
    algorithm = call.store.get(ALGORITHM, association.parent)
    if algorithm is None or config not in algorithm.document:
        problem = Problem("configuredModelAlgorithmAssociationArn", f"belongs to an algorithm without {config}")
        raise invalid(call.operation, [problem])


def _own_algorithm(call: Call) -> Record:
    return in_account(call, ALGORITHM, call.params["configuredModelAlgorithmArn"])


def _check_policies(call: Call, collaboration: str) -> None:
    """Check what the model does not: log policies name members, and custom redaction has patterns.

    (botocore model, documentation of LogsConfigurationPolicy and LogRedactionConfiguration.)
    """
    policies: Mapping[str, Any] = call.params.get("privacyConfiguration", {}).get("policies", {})
    accounts = {each.account for each in active_memberships(call, collaboration)}
    problems: list[Problem] = []
    for part in ("trainedModels", "trainedModelInferenceJobs"):
        for index, each in enumerate(policies.get(part, {}).get("containerLogs", ())):
            path = f"privacyConfiguration.policies.{part}.containerLogs[{index}]"
            if not set(each["allowedAccountIds"]) <= accounts:
                problems.append(Problem(f"{path}.allowedAccountIds", "names an account that is not a member"))
            redaction = each.get("logRedactionConfiguration", {})
            custom = "CUSTOM" in redaction.get("entitiesToRedact", ())
            if custom != ("customEntityConfig" in redaction):
                problems.append(
                    Problem(
                        f"{path}.logRedactionConfiguration", "must have both CUSTOM and customEntityConfig, or neither"
                    )
                )
    if problems:
        raise invalid(call.operation, problems)


def _in_use(what: str, fix: str) -> ConflictError:
    return ConflictError(what, expected="a resource that nothing uses", fix=fix)
