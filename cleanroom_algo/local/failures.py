"""The error of a job that did not succeed: that of its container if there is one, else the one that was raised."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import dropwhile, takewhile
from typing import Final

from cleanroom_algo.contract.redaction import HIDDEN
from cleanroom_algo.contract.settings import variable
from cleanroom_algo.errors import CleanroomError, JobFailedError, JobStoppedError, Problem, all_errors
from cleanroom_algo.errors.status_codes import ALGORITHM_ERROR
from cleanroom_algo.local.planning.resuming import checkpoints_of
from cleanroom_algo.local.plans.run_files import LOG_FILE
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.job_log import read_lines
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace

_CODED = re.compile(r"(?P<code>CR-[A-Z]{3}-[0-9]{3})  (?P<what>.*)")
_LABEL = re.compile(r"  (?P<label>fix  |where|expected|at|on(?= host)) +(?P<text>.*)")
_MISSING = re.compile(r"ModuleNotFoundError: No module named '(?P<name>[^']+)'")
_PLACE = re.compile(r"  at (?P<place>.*)")
_ON_HOST = re.compile(r"^  on host (?P<host>[\w-]+), rank [0-9]+$", re.MULTILINE)
_BY_ALGORITHM = re.compile(r"the algorithm raised (?P<kind>\w+) at ")
_LOG_BYTES: Final = 1 << 20  # at the end of a log, in which the exception that ended the job is searched


def failure_of(record: Record) -> CleanroomError | None:
    """Return the error of a job that has failed; None if it has no reason."""
    return error_of(record) if records.reason(record) else None


def error_of(record: Record, workspace: Workspace | None = None) -> CleanroomError:
    """Return the error to report for a job that did not succeed.

    Args:
        record: of the job.
        workspace: of a room whose owner reads the error. If the log has complete tracebacks, the error contains the
            complete message of the exception that ended the job.
    """
    why = records.reason(record) or "no reason was given"
    details = record.document.get("statusDetails") or {}
    if record.status == "INACTIVE" or details.get("statusCode") == JobStoppedError.code:
        kept = workspace is not None and record.kind == records.MODEL and checkpoints_of(workspace, record) is not None
        fix = f"continue it with `train --resume {record.name}`, or start it again" if kept else "start it again"
        return JobStoppedError(f"{record.name}: {why}", expected="a job that runs to its end", fix=fix)
    text = why.removeprefix(f"{ALGORITHM_ERROR}: ")
    messages = [] if workspace is None else _logged_messages(workspace, record)
    return _coded(text, messages) or _raised(record.name, text, messages)


def _logged_messages(workspace: Workspace, record: Record) -> list[str]:
    """Return the exceptions below the tracebacks in the log of a job, if it has complete ones."""
    log = workspace.files.run(record) / LOG_FILE
    whole = record.document.get("environment", {}).get(variable("tracebacks")) == "whole"
    lines = read_lines(log, last_bytes=_LOG_BYTES) if whole and log.is_file() else []
    failed = _ON_HOST.search(records.reason(record) or "")
    hosts = dict.fromkeys(line["host"] for line in lines if failed is None or line["host"] == failed["host"])
    return [each for host in hosts for each in _messages([line["text"] for line in lines if line["host"] == host])]


def _messages(lines: Sequence[str]) -> Iterator[str]:
    for start, line in enumerate(lines):
        if line.endswith("Traceback (most recent call last):"):
            first, *more = [*dropwhile(lambda each: each.startswith("  "), lines[start + 1 :]), ""]
            yield "\n".join([first, *takewhile(lambda each: each[:1].isspace() and not _PLACE.match(each), more)])


def _whole(redacted: str, messages: Sequence[str]) -> str | None:
    """Return the message that a redacted one comes from, if there is one; rather one of the same class."""
    kind, _, shown = redacted.partition(": ")
    pattern = re.compile(r"[\w.]+: " + ".*".join(re.escape(part.strip()) for part in shown.split(HIDDEN)), re.DOTALL)
    found = [each for each in messages if pattern.fullmatch(" ".join(each.split()))]
    same = [each for each in found if each.partition(":")[0].rpartition(".")[2] == kind]
    return next(reversed(same or found), None)


def _coded(text: str, messages: Sequence[str]) -> CleanroomError | None:
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
    if by_algorithm := _BY_ALGORITHM.search(text):
        more[:0] = (_whole(f"{by_algorithm['kind']}: {HIDDEN}", messages) or "").splitlines()
    return kind(
        "\n".join([found["what"], *more]),
        expected=" ".join(parts.get("expected", ["a job that ends ACTIVE"])),
        fix=fix,
        problems=[Problem("", each) for label in ("where", "at", "on") for each in parts.get(label, [])],
    )


def _raised(name: str, text: str, messages: Sequence[str]) -> CleanroomError:
    lines = text.splitlines()
    places = [found["place"] for line in lines if (found := _PLACE.match(line))]
    where = [line.strip() for line in lines if _ON_HOST.match(line)]
    said = [line.strip() for line in lines if not _PLACE.match(line) and not _ON_HOST.match(line)]
    if HIDDEN in text and (whole := _whole(" ".join(said), messages)) is not None:
        said = [line.strip() for line in whole.splitlines()]
    fix = f"correct {places[0]}" if places else "read what its containers wrote"  # the innermost one comes first
    if missing := _MISSING.match(said[0]):
        fix = f"install {missing['name']}, and name its package in the algorithm's requirements.txt"
    return JobFailedError(
        "\n".join([f"{name}: {said[0]}", *said[1:], *where]),
        expected="a job that ends ACTIVE",
        fix=fix,
        problems=[Problem("", place) for place in (places if missing else places[1:])],
    )
