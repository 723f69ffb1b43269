"""From an HTTP request to an operation with its parameters, and from a result to a response body (rest-json).

Routes are matched on the raw path. boto3 percent-encodes ARNs, so each parameter is one segment of the path. A server
that decodes first would treat the slashes in ARNs as separators.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

from botocore.model import OperationModel

from cleanroom_algo.errors import Problem, UnknownOperationError
from cleanroom_algo.local.service_model.shapes import members, operation_model, operation_names
from cleanroom_algo.local.service_model.validation import invalid


def find_operation(services: Sequence[str], method: str, raw_path: str) -> tuple[str, OperationModel, dict[str, str]]:
    """Return service, operation and the parameters in the path.

    Args:
        services: to search; the first match counts.
        method: of HTTP.
        raw_path: as it arrived, percent-encoded, without the query.

    Raises:
        UnknownOperationError: CR-REQ-008.
    """
    trimmed = "/" + raw_path.strip("/")
    for service in services:
        for pattern, operation in _routes(service, method):
            match = pattern.fullmatch(trimmed)
            if match is not None:
                return service, operation, {name: unquote(text) for name, text in match.groupdict().items()}
    raise UnknownOperationError(
        f"{method} on this path is not an operation",
        expected=f"an operation of {' or '.join(services)}",
        fix="check the endpoint URL and the operation's name",
    )


@cache
def _routes(service: str, method: str) -> tuple[tuple[re.Pattern[str], OperationModel], ...]:
    operations = [operation_model(service, name) for name in operation_names(service)]
    found = [each for each in operations if each.http["method"] == method]
    # Longest first: an ARN without encoding contains slashes, and must not match a literal end of the path.
    found.sort(key=lambda each: len(each.http["requestUri"]), reverse=True)
    exact = [(_pattern(each.http["requestUri"], "[^/]+"), each) for each in found]
    loose = [(_pattern(each.http["requestUri"], "arn:.+|[^/]+"), each) for each in found]
    return (*exact, *loose)


def _pattern(template: str, segment: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\+?\}", template.partition("?")[0].rstrip("/"))
    texts = [f"(?P<{part}>{segment})" if index % 2 else re.escape(part) for index, part in enumerate(parts)]
    return re.compile("".join(texts))


def parse_params(operation: OperationModel, path: Mapping[str, str], query: str, body: bytes) -> dict[str, Any]:
    """Return the parameters of a request as they were passed to boto3, before validation.

    Raises:
        InvalidRequestError: CR-REQ-001, it is not a JSON object, or its query has unknown parameters.
    """
    params: dict[str, Any] = dict(path)
    shape = operation.input_shape
    problems: list[Problem] = []
    params |= _query_params(shape, query, problems)
    names = {each for each, child in members(shape).items() if not child.serialization.get("location")}
    if body and (names or body.strip() not in (b"{}", b"")):
        document = _json(body, problems)
        problems.extend(Problem(name, "must be in the path or the query") for name in document if name in params)
        params |= _revived(shape, document) if shape is not None else document
    if problems:
        raise invalid(operation.name, problems)
    return params


def _query_params(shape: Any, query: str, problems: list[Problem]) -> dict[str, Any]:
    by_wire = {
        child.serialization.get("name", name): (name, child)
        for name, child in members(shape).items()
        if child.serialization.get("location") == "querystring"
    }
    params: dict[str, Any] = {}
    for wire, text in parse_qsl(query, keep_blank_values=True):
        if wire not in by_wire:
            problems.append(Problem(wire, "is unknown in the query"))
            continue
        name, child = by_wire[wire]
        if child.type_name == "list":
            params.setdefault(name, []).append(_scalar(_item(child), text))
        elif name in params:
            problems.append(Problem(name, "occurs twice in the query"))
        else:
            params[name] = _scalar(child, text)
    return params


def _item(shape: Any) -> Any:
    return shape.member


def _scalar(shape: Any, text: str) -> Any:
    if shape.type_name in ("integer", "long") and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    if shape.type_name == "boolean" and text in ("true", "false"):
        return text == "true"
    return text


def _json(body: bytes, problems: list[Problem]) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        problems.append(Problem("", "the body is not JSON"))
        return {}
    if not isinstance(document, dict):
        problems.append(Problem("", "the body is not a JSON object"))
        return {}
    return document


def _revived(shape: Any, value: Any) -> Any:
    """Return a JSON value with its timestamps as datetimes; the validation reports values that do not fit."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        return {
            name: _revived(shape.members[name], child) if name in shape.members else child
            for name, child in value.items()
        }
    if kind == "list" and isinstance(value, list):
        return [_revived(shape.member, child) for child in value]
    if kind == "map" and isinstance(value, dict):
        return {name: _revived(shape.value, child) for name, child in value.items()}
    if kind == "timestamp" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return dt.datetime.fromtimestamp(value, dt.UTC)
    if kind == "timestamp" and isinstance(value, str):
        try:
            return dt.datetime.fromisoformat(value)
        except ValueError:
            return value
    return value


def serialize(operation: OperationModel, result: Mapping[str, Any]) -> bytes:
    """Return the body of a response; timestamps have the form that the model defines, ISO 8601 for this service."""
    if operation.output_shape is None:
        return b""
    return json.dumps(_plain(operation.output_shape, result)).encode()


def _plain(shape: Any, value: Any) -> Any:
    kind = shape.type_name
    if kind == "structure":
        return {name: _plain(shape.members[name], child) for name, child in value.items() if child is not None}
    if kind == "list":
        return [_plain(shape.member, child) for child in value]
    if kind == "map":
        return {name: _plain(shape.value, child) for name, child in value.items()}
    if kind == "timestamp":
        if shape.serialization.get("timestampFormat") == "iso8601":
            return value.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return round(value.timestamp(), 3)
    return value
