"""Differences from AWS, and the codes of errors: searchable, and linked from other views."""

from __future__ import annotations

import inspect

from flask import Blueprint, request

from cleanroom_algo.errors import CleanroomError, all_errors
from cleanroom_algo.errors.status_codes import STATUS_CODES
from cleanroom_algo.local.differences import DIFFERENCES
from cleanroom_algo.local.ui.page import render

view = Blueprint("differences", __name__)


@view.get("/differences")
def differences() -> str:
    """Show where the local clean room differs from AWS; the search covers all words of a row."""
    words = _words()
    found = [
        each
        for each in DIFFERENCES
        if _has(words, each.area, each.here, each.aws, each.provenance, each.source, each.switch, *each.operations)
    ]
    return render("differences.html", rows=found, count=len(DIFFERENCES))


@view.get("/codes")
def codes() -> str:
    """Show the codes of errors and of failed jobs."""
    words = _words()
    rows = [(kind.code, kind.title, _explanation(kind)) for kind in all_errors().values()]
    rows += [(code, "status code of a failed job", text) for code, text in STATUS_CODES.items()]
    return render("codes.html", rows=[row for row in rows if _has(words, *row)], count=len(rows))


def _explanation(kind: type[CleanroomError]) -> str:
    return inspect.cleandoc(kind.__doc__ or "")


def _words() -> list[str]:
    return request.args.get("q", "").casefold().split()


def _has(words: list[str], *texts: str) -> bool:
    text = " ".join(texts).casefold()
    return all(word in text for word in words)
