"""The error of a job that did not succeed: that of its container if there is one, else the one that was raised."""

from __future__ import annotations

import re

from cleanroom_algo.errors import CleanroomError, JobFailedError, JobStoppedError, Problem, all_errors
from cleanroom_algo.errors.status_codes import ALGORITHM_ERROR
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.store import Record

_CODED = re.compile(r"(?P<code>CR-[A-Z]{3}-[0-9]{3})  (?P<what>.*)")
_LABEL = re.compile(r"  (?P<label>fix  |where|expected|at|on(?= host)) +(?P<text>.*)")
_MISSING = re.compile(r"ModuleNotFoundError: No module named '(?P<name>[^']+)'")
_PLACE = re.compile(r"  at (?P<place>.*)")


def failure_of(record: Record) -> CleanroomError | None:
    """Return the error of a job that has failed; None if it has no reason."""
    return error_of(record) if records.reason(record) else None


def error_of(record: Record) -> CleanroomError:
    """Return the error to report for a job that did not succeed."""
    why = records.reason(record) or "no reason was given"
    details = record.document.get("statusDetails") or {}
    if record.status == "INACTIVE" or details.get("statusCode") == JobStoppedError.code:
        return JobStoppedError(f"{record.name}: {why}", expected="a job that runs to its end", fix="start it again")
    text = why.removeprefix(f"{ALGORITHM_ERROR}: ")
    return _coded(text) or _raised(record.name, text)


def _coded(text: str) -> CleanroomError | None:
    """Return the error that a text describes; None if it has no code."""
    first, *lines = text.splitlines()
    found = _CODED.match(first)
    kind = all_errors().get(found["code"]) if found else None
    if found is None or kind is None:
        return None
    parts: dict[str, list[str]] = {}
    label = "what"
    for line in lines:
        if labelled := _LABEL.match(line):
            label = labelled["label"].strip()
        parts.setdefault(label, []).append(labelled["text"] if labelled else line.strip())
    fix, *more = parts.get("fix") or ["see the log"]
    return kind(
        "\n".join([found["what"], *more]),
        expected=" ".join(parts.get("expected", ["a job that ends ACTIVE"])),
        fix=fix,
        problems=[Problem("", each) for label in ("where", "at", "on") for each in parts.get(label, [])],
    )


def _raised(name: str, text: str) -> CleanroomError:
    first, *lines = text.splitlines()
    places = [found["place"] for line in lines if (found := _PLACE.match(line))]
    rest = [line.strip() for line in lines if not _PLACE.match(line)]
    fix = f"correct {places[0]}" if places else "read what its containers wrote"  # the innermost one comes first
    if missing := _MISSING.match(first):
        fix = f"install {missing['name']}, and name its package in the algorithm's requirements.txt"
    return JobFailedError(
        "\n".join([f"{name}: {first}", *rest]),
        expected="a job that ends ACTIVE",
        fix=fix,
        problems=[Problem("", place) for place in (places if missing else places[1:])],
    )
