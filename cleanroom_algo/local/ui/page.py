"""What the views share: who looks, templates, and answers that a browser has already."""

from __future__ import annotations

import hashlib
from typing import Any, Final, cast

from flask import Response, abort, g, render_template, request

from cleanroom_algo.local.ui.viewer import Viewer

FAST_POLL: Final = 1000  # milliseconds between two looks of an open page at what is running
SLOW_POLL: Final = 5000  # at what may change


def viewer() -> Viewer:
    """Return who looks, in this request."""
    return cast("Viewer", g.viewer)


def unchanged(*facts: object) -> None:
    """Answer 304 at once where the browser has a page of the same facts; the others get them as their ETag.

    Args:
        facts: all that the page depends on, such as the size of a log; who looks is added.
    """
    text = repr((viewer().account, *facts))
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
