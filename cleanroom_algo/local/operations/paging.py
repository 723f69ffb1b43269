"""Pages of lists. A token names the beginning of the next page, and is only valid for one operation."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence

from cleanroom_algo.errors import Problem
from cleanroom_algo.local.operations.registry import Call
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.validation import invalid

DEFAULT_PAGE = 100  # most defaults are not documented; the maximum of maxResults needs the fewest calls


def page(
    call: Call,
    find: Callable[[int | None, int], Sequence[Record]],
    *,
    default: int = DEFAULT_PAGE,
) -> tuple[Sequence[Record], dict[str, str]]:
    """Return the records of a page, and `nextToken` if there are more.

    Args:
        call: of a List operation.
        find: takes the position before which to search (`Record.seq`) and a limit, returns records, the latest first.
        default: records per page if maxResults is omitted.

    Raises:
        InvalidRequestError: CR-REQ-001, the token is not of this list.
    """
    size = int(call.params.get("maxResults", default))
    before = _read(call, call.params["nextToken"]) if "nextToken" in call.params else None
    found = find(before, size + 1)
    if len(found) <= size:
        return found, {}
    return found[:size], {"nextToken": _write(call, found[size - 1].seq)}


def _write(call: Call, seq: int) -> str:
    return base64.urlsafe_b64encode(f"{call.operation} {seq}".encode()).decode()


def _read(call: Call, token: str) -> int:
    try:
        text = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
    except ValueError:
        text = ""
    if match := re.fullmatch(rf"{call.operation} ([0-9]{{1,18}})", text):
        return int(match[1])
    raise invalid(call.operation, [Problem("nextToken", "is not a token of this operation's lists")])
