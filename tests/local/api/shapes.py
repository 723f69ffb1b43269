"""Values for shapes of botocore's model: any valid one, those at each edge, and those one past it."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# Lone surrogates cannot be percent-encoded, and NUL is refused as no file can have it in its name.
ALPHABET = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


def valid(shape: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for valid values of a shape."""
    return _STRATEGIES[shape.type_name](shape)


def _structure(shape: Any) -> st.SearchStrategy[Any]:
    if shape.is_tagged_union:
        return st.one_of([st.fixed_dictionaries({name: valid(child)}) for name, child in shape.members.items()])
    required = {name: valid(child) for name, child in shape.members.items() if name in shape.required_members}
    optional = {name: valid(child) for name, child in shape.members.items() if name not in shape.required_members}
    return st.fixed_dictionaries(required, optional=optional)


def _list(shape: Any) -> st.SearchStrategy[Any]:
    low = shape.metadata.get("min", 0)
    return st.lists(valid(shape.member), min_size=low, max_size=min(shape.metadata.get("max", low + 2), low + 2))


def _map(shape: Any) -> st.SearchStrategy[Any]:
    low = shape.metadata.get("min", 0)
    return st.dictionaries(valid(shape.key), valid(shape.value), min_size=low, max_size=low + 2)


def _string(shape: Any) -> st.SearchStrategy[Any]:
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 10**6)
    if shape.enum:
        return st.sampled_from(shape.enum)
    if pattern := shape.metadata.get("pattern"):
        if r"\u0020-\uD7FF" in pattern or pattern == "[0-9a-f]+":  # generated many times faster than from the pattern
            letters = (
                "0123456789abcdef" if pattern == "[0-9a-f]+" else st.characters(min_codepoint=32, max_codepoint=0xD7FF)
            )
            texts = st.text(letters, min_size=low, max_size=min(high, low + 12))
            return texts.filter(lambda text: re.fullmatch(pattern, text) is not None)
        return _matching(pattern, low, high)
    return st.text(ALPHABET, min_size=low, max_size=min(high, low + 12))


@functools.cache  # hypothesis takes long to understand a pattern
def _matching(pattern: str, low: int, high: int) -> st.SearchStrategy[str]:
    texts = st.uuids().map(str) if pattern == _UUID else st.from_regex(pattern, fullmatch=True)
    return texts.filter(lambda text: low <= len(text) <= high and encodable(text))


def encodable(text: str) -> bool:
    return not re.search("[\0\ud800-\udfff]", text)


def _integer(shape: Any) -> st.SearchStrategy[Any]:
    return st.integers(int(shape.metadata.get("min", -(10**9))), int(shape.metadata.get("max", 10**9)))


def _double(shape: Any) -> st.SearchStrategy[Any]:
    low, high = shape.metadata.get("min", -1e9), shape.metadata.get("max", 1e9)
    return st.floats(float(low), float(high), allow_nan=False)


