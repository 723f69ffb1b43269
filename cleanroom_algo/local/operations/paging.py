"""Pages of lists. A token says where the next page begins, and belongs to one list of one room, for ever."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cleanroom_algo.errors import Problem
from cleanroom_algo.local.operations.registry import Call
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.validation import invalid

DEFAULT_PAGE = 100  # of most lists it is not documented; the maximum of maxResults costs the fewest calls
_DIGEST = 12


def page(
    call: Call,
    find: Callable[[int | None, int], Sequence[Record]],
    *,
    default: int = DEFAULT_PAGE,
) -> tuple[Sequence[Record], dict[str, str]]:
    """Return the records of a page, and `nextToken` if there are more.

    Args:
        call: of a List operation.
        find: given the place before which to look (`Record.seq`) and a limit, returns records, the latest first.
        default: records on a page where maxResults is left out.

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
    place = str(seq).encode()
    return base64.urlsafe_b64encode(_digest(call, place) + place).decode()


def _read(call: Call, token: str) -> int:
    try:
        raw = base64.urlsafe_b64decode(token.encode("ascii"))
        digest, place = raw[:_DIGEST], raw[_DIGEST:]
        if hmac.compare_digest(digest, _digest(call, place)):
            return int(place)
    except ValueError:
        pass
    problem = Problem("nextToken", "is not of this list: it was made for another one, or by another room")
    raise invalid(call.operation, [problem])


def _digest(call: Call, place: bytes) -> bytes:
    secret = call.room.store.fact("token-secret").encode()
    own: Mapping[str, Any] = {k: v for k, v in call.params.items() if k not in ("nextToken", "maxResults")}
    text = json.dumps([call.operation, call.account, own], sort_keys=True).encode() + place
    return hmac.digest(secret, text, hashlib.sha256)[:_DIGEST]
