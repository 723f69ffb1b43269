"""The page as a WSGI application: views, headers, and functions for all templates."""

from __future__ import annotations

import datetime as dt
import re
import secrets
from typing import Final

from flask import Blueprint, Flask, Response, abort, g, redirect, request, url_for
from markupsafe import Markup, escape
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.errors import CleanroomError, NoSuchRecordError, RequestError
from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.ui.page import PROCESS, render, viewer
from cleanroom_algo.local.ui.texts import cell
from cleanroom_algo.local.ui.viewer import Viewer
from cleanroom_algo.local.ui.views import channels, differences, inference, models, room, training

VIEWS: Final = (
    ("Room", room.view, "room.room"),
    ("Channels", channels.view, "channels.channels"),
    ("Training", training.view, "training.jobs"),
    ("Models", models.view, "models.models"),
    ("Inference", inference.view, "inference.jobs"),
    ("Differences", differences.view, "differences.differences"),
)
"""Title in the navigation, blueprint and first page of each view."""

_POLICY: Final = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_CODE: Final = re.compile(r"\bCR-[A-Z]{3}-[0-9]{3}\b")


def create_app(caller: Caller) -> Flask:
    """Return the page of a room.

    Args:
        caller: of the room's operations.
    """
    app = Flask(__name__, static_url_path="/ui/static")
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    for _, view, _ in VIEWS:
        app.register_blueprint(view, url_prefix="/ui")
    app.register_blueprint(_root)

    @app.before_request
    def know_who_looks() -> None:
        account = request.args.get("as") or None
        g.viewer = Viewer(caller, account)
        if account is not None and account not in {each.account for each in viewer().people}:
            g.viewer = Viewer(caller)
            abort(404, "No active member of this room has the account that the address names.")
        if request.method == "POST" and not secrets.compare_digest(request.form.get("token", ""), PROCESS):
            abort(403, "The form is of another page. Reload the page, and try again.")

    @app.url_defaults
    def keep_who_looks(endpoint: str, values: dict[str, object]) -> None:
        if endpoint != "static" and "viewer" in g and g.viewer.account is not None:
            values.setdefault("as", g.viewer.account)

    app.after_request(_with_headers)
    app.register_error_handler(HTTPException, _show_http_error)
    app.register_error_handler(CleanroomError, _show_error)
    app.context_processor(lambda: {"views": VIEWS, "viewer": viewer(), "token": _token_field})
    app.jinja_env.filters |= FILTERS
    return app


_root = Blueprint("root", __name__)


@_root.get("/")
@_root.get("/ui")
@_root.get("/ui/")
def home() -> AnyResponse:
    """Redirect to the first view."""
    return redirect(url_for(VIEWS[0][2]))


def coded(text: object) -> Markup:
    """Return a text in which codes of errors are links to their explanation."""
    link = Markup('<a href="{}#{}">{}</a>')
    parts: list[Markup] = []
    at = 0
    for match in _CODE.finditer(plain := str(text)):
        target = url_for("differences.codes")
        parts += [escape(plain[at : match.start()]), link.format(target, match[0], match[0])]
        at = match.end()
    return Markup("").join([*parts, escape(plain[at:])])


def prose(text: str) -> Markup:
    """Return a text of the documentation, in which backticks mark code."""
    parts = re.split("`([^`]+)`", text)
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if number % 2 else escape(part) for number, part in enumerate(parts))


def moment(seconds: float) -> Markup:
    """Return a time of a record; the script of the page converts it to one relative to now."""
    when = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        when.isoformat(timespec="seconds"), when.strftime("%Y-%m-%d %H:%M UTC")
    )


def span(seconds: float) -> str:
    """Return a time span in its two largest units, such as `3 min 20 s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


FILTERS: Final = {
    "bytes": format_bytes,
    "cell": cell,
    "coded": coded,
    "moment": moment,
    "prose": prose,
    "span": span,
}
"""Filters with which templates write values."""


def _token_field() -> Markup:
    return Markup('<input type="hidden" name="token" value="{}">').format(PROCESS)


def _with_headers(answer: Response) -> Response:
    answer.headers.update(_HEADERS)
    if answer.mimetype == "text/html" and request.method == "GET" and answer.status_code == 200:
        answer.headers["Cache-Control"] = "private, no-cache"
        if "tag" in g:
            answer.set_etag(g.tag)
        else:
            answer.add_etag()
        answer.make_conditional(request)
    return answer


def _show_http_error(error: HTTPException) -> AnyResponse | tuple[str, int]:
    if isinstance(error.response, AnyResponse):  # status 304 of `unchanged`
        return error.response
    return render("error.html", title=error.name, text=error.description), error.code or 500


def _show_error(error: CleanroomError) -> tuple[str, int]:
    status = error.http_status if isinstance(error, RequestError) else 409
    return render("error.html", title=error.title, error=error), 404 if isinstance(error, NoSuchRecordError) else status
