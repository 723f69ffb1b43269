"""What the views share: who looks, templates, and answers that a browser has already."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Final, cast

from flask import Response, abort, g, render_template, request

from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.ui.viewer import Viewer

FAST_POLL: Final = 1000  # milliseconds between two looks of an open page at what is running
SLOW_POLL: Final = 5000  # at what may change


PROCESS: Final = secrets.token_urlsafe()
"""A secret of this process. Forms contain it, and pages of elsewhere cannot read it."""
_RECORDS: Final = 50  # on a page of a list


@dataclass(frozen=True)
class RecordPage:
    """A page of a list.

    Attributes:
        records: as they are seen, the latest first.
        total: how many there are on all pages.
        following: `before` of the next page; None where there is none.
        first: whether it is the first page.
    """

    records: list[Record]
    total: int
    following: int | None
    first: bool


def page_of(kind: str) -> RecordPage:
    """Return the page of a list that the address asks for with `before`.

    Args:
        kind: of the records.
    """
    before = request.args.get("before", type=_place)
    found = viewer().find(kind, before=before, limit=_RECORDS + 1)
    following = found[_RECORDS - 1].seq if len(found) > _RECORDS else None
    return RecordPage(found[:_RECORDS], viewer().count(kind), following, before is None)


def _place(text: str) -> int:
    return min(int(text), (1 << 63) - 1)  # SQLite knows no greater ones


def viewer() -> Viewer:
    """Return who looks, in this request."""
    return cast("Viewer", g.viewer)


def unchanged(*facts: object) -> None:
    """Answer 304 at once where the browser has a page of the same facts; the others get them as their ETag.

    Args:
        facts: all that the page depends on, such as the size of a log; who looks is added.
    """
    text = repr((PROCESS, viewer().account, *facts))
    g.tag = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    if request.method == "GET" and request.if_none_match.contains(g.tag):
        answer = Response(status=304)
        answer.set_etag(g.tag)
        abort(answer)


def render(template: str, *, poll: int = 0, **values: Any) -> str:
    """Return a page.

    Args:
        template: its name.
        poll: milliseconds after which an open page asks for itself again; 0: never.
        values: for the template.
    """
    return render_template(template, poll=poll, **values)
