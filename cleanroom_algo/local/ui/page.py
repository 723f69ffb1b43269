"""What the views share: the viewer, templates, and answers that a browser already has."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Final, cast

from flask import Response, abort, g, render_template, request

from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.ui.viewer import Viewer

FAST_POLL: Final = 1000  # milliseconds between two updates of an open page about something that is running
SLOW_POLL: Final = 5000  # about something that may change


PROCESS: Final = secrets.token_urlsafe()
"""A secret of this process. Forms contain it, and pages of other sites cannot read it."""
_RECORDS: Final = 50  # on a page of a list


@dataclass(frozen=True)
class RecordPage:
    """A page of a list.

    Attributes:
        records: in the current view, the latest first.
        total: the number of records on all pages.
        following: the `before` of the next page; None if there is none.
        first: whether it is the first page.
    """

    records: list[Record]
    total: int
    following: int | None
    first: bool


def page_of(kind: str) -> RecordPage:
    """Return the page of a list that the URL selects with `before`.

    Args:
        kind: of the records.
    """
    before = request.args.get("before", type=_place)
    found = viewer().find(kind, before=before, limit=_RECORDS + 1)
    following = found[_RECORDS - 1].seq if len(found) > _RECORDS else None
    return RecordPage(found[:_RECORDS], viewer().count(kind), following, before is None)


def _place(text: str) -> int:
    return min(int(text), (1 << 63) - 1)  # the largest integer in SQLite


def viewer() -> Viewer:
    """Return the viewer of this request."""
    return cast("Viewer", g.viewer)


def unchanged(*facts: object) -> None:
    """Answer with status 304 if the browser has a page with the same facts; otherwise, the facts become its ETag.

    Args:
        facts: everything that the page depends on, such as the size of a log; the viewer is added.
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
        poll: milliseconds after which an open page updates itself; 0: never.
        values: for the template.
    """
    return render_template(template, poll=poll, **values)
