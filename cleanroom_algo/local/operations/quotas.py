"""Quotas (Clean Rooms user guide, "Quotas for AWS Clean Rooms ML"), checked before anything is created."""

from __future__ import annotations

from cleanroom_algo.errors import Problem, QuotaExceededError
from cleanroom_algo.local.operations.registry import Call
from cleanroom_algo.local.resources.arns import INFERENCE_JOB, TRAINED_MODEL
from cleanroom_algo.local.resources.states import COUNTED
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.validation import invalid


def within(call: Call, name: str, used: int, limit: int) -> None:
    """Check that a request is within a quota.

    Args:
        call: of the operation.
        name: of the quota, for users.
        used: the use including this request.
        limit: the maximum.

    Raises:
        QuotaExceededError: CR-REQ-005.
    """
    if not call.settings.quotas.enabled or used <= limit:
        return
    error = QuotaExceededError(
        f"{name}: {used} would exceed the quota of {limit}",
        expected=f"at most {limit}",
        fix="wait for others to end, or raise the quota in settings.toml of the state folder, table [quotas]",
    )
    error.quota_name, error.quota_value = name, float(limit)
    raise error


def check_training(call: Call, membership: Record) -> None:
    """Check jobs and instances for one more training job."""
    quotas, store = call.settings.quotas, call.store
    of_account = store.find(TRAINED_MODEL, account=call.account, statuses=COUNTED)
    of_membership = [each for each in of_account if each.membership == membership.key]
    resources = call.params["resourceConfig"]
    count, kind = resources.get("instanceCount", 1), resources["instanceType"]
    limit = quotas.instances_of_type.get(kind, quotas.instances_of_other_types)
    within(
        call,
        "Pending or in progress training jobs per membership",
        len(of_membership) + 1,
        quotas.training_jobs_per_membership,
    )
    within(
        call, "Pending or in progress training jobs per account", len(of_account) + 1, quotas.training_jobs_per_account
    )
    running = [each.document["resourceConfig"] for each in of_account]
    within(
        call,
        "Active training instances per account",
        sum(each.get("instanceCount", 1) for each in running) + count,
        quotas.training_instances_per_account,
    )
    same = sum(each.get("instanceCount", 1) for each in running if each["instanceType"] == kind)
    within(call, f"Active training instances of {kind}", same + count, limit)


def check_inference(call: Call, membership: Record) -> None:
    """Check for one more inference job."""
    quotas, store = call.settings.quotas, call.store
    of_membership = store.count(INFERENCE_JOB, membership=membership.key, statuses=COUNTED)
    of_account = store.count(INFERENCE_JOB, account=call.account, statuses=COUNTED)
    within(
        call,
        "Pending or in progress inference jobs per membership",
        of_membership + 1,
        quotas.inference_jobs_per_membership,
    )
    within(call, "Pending or in progress inference jobs per account", of_account + 1, quotas.inference_jobs_per_account)


def check_tags(call: Call, tags: dict[str, str]) -> None:
    """Check the tags that a resource would have.

    (botocore model, documentation of TagMap: 50 at most, although its shape allows 200; keys may not begin with aws:.)

    Raises:
        InvalidRequestError: CR-REQ-001.
    """
    limit = call.settings.quotas.tags_per_resource
    problems = [
        Problem("tags", "has a key that begins with aws:, which only AWS may use")
        for key in tags
        if key.lower().startswith("aws:")
    ]
    if call.settings.quotas.enabled and len(tags) > limit:
        problems.append(Problem("tags", f"would be {len(tags)} on the resource, at most {limit} are allowed"))
    if problems:
        raise invalid(call.operation, problems)
