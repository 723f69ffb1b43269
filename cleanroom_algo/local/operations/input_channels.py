"""ML input channels: the result of a query on the members' tables, stored for jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cleanroom_algo.contract.sizes import GB
from cleanroom_algo.errors import ConflictError, NotEmulatedError, Problem
from cleanroom_algo.local.operations.authorization import (
    CAN_QUERY,
    in_collaboration,
    in_membership,
    own_collaboration,
    own_membership,
    payer,
    require_ability,
    unique_name,
)
from cleanroom_algo.local.operations.documented_rules import role_is_own
from cleanroom_algo.local.operations.projections import show, show_page
from cleanroom_algo.local.operations.quotas import check_tags, within
from cleanroom_algo.local.operations.registry import Call, ml_operation
from cleanroom_algo.local.policies.budgets import access_budget
from cleanroom_algo.local.query import spark
from cleanroom_algo.local.resources.arns import ANALYSIS_TEMPLATE, ASSOCIATION, INPUT_CHANNEL, PRIVACY_BUDGET
from cleanroom_algo.local.resources.states import ACTIVE, COUNTED, PENDING, move
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.usage import channel_is_read
from cleanroom_algo.local.service_model.validation import invalid

_QUERY: Final = "inputChannel.dataSource.protectedQueryInputParameters"


@ml_operation("CreateMLInputChannel")
def create_channel(call: Call) -> Mapping[str, Any]:
    """Queue the query whose result becomes a channel."""
    membership = own_membership(call)
    require_ability(membership, CAN_QUERY)
    check_tags(call, call.params.get("tags", {}))
    (association,) = call.params["configuredModelAlgorithmAssociations"]
    in_collaboration(call, ASSOCIATION, association, membership.collaboration)
    _check_query(call, membership.collaboration)
    role_is_own(call, call.params["inputChannel"]["roleArn"])
    synthetic = _synthetic(call)
    paying = payer(call, membership.collaboration, "payerConfiguration.computePayerAccountId", ("queryCompute",))
    if synthetic:
        of_synthetic = "payerConfiguration.syntheticDataPayerAccountId"
        paying |= payer(call, membership.collaboration, of_synthetic, ("machineLearning", "syntheticDataGeneration"))
    document = {**call.given(), **synthetic, **({"payerConfiguration": paying} if paying else {})}
    record = call.new_record(INPUT_CHANNEL, membership, association, status=PENDING, document=document, private={})
    if call.terms.location:
        _bind(call, record)
        return {"mlInputChannelArn": record.key}
    unique_name(call, INPUT_CHANNEL, call.params["name"], (*COUNTED, ACTIVE), membership=membership.key)
    used = call.store.count(INPUT_CHANNEL, membership=membership.key, statuses=(*COUNTED, ACTIVE))
    limit = call.settings.quotas.input_channels_per_membership
    within(call, "Active ML input channels per membership", used + 1, limit)
    call.workspace.enqueue(call.store.insert(record), hosts=1)
    return {"mlInputChannelArn": record.key}


@ml_operation("GetMLInputChannel")
def get_channel(call: Call) -> Mapping[str, Any]:
    """Return a channel of the caller's membership."""
    return _with_budgets(call, in_membership(call, INPUT_CHANNEL, call.params["mlInputChannelArn"]))


@ml_operation("GetCollaborationMLInputChannel")
def get_collaboration_channel(call: Call) -> Mapping[str, Any]:
    """Return any member's channel in the view of the collaboration, which lacks the query."""
    collaboration = own_collaboration(call)
    return _with_budgets(call, in_collaboration(call, INPUT_CHANNEL, call.params["mlInputChannelArn"], collaboration))


@ml_operation("ListMLInputChannels")
def list_channels(call: Call) -> Mapping[str, Any]:
    """Return the channels of the caller's membership, the latest first."""
    key, store = own_membership(call).key, call.store
    return show_page(call, lambda before, limit: store.find(INPUT_CHANNEL, before=before, limit=limit, membership=key))


@ml_operation("ListCollaborationMLInputChannels")
def list_collaboration_channels(call: Call) -> Mapping[str, Any]:
    """Return the channels of all members, the latest first."""
    key, store = own_collaboration(call), call.store
    return show_page(
        call, lambda before, limit: store.find(INPUT_CHANNEL, before=before, limit=limit, collaboration=key)
    )


@ml_operation("DeleteMLInputChannelData")
def delete_channel(call: Call) -> Mapping[str, Any]:
    """Queue the deletion of a channel's data; any active member may request it.

    (Clean Rooms user guide, "IAM behaviors for AWS Clean Rooms ML".)
    """
    membership = own_membership(call)
    channel = in_collaboration(call, INPUT_CHANNEL, call.params["mlInputChannelArn"], membership.collaboration)
    if channel_is_read(call.store, channel):
        raise ConflictError(
            "jobs that read the channel are pending or running",
            expected="a channel that no job is reading",
            fix="wait until they end, or cancel them",
        )
    call.workspace.enqueue(move(call.store, channel, "DELETE_PENDING"), hosts=0)
    return {}


