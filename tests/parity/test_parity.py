"""Behaviours that cost nothing to try: `pytest tests/parity --target aws --role-arn ... --image-uri ...`.

Against the local clean room they pass; what fails against AWS is a difference that has no row yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.parity.conftest import Target

UNKNOWN = "00000000-0000-4000-8000-000000000000"
POLICIES = {
    "trainedModels": {
        "containerMetrics": {"noiseLevel": "LOW"},
        "maxArtifactSize": {"unit": "GB", "value": 0.01},
    },
    "trainedModelExports": {"maxSize": {"unit": "GB", "value": 50.0}, "filesToExport": ["MODEL", "OUTPUT"]},
    "trainedModelInferenceJobs": {"maxOutputSize": {"unit": "GB", "value": 100.0}},
}


def code_of(call: Callable[..., Any], **params: Any) -> str:
    """Return the code of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    code: str = caught.value.response["Error"]["Code"]
    return code


def created(target: Target, what: str, **more: Any) -> str:
    arn: str = target.client.create_configured_model_algorithm(**target.algorithm(what, **more))[
        "configuredModelAlgorithmArn"
    ]
    return arn


def test_an_algorithm_is_what_was_sent(target: Target) -> None:
    definitions = [{"name": "loss", "regex": "loss=([0-9.]+)"}]
    container = {"imageUri": target.image, "metricDefinitions": definitions}
    arn = created(target, "sent", trainingContainerConfig=container, description="as it was sent")

    found = target.client.get_configured_model_algorithm(configuredModelAlgorithmArn=arn)

    assert found["name"] == target.name("sent")
    assert found["trainingContainerConfig"] == container
    assert found["description"] == "as it was sent"
    assert found["createTime"] == found["updateTime"]


def test_an_algorithm_that_was_deleted_is_not_found(target: Target) -> None:
    arn = created(target, "deleted")
    target.client.delete_configured_model_algorithm(configuredModelAlgorithmArn=arn)

    get = target.client.get_configured_model_algorithm
    assert code_of(get, configuredModelAlgorithmArn=arn) == "ResourceNotFoundException"
    delete = target.client.delete_configured_model_algorithm
    assert code_of(delete, configuredModelAlgorithmArn=arn) == "ResourceNotFoundException"


def test_a_name_is_taken_once(target: Target) -> None:
    created(target, "once")

    create = target.client.create_configured_model_algorithm
    assert code_of(create, **target.algorithm("once")) == "ConflictException"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "-" * 64},
        {"name": "a\nb"},
        {"description": "\x00"},
        {"trainingContainerConfig": {"imageUri": "x", "metricDefinitions": [{"name": "n", "regex": "r" * 501}]}},
        {"trainingContainerConfig": {"imageUri": "x", "arguments": ["a"] * 101}},
        {"roleArn": "arn:aws:iam::1:role/short-account-number-xx"},
    ],
    ids=["name-too-long", "name-characters", "description-characters", "regex-too-long", "arguments", "role"],
)
def test_what_the_model_forbids_is_a_validation_exception(target: Target, wrong: dict[str, Any]) -> None:
    create = target.client.create_configured_model_algorithm

    assert code_of(create, **(target.algorithm("wrong") | wrong)) == "ValidationException"


def test_pages_have_no_gaps(target: Target) -> None:
    names = {target.name(f"page-{number}") for number in range(5)}
    for number in range(5):
        created(target, f"page-{number}")

    pages = target.client.get_paginator("list_configured_model_algorithms").paginate(PaginationConfig={"PageSize": 2})
    shown = [each["name"] for page in pages for each in page["configuredModelAlgorithms"]]

    assert names <= set(shown)
    assert len(shown) == len(set(shown))


def test_tags(target: Target) -> None:
    arn = created(target, "tags", tags={"team": "a"})
    target.client.tag_resource(resourceArn=arn, tags={"team": "b", "stage": "c"})
    target.client.untag_resource(resourceArn=arn, tagKeys=["stage", "nothing"])

    assert target.client.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "b"}


def test_an_association_keeps_its_policies_and_its_algorithm(target: Target, membership: str) -> None:
    arn = created(target, "associated")
    own = {"membershipIdentifier": membership}
    association = target.client.create_configured_model_algorithm_association(
        **own,
        name=target.name("association"),
        configuredModelAlgorithmArn=arn,
        privacyConfiguration={"policies": POLICIES},
    )["configuredModelAlgorithmAssociationArn"]

    found = target.client.get_configured_model_algorithm_association(
        **own, configuredModelAlgorithmAssociationArn=association
    )

    assert found["privacyConfiguration"] == {"policies": POLICIES}
    delete = target.client.delete_configured_model_algorithm
    assert code_of(delete, configuredModelAlgorithmArn=arn) == "ConflictException"


def test_custom_redaction_needs_its_patterns(target: Target, membership: str) -> None:
    arn = created(target, "redaction")
    logs = [{"allowedAccountIds": [arn.split(":")[4]], "logRedactionConfiguration": {"entitiesToRedact": ["CUSTOM"]}}]

    create = target.client.create_configured_model_algorithm_association
    code = code_of(
        create,
        membershipIdentifier=membership,
        name=target.name("redaction"),
        configuredModelAlgorithmArn=arn,
        privacyConfiguration={"policies": {"trainedModels": {"containerLogs": logs}}},
    )
    assert code == "ValidationException"


def test_a_trained_model_that_nobody_has(target: Target, membership: str) -> None:
    arn = created(target, "region")
    prefix = arn.partition(":configured-model-algorithm/")[0]
    missing = f"{prefix}:membership/{membership}/trained-model/{UNKNOWN}"

    get = target.client.get_trained_model
    assert code_of(get, membershipIdentifier=membership, trainedModelArn=missing) == "ResourceNotFoundException"


def test_a_membership_that_is_not_ones_own(target: Target) -> None:
    code = code_of(target.client.list_trained_models, membershipIdentifier=UNKNOWN)

    assert code in {"AccessDeniedException", "ResourceNotFoundException"}