def _timestamp(_shape: Any) -> st.SearchStrategy[Any]:
    whole = st.integers(0, 4_000_000_000_000)
    return whole.map(lambda ms: dt.datetime.fromtimestamp(ms // 1000, dt.UTC) + dt.timedelta(milliseconds=ms % 1000))


_STRATEGIES = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _integer,
    "long": _integer,
    "double": _double,
    "float": _double,
    "boolean": lambda _shape: st.booleans(),
    "timestamp": _timestamp,
}


# --- one value of each shape, and its edges ---------------------------------------------------------------------------

_EXAMPLES = {
    "UUID": "0a1b2c3d-0000-4000-8000-0123456789ab",
    "AccountId": "111122223333",
}


def example(shape: Any) -> Any:
    """Return one small valid value of a shape, without its optional members."""
    kind = shape.type_name
    if kind == "structure":
        names = list(shape.members)[:1] if shape.is_tagged_union else shape.required_members
        return {name: example(shape.members[name]) for name in names}
    if kind == "list":
        return [example(shape.member)] * max(1, shape.metadata.get("min", 1))
    if kind == "map":
        return {}
    if kind == "string":
        return _example_string(shape)
    if kind in ("integer", "long"):
        return int(shape.metadata.get("min", 1))
    if kind in ("double", "float"):
        return float(shape.metadata.get("min", 1))
    return True if kind == "boolean" else dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def _example_string(shape: Any, length: int | None = None) -> str:
    if shape.enum:
        return str(shape.enum[0])
    pattern = shape.metadata.get("pattern", ".*")
    text = _grown(shape.name, pattern)
    low = shape.metadata.get("min", 0) if length is None else length
    return text + text[-1:] * max(0, low - len(text)) if text else "a" * low


def _grown(name: str, pattern: str) -> str:
    """Return a text that matches a pattern and still does when its last character is repeated."""
    uuid = _EXAMPLES["UUID"]
    text = pattern
    for part, example_text in (
        (_UUID, uuid),
        ("arn:aws[-a-z]*:", "arn:aws:"),
        (r"arn:aws:[\w]+:", "arn:aws:cleanrooms:"),
        (r"[\w]{2}-[\w]{4,9}-[\d]:[\d]{12}", "us-east-1:111122223333"),
        ("[-a-z0-9]+:[0-9]{12}", "us-east-1:111122223333"),
        ("[0-9]{12}", "111122223333"),
        (r"[\d\w-]+", "x1"),
        ("[-a-zA-Z0-9_/.]+", "x"),
        (".+", "x"),
    ):
        text = text.replace(part, example_text)
    for candidate in (
        "a",
        text,
        "s3://b",
        "arn:aws:iam::111122223333:role/x",
        "arn:aws:kms:us-east-1:111122223333:key/x",
        "arn:aws:cleanrooms-ml:us-east-1:111122223333:configured-model-algorithm/x",
    ):
        if re.fullmatch(pattern, candidate):
            return candidate
    raise LookupError(f"no example for {name}: {pattern}")


def edges(shape: Any, path: str = "") -> Iterator[tuple[str, Any, bool]]:
    """Yield (path of the fault, a whole value of the shape, whether it is valid) for every constraint in a shape."""
    kind = shape.type_name
    if kind == "structure":
        yield from _structure_edges(shape, path)
    elif kind == "list":
        yield from _size_edges(shape, path, lambda n: [example(shape.member)] * n)
        for below, value, right in edges(shape.member, f"{path}[0]"):
            yield below, [value, *[example(shape.member)] * (max(1, shape.metadata.get("min", 1)) - 1)], right
    elif kind == "map":
        yield from _map_edges(shape, path)
    elif kind == "string":
        yield from _string_edges(shape, path)
    elif kind in ("integer", "long", "double", "float"):
        yield from _number_edges(shape, path)
    elif kind == "boolean":
        yield path, 1, False
    else:
        yield path, "2026-01-01", False


def _structure_edges(shape: Any, path: str) -> Iterator[tuple[str, Any, bool]]:
    whole = example(shape)
    dot = f"{path}." if path else ""
    yield path, whole, True
    yield f"{dot}nobodyKnowsThis", {**whole, "nobodyKnowsThis": 1}, False
    if shape.is_tagged_union:
        yield path, {}, False
    for name in shape.required_members:
        yield f"{dot}{name}", {other: value for other, value in whole.items() if other != name}, False
    for name, child in shape.members.items():
        rest = {} if shape.is_tagged_union else whole
        for below, value, right in edges(child, f"{dot}{name}"):
            yield below, {**rest, name: value}, right


def _map_edges(shape: Any, path: str) -> Iterator[tuple[str, Any, bool]]:
    def made(count: int) -> dict[str, Any]:
        return {f"k{number}": example(shape.value) for number in range(count)}

    yield from _size_edges(shape, path, made)
    for _, key, right in _string_edges(shape.key, path):
        if isinstance(key, str):
            yield path, {key: example(shape.value)}, right
    for below, value, right in edges(shape.value, f"{path}.k"):
        yield below, {"k": value}, right


def _size_edges(shape: Any, path: str, made: Any) -> Iterator[tuple[str, Any, bool]]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low:
        yield path, made(low), True
        yield path, made(low - 1), False
    if high is not None:
        yield path, made(high), True
        yield path, made(high + 1), False
    yield path, 7, False


def _string_edges(shape: Any, path: str) -> Iterator[tuple[str, Any, bool]]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    yield path, 7, False
    if shape.enum:
        yield from ((path, word, True) for word in shape.enum)
        yield path, shape.enum[0].lower() + "?", False
        return
    fixed = low is not None and low == high
    if low:
        short = _example_string(shape)
        yield path, short, True
        yield path, short[: low - 1], False
    if high is not None and high <= 10_000:
        yield path, _example_string(shape, high), True
        yield path, _example_string(shape, high + 1), False
    pattern = shape.metadata.get("pattern")
    if pattern and not fixed:
        for wrong in ("\n", "é:\n\x00", " "):
            text = _example_string(shape) + wrong
            if not re.fullmatch(pattern, text) and len(text) <= (high or len(text)):
                yield path, text, False


def _number_edges(shape: Any, path: str) -> Iterator[tuple[str, Any, bool]]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    whole = shape.type_name in ("integer", "long")
    step = 1 if whole else 1e-6
    yield path, "1", False
    yield path, True, False
    if whole:
        yield path, 1.5, False
    else:
        yield path, float("nan"), False
    for edge, sign in ((low, -1), (high, 1)):
        if edge is not None:
            yield path, int(edge) if whole else float(edge), True
            yield path, (int(edge) if whole else float(edge)) + sign * step, False
