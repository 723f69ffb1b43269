"""The protocol against botocore's own client side: what it writes is read, what is written it reads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import botocore.parsers
import botocore.serialize
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleanroom_algo.errors import UnknownOperationError
from cleanroom_algo.local.api.routing import find_operation, parse_params, serialize
from cleanroom_algo.local.operations.registry import cleanrooms_operation, ml_operation
from cleanroom_algo.local.service_model.shapes import (
    CLEANROOMS,
    ML,
    operation_model,
    operation_names,
    service_model,
)
from cleanroom_algo.local.service_model.validation import faults
from tests.local.api.shapes import edges, valid

SNAPSHOT = Path(__file__).with_name("model_snapshot.json")
QUICK = settings(max_examples=3, suppress_health_check=list(HealthCheck), derandomize=True, database=None)


def split(request: dict[str, Any]) -> tuple[str, str, bytes]:
    query = urlencode(request["query_string"], doseq=True)
    body = request["body"] if isinstance(request["body"], bytes) else request["body"].encode()
    return request["url_path"], query, body


@pytest.mark.parametrize("name", operation_names())
def test_parameters_survive_the_way_from_botocore(name: str) -> None:
    operation = operation_model(ML, name)
    serializer = botocore.serialize.create_serializer("rest-json", include_validation=False)

    @QUICK
    @given(st.data())
    def check(data: st.DataObject) -> None:
        params = {} if operation.input_shape is None else data.draw(valid(operation.input_shape))
        assert faults(operation.input_shape, params) == ()
        path, query, body = split(serializer.serialize_to_request(params, operation))
        service, found, in_path = find_operation((ML, CLEANROOMS), operation.http["method"], path)
        assert (service, found.name) == (ML, name)
        # A list in the query that is empty cannot be told from none.
        sent = {key: value for key, value in params.items() if value != [] or key != "tagKeys"}
        assert parse_params(found, in_path, query, body) == sent

    check()


@pytest.mark.parametrize("name", operation_names())
def test_answers_survive_the_way_to_botocore(name: str) -> None:
    operation: Any = operation_model(ML, name)
    parser = botocore.parsers.create_parser("rest-json")

    @QUICK
    @given(st.data())
    def check(data: st.DataObject) -> None:
        answer = {} if operation.output_shape is None else data.draw(valid(operation.output_shape))
        assert faults(operation.output_shape, answer) == ()
        response = {"status_code": 200, "headers": {}, "body": serialize(operation, answer)}
        parsed = parser.parse(response, operation.output_shape)
        parsed.pop("ResponseMetadata", None)
        assert parsed == answer

    check()


@pytest.mark.parametrize("name", operation_names())
def test_every_constraint_at_its_edge_and_one_past_it(name: str) -> None:
    shape = operation_model(ML, name).input_shape
    if shape is None:
        pytest.skip("has no parameters")
    count = 0
    for path, value, right in edges(shape):
        found = {problem.path for problem in faults(shape, value)}
        if right:
            assert not found, (path, value)
        else:
            assert any(each == path or each.startswith(path) for each in found), (path, value, found)
        count += 1
    assert count > 1


@pytest.mark.parametrize("service", [ML, CLEANROOMS])
def test_every_pattern_of_the_model_can_be_checked(service: str) -> None:
    model = service_model(service)
    shapes = [model.shape_for(name) for name in model.shape_names]
    patterns = [shape for shape in shapes if "pattern" in shape.metadata]
    assert len(patterns) > 20
    for shape in patterns:
        list(faults(shape, "x"))


def test_all_faults_come_at_once() -> None:
    shape = operation_model(ML, "CreateTrainedModel").input_shape
    problems = faults(
        shape, {"name": "", "resourceConfig": {"instanceCount": 6}, "trainingInputMode": "Fille", "nmae": 1}
    )
    assert {problem.path for problem in problems} == {
        "membershipIdentifier",
        "configuredModelAlgorithmAssociationArn",
        "dataChannels",
        "name",
        "resourceConfig.instanceCount",
        "resourceConfig.instanceType",
        "resourceConfig.volumeSizeInGB",
        "trainingInputMode",
        "nmae",
    }
    assert "did you mean 'File'" in str([str(problem) for problem in problems])


def test_no_message_shows_a_value() -> None:
    shape = operation_model(ML, "CreateTrainedModel").input_shape
    secret = "hunter2\n" * 500
    problems = faults(shape, {"hyperparameters": {"k": secret}, "environment": {"0 bad": secret}, "name": secret})
    assert problems
    assert not any("hunter2" in str(problem) for problem in problems)


@pytest.mark.parametrize("sent", ["encoded", "plain"])
def test_an_arn_in_the_path_is_found_encoded_and_plain(sent: str) -> None:
    arn = "arn:aws:cleanrooms-ml:us-east-1:111122223333:membership/0a1b2c3d-0000-4000-8000-0123456789ab/trained-model/x"
    text = arn if sent == "plain" else arn.replace(":", "%3A").replace("/", "%2F")
    uuid = "0a1b2c3d-0000-4000-8000-0123456789ab"
    for end, name in (("", "GetTrainedModel"), ("/versions", "ListTrainedModelVersions")):
        _, operation, path = find_operation((ML,), "GET", f"/memberships/{uuid}/trained-models/{text}{end}")
        assert (operation.name, path["trainedModelArn"]) == (name, arn)


def test_a_path_that_is_none() -> None:
    with pytest.raises(UnknownOperationError):
        find_operation((ML, CLEANROOMS), "GET", "/nothing/here/at/all")


def described(shape: Any, seen: tuple[str, ...] = ()) -> Any:
    if shape is None or shape.name in seen:
        return None if shape is None else shape.name
    limits = {key: shape.metadata[key] for key in ("min", "max", "pattern", "enum") if key in shape.metadata}
    own: dict[str, Any] = {"type": shape.type_name, **limits, **shape.serialization}
    if shape.type_name == "structure":
        own["required"] = sorted(shape.required_members)
        own["members"] = {name: described(child, (*seen, shape.name)) for name, child in shape.members.items()}
    for part in ("member", "key", "value"):
        if hasattr(shape, part):
            own[part] = described(getattr(shape, part), (*seen, shape.name))
    return own


def test_a_changed_model_is_seen() -> None:
    """A new botocore that changes an operation changes its digest: look at what changed, then write the new digest."""
    assert service_model(ML).api_version == "2023-09-06"
    now = {}
    for name in operation_names():
        operation = operation_model(ML, name)
        text = json.dumps(
            [
                dict(operation.http),
                described(operation.input_shape),
                described(operation.output_shape),
                [(error.name, error.metadata.get("error")) for error in operation.error_shapes],
            ],
            sort_keys=True,
        )
        now[name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert json.loads(SNAPSHOT.read_text()) == now


def test_handlers_are_of_operations_of_the_model() -> None:
    for handlers in (ml_operation, cleanrooms_operation):
        assert set(handlers.emulated) <= set(operation_names(handlers.service))
