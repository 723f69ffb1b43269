"""YAML of plain values.

Texts are written as in JSON, which is valid YAML, so that a text is never read as another type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_PLAIN_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9:]*(?<!:)")
_WORDS: Final = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}
# Characters that JSON does not escape, but that YAML 1.1 reads as line breaks or byte order marks, or rejects.
_ESCAPED: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


def to_yaml(value: Any) -> str:
    """Return a document."""
    return "\n".join(_lines(value, "")) + "\n"


def _lines(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            name = key if _PLAIN_KEY.fullmatch(key) and key.lower() not in _WORDS else _scalar(key)
            yield from _entry(f"{indent}{name}:", each, f"{indent}  ")
    elif isinstance(value, list) and value:
        for each in value:
            if isinstance(each, Mapping | list) and each:
                first, *others = _lines(each, f"{indent}  ")
                yield f"{indent}- {first.lstrip(' ')}"
                yield from others
            else:
                yield f"{indent}- {_scalar(each)}"
    else:
        yield f"{indent}{_scalar(value)}"


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping | list) and value:
        yield head
        yield from _lines(value, indent)
    else:
        yield f"{head} {_scalar(value)}"


def _scalar(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
