"""Room: members, tables and who may use which columns, algorithms and their policies, channels and their queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any, Final

from flask import Blueprint

from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.local.policies.budgets import access_budget
from cleanroom_algo.local.policies.policies import JobPolicies, Policies
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.arns import PRIVACY_BUDGET
from cleanroom_algo.local.resources.states import UNDER_WAY
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.results import document
from cleanroom_algo.local.ui.channel_rows import shown_sizes
from cleanroom_algo.local.ui.page import FAST_POLL, SLOW_POLL, render, viewer

view = Blueprint("room", __name__)

_USES: Final = {
    "read": "may be read",
    "compared": "may be compared only",
    "used": "may be used, not in the output",
    "-": "closed",
}
_JOBS: Final = {records.MODEL: "trained models", records.INFERENCE: "inference jobs"}


@view.get("/room")
def room() -> str:
    """Show the room."""
    collaborations = [_collaboration(each) for each in viewer().collaborations()]
    waits = any(
        each["counting"] or channel["status"] in UNDER_WAY for each in collaborations for channel in each["channels"]
    )
    return render("room.html", collaborations=collaborations, poll=FAST_POLL if waits else SLOW_POLL)


def _collaboration(record: Record) -> dict[str, Any]:
    members = viewer().members(record)
    names = {each["accountId"]: each["displayName"] for each in members}
    algorithms = viewer().find(records.ASSOCIATION, collaboration=record.key)
    tables = viewer().store.find(records.TABLE, collaboration=record.key)
    channels = viewer().find(records.CHANNEL, collaboration=record.key)
    sizes, counting = shown_sizes(channels)
    return {
        "record": record,
        "names": names,
        "members": [_member(each) for each in members],
        "tables": [_table(each, names) for each in sorted(tables, key=attrgetter("name"))],
        "algorithms": [{"record": each, "policies": [*_policies(each, names)]} for each in algorithms],
        "channels": [{**_channel(each, names), **size._asdict()} for each, size in zip(channels, sizes, strict=True)],
        "counting": counting,
    }


def _member(member: Mapping[str, Any]) -> dict[str, Any]:
    custom = (member.get("mlAbilities") or {}).get("customMLMemberAbilities", ())
    words = [each.removeprefix("CAN_").replace("_", " ").lower() for each in (*member["abilities"], *custom)]
    return {"name": member["displayName"], "account": member["accountId"], "status": member["status"], "may": words}


def _table(record: Record, names: Mapping[str, str]) -> dict[str, Any]:
    shown = document(record, viewer().workspace)
    own = viewer().owns(record)
    return {
        "name": record.name,
        "owner": names.get(record.account, record.account),
        "location": shown["location"] if own else None,
        "access": [{**each, "use": _USES[each["use"]]} for each in shown["columnAccess"]],
        "budgets": [
            each
            for budget in viewer().store.find(PRIVACY_BUDGET, parent=record.key)
            for each in access_budget(budget)["details"]
        ],
    }


def _channel(record: Record, names: Mapping[str, str]) -> dict[str, Any]:
    shown = record.document
    source = shown.get("inputChannel", {}).get("dataSource", {}).get("protectedQueryInputParameters", {})
    sql, location = source.get("sqlParameters", {}), record.private.get("location")
    return {
        "record": record,
        "owner": names.get(record.account, record.account),
        "status": record.status,
        "reason": records.reason(record),
        # The query of a channel that is bound to files is not run.
        "query": None if location else (sql.get("queryString") or "").strip() or sql.get("analysisTemplateArn"),
        "location": location,
    }


def _policies(association: Record, names: Mapping[str, str]) -> Iterator[str]:
    """Yield sentences about what an association lets members receive."""
    policies = Policies.of(association)
    for kind, jobs in policies.jobs.items():
        yield from _job_policies(_JOBS[kind], jobs, names)
    if policies.exports is None:
        yield "Trained models: no member may export them."
    else:
        cap = policies.exports.max_bytes
        files = " and ".join(each.lower() for each in policies.exports.files)
        yield f"Trained models: exports may hold {files}{f', at most {format_bytes(cap)}' if cap else ''}."


def _job_policies(what: str, jobs: JobPolicies, names: Mapping[str, str]) -> Iterator[str]:
    title = what.capitalize()
    if jobs.max_bytes is not None:
        yield f"{title}: each may leave {format_bytes(jobs.max_bytes)}."
    if not jobs.logs:
        yield f"{title}: no member gets logs."
    for each in jobs.logs:
        who = " and ".join(names.get(account, account) for account in each["allowedAccountIds"])
        if each.get("logType") == "ERROR_SUMMARY":
            yield f"{title}: {who} may read why a job failed, and no log lines."
            continue
        pattern = each.get("filterPattern")
        hidden = each.get("logRedactionConfiguration", {}).get("entitiesToRedact", ())
        lines = f"log lines that match {pattern!r}" if pattern else "all log lines"
        yield f"{title}: {who} may read {lines}{f', without {_list(hidden)}' if hidden else ''}."
    if jobs.noise not in (None, "NONE"):
        yield f"{title}: metrics get noise of level {jobs.noise}."


def _list(words: Any) -> str:
    return ", ".join(each.replace("_", " ").lower() for each in words)