def active_channel(call: Call, arn: str, collaboration: str) -> Record:
    """Return a channel that a job can read.

    Raises:
        ResourceNotFoundError: CR-REQ-003. ConflictError: CR-REQ-002, it is not ACTIVE.
    """
    channel = in_collaboration(call, INPUT_CHANNEL, arn, collaboration)
    if channel.status != ACTIVE:
        raise ConflictError(
            f"the ML input channel {channel.name!r} is {channel.status}",
            expected="an ACTIVE channel",
            fix="wait until GetMLInputChannel returns the status ACTIVE, or create another channel",
        )
    return channel


def _with_budgets(call: Call, channel: Record) -> Mapping[str, Any]:
    """Return a channel with the remaining budgets of its tables."""
    budgets = (call.store.get(PRIVACY_BUDGET, each) for each in channel.private.get("budgets", ()))
    found = [access_budget(each) for each in budgets if each is not None]
    return {**show(call, channel), **({"privacyBudgets": {"accessBudgets": found}} if found else {})}


def _bind(call: Call, record: Record) -> None:
    """Bind a channel to a location immediately: there is no query to run, and no quota of queries.

    A binding of the same name is replaced.
    """
    size = {"numberOfFiles": float(call.terms.objects), "sizeInGb": call.terms.bytes / GB}
    existing = call.store.get(INPUT_CHANNEL, record.key)
    bound = call.store.insert(record) if existing is None else existing
    call.store.update(bound, status=ACTIVE, document={**record.document, **size}, private=call.terms.kept)


def _check_query(call: Call, collaboration: str) -> None:
    """Check the parameters of the query; its text is read when it runs.

    Raises:
        InvalidRequestError: CR-REQ-001. ResourceNotFoundError: CR-REQ-003, there is no such analysis template.
        NotEmulatedError: CR-REQ-007, the request is valid, but not emulated.
    """
    source: Mapping[str, Any] = call.params["inputChannel"]["dataSource"]["protectedQueryInputParameters"]
    properties = spark.spark_properties(source)
    if problems := [*_sql_faults(call, collaboration, source["sqlParameters"]), *_property_faults(properties)]:
        raise invalid(call.operation, [Problem(f"{_QUERY}.{each.path}", each.message) for each in problems])
    missing = [name for name in properties if name not in (spark.MAX_RECORDS, *spark.WITHOUT_EFFECT)]
    if missing:
        taken = ", ".join((spark.MAX_RECORDS, *spark.WITHOUT_EFFECT))
        raise NotEmulatedError(
            f"{', '.join(missing)} of the query cannot be emulated",
            expected=f"only these Spark properties: {taken}",
            fix="omit the other properties",
        )


def _synthetic(call: Call) -> dict[str, Any]:
    """Return the channel's properties of its template's synthetic data; empty if rows are those of the query.

    Raises:
        InvalidRequestError: CR-REQ-001, a payer of synthetic data is named, but there is no synthetic data.
    """
    sql = call.params["inputChannel"]["dataSource"]["protectedQueryInputParameters"]["sqlParameters"]
    template = call.store.get(ANALYSIS_TEMPLATE, sql.get("analysisTemplateArn", ""))
    if template is not None and "syntheticDataParameters" in template.document:
        parameters = template.document["syntheticDataParameters"]["mlSyntheticDataParameters"]
        return {"syntheticDataConfiguration": {"syntheticDataParameters": parameters}}
    if "syntheticDataPayerAccountId" in call.params.get("payerConfiguration", {}):
        path = "payerConfiguration.syntheticDataPayerAccountId"
        raise invalid(
            call.operation, [Problem(path, "is allowed only with an analysis template whose output is synthetic")]
        )
    return {}


def _sql_faults(call: Call, collaboration: str, sql: Mapping[str, Any]) -> Iterator[Problem]:
    if ("queryString" in sql) == ("analysisTemplateArn" in sql):
        yield Problem("sqlParameters", "needs exactly one of queryString and analysisTemplateArn")
    elif "analysisTemplateArn" in sql:
        from cleanroom_algo.local.query.templates import faults_of_values  # importing sqlglot takes time

        template = in_collaboration(call, ANALYSIS_TEMPLATE, sql["analysisTemplateArn"], collaboration)
        yield from faults_of_values(template.document, sql.get("parameters", {}), "sqlParameters.parameters")
    elif sql.get("parameters"):
        yield Problem("sqlParameters.parameters", "are allowed only with analysisTemplateArn")


def _property_faults(properties: Mapping[str, str]) -> Iterator[Problem]:
    if not re.fullmatch("[0-9]{1,9}", properties.get(spark.MAX_RECORDS, "0")):
        within = "computeConfiguration.worker.properties.spark"
        yield Problem(f"{within}.{spark.MAX_RECORDS}", "must be a whole number; 0 means no limit")
