"""JSON objects as stored, parsed when they are first used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json


def is_readable(text: str) -> bool:
    """Whether a text is a JSON object that can be parsed and sent."""
    try:
        return isinstance(from_json(text), dict)
    except ValueError:
        return False


class Json(Mapping[str, Any]):
    """A JSON object as a mapping; most objects on a page of records are never used.

    Args:
        text: of one JSON object.
    """

    __slots__ = ("_text", "_value")

    def __init__(self, text: str) -> None:
        self._text = text
        self._value: dict[str, Any] | None = None

    def whole(self) -> dict[str, Any]:
        """Return the object itself, which must not be changed; a dict is faster than a mapping around it."""
        if self._value is None:
            self._value = from_json(self._text)
        return self._value

    def __getitem__(self, name: str) -> Any:
        return self.whole()[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return a member, or the default."""
        return self.whole().get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self.whole())

    def __len__(self) -> int:
        return len(self.whole())

    def __repr__(self) -> str:
        return repr(self.whole())
