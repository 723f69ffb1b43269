"""Converts what pydantic finds to `Problem` objects."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cleanroom_algo.errors import Problem

_TEXT_OF_THE_AUTHOR = {"value_error", "assertion_error"}


def problems_of(error: ValidationError, *, prefix: str = "", show_author_text: bool = False) -> tuple[Problem, ...]:
    """Return one problem per finding, in the order of the input.

    Args:
        error: what pydantic found.
        prefix: put before each path.
        show_author_text: whether to show messages raised inside validators. They may quote the value, so they are left
            out unless the validators are known.
    """
    return tuple(
        Problem(prefix + json_path(detail["loc"]), _message(detail, show_author_text)) for detail in error.errors()
    )


def json_path(location: Sequence[str | int]) -> str:
    """Return a path such as `dataChannels[1].channelName`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _message(detail: ErrorDetails, show_author_text: bool) -> str:
    if detail["type"] in _TEXT_OF_THE_AUTHOR and not show_author_text:
        return "refused by its validator (the message is left out, as it may quote the value)"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return message[:1].lower() + message[1:]
