"""Validates a value against a shape of botocore's model: finds all faults, each with its JSON path.

botocore's own validator checks required members, types and minima. Like the service, this one also checks maxima,
patterns (of the complete string), enums, unions with exactly one member, and unknown members. No message shows a value.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.errors import InvalidRequestError, Problem

if TYPE_CHECKING:
    from botocore.model import Shape

_SHOWN_ENUM = 8  # a longer list (133 instance types) is not helpful in one line


def faults(shape: Shape | None, value: object) -> tuple[Problem, ...]:
    """Return all faults of a value, in its order.

    Args:
        shape: the expected shape; None for an operation without input.
        value: in the form of boto3: mappings, lists, str, int, float, bool, datetime.
    """
    if shape is None:
        return (Problem("", "has no parameters"),) if value else ()
    return tuple(_check(shape, value, ""))


def invalid(operation: str, problems: Sequence[Problem]) -> InvalidRequestError:
    """Return the error for a request with faults."""
    count = "1 fault" if len(problems) == 1 else f"{len(problems)} faults"
    return InvalidRequestError(
        f"the request of {operation} has {count}",
        expected="parameters that match the model of the API and its documented rules",
        fix="correct the listed parameters",
        problems=problems,
    )


def _check(shape: Shape, value: object, path: str) -> Iterator[Problem]:
    checker = _CHECKERS.get(shape.type_name)
    if checker is None:
        raise NotImplementedError(f"shapes of type {shape.type_name}")
    yield from checker(shape, value, path)


def _structure(shape: Any, value: object, path: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield _wrong_type(path, "an object", value)
        return
    for name in shape.required_members:
        if value.get(name) is None:
            yield Problem(_below(path, name), "is required")
    for name, child in value.items():
        if name not in shape.members:
            yield Problem(_below(path, name), f"is unknown{did_you_mean(str(name), shape.members)}")
        elif child is None and name not in shape.required_members:
            yield Problem(_below(path, name), "must not be null; omit it")
        elif child is not None:
            yield from _check(shape.members[name], child, _below(path, name))
    if shape.is_tagged_union and len(value) != 1:
        yield Problem(path, f"must have exactly one of {', '.join(shape.members)}")


def _list(shape: Any, value: object, path: str) -> Iterator[Problem]:
    if not isinstance(value, (list, tuple)):
        yield _wrong_type(path, "a list", value)
        return
    yield from _within(shape, len(value), path, "items")
    for index, child in enumerate(value):
        yield from _check(shape.member, child, f"{path}[{index}]")


def _map(shape: Any, value: object, path: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield _wrong_type(path, "an object", value)
        return
    yield from _within(shape, len(value), path, "entries")
    for index, (key, child) in enumerate(value.items()):
        for problem in _check(shape.key, key, path):
            yield Problem(path, f"the name of entry {index + 1} {problem.message}")
        yield from _check(shape.value, child, _below(path, str(key)))


def _string(shape: Any, value: object, path: str) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield _wrong_type(path, "a string", value)
        return
    if not _is_text(value):
        yield Problem(
            path, "must not contain NUL or half of a surrogate pair, because files and processes cannot use them"
        )
        return
    yield from _within(shape, len(value), path, "characters")
    if shape.enum and value not in shape.enum:
        words = ", ".join(shape.enum) if len(shape.enum) <= _SHOWN_ENUM else f"the {len(shape.enum)} of the API"
        yield Problem(path, f"must be one of {words}{did_you_mean(value, shape.enum)}")
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield Problem(path, f"must match {pattern}")


def _is_text(value: str) -> bool:
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _whole(shape: Any, value: object, path: str) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, int):
        yield _wrong_type(path, "a whole number", value)
        return
    yield from _within(shape, value, path, "")


def _number(shape: Any, value: object, path: str) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        yield _wrong_type(path, "a number", value)
    elif value != value or value in (float("inf"), float("-inf")):
        yield Problem(path, "must be a finite number")
    else:
        yield from _within(shape, value, path, "")


def _boolean(_shape: Any, value: object, path: str) -> Iterator[Problem]:
    if not isinstance(value, bool):
        yield _wrong_type(path, "true or false", value)


def _timestamp(_shape: Any, value: object, path: str) -> Iterator[Problem]:
    if not isinstance(value, dt.datetime):
        yield _wrong_type(path, "a timestamp", value)


def _within(shape: Any, size: float, path: str, unit: str) -> Iterator[Problem]:
    unit = f" {unit}" if unit else ""
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        yield Problem(path, f"must {'have' if unit else 'be'} at least {low}{unit}")
    if high is not None and size > high:
        yield Problem(path, f"must {'have' if unit else 'be'} at most {high}{unit}")


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else str(name)


def _wrong_type(path: str, wanted: str, value: object) -> Problem:
    words = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
    }
    return Problem(path, f"must be {wanted}, not {words.get(type(value), type(value).__name__)}")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (
        re.error
    ):  # \p{L} and similar: only in names of Snowflake's and Databricks' tables, which queries here cannot read
        return re.compile(r"(?s).*")


_CHECKERS: Mapping[str, Any] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _whole,
    "long": _whole,
    "double": _number,
    "float": _number,
    "boolean": _boolean,
    "timestamp": _timestamp,
}
