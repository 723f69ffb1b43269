"""Channels: the content of a channel by column, and how its objects are divided among hosts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, request
from markupsafe import Markup

from cleanroom_algo.channels.schema import Column
from cleanroom_algo.contract.channel import Distribution
from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.errors import CleanroomError
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.training_plan import ChannelPlan, plan_hosts
from cleanroom_algo.local.profiling.declaration import code_of, dtype_text
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.states import ACTIVE, UNDER_WAY
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.summaries.channel_sizes import channel_sizes
from cleanroom_algo.local.ui.background import Background
from cleanroom_algo.local.ui.channel_rows import shown_sizes
from cleanroom_algo.local.ui.charts import Bar, bar_chart, strip
from cleanroom_algo.local.ui.page import FAST_POLL, SLOW_POLL, render, viewer
from cleanroom_algo.local.ui.texts import short, value_range

if TYPE_CHECKING:
    from cleanroom_algo.local.profiling.profile import ColumnProfile
    from cleanroom_algo.local.summaries.inspection import Inspection

view = Blueprint("channels", __name__)

MOST_HOSTS: Final = 5  # of a training job
_LISTED: Final = 40  # objects of a channel
_UNEVEN: Final = 1.2  # times the mean: the division is then called uneven
_INSPECTIONS: Final[Background[Inspection]] = Background()


@view.get("/channels")
def channels() -> str:
    """List the channels."""
    listed = viewer().find(records.CHANNEL)
    sizes, counting = shown_sizes(listed)
    found = [{"record": each, **size._asdict()} for each, size in zip(listed, sizes, strict=True)]
    waits = counting or any(each["record"].status in UNDER_WAY for each in found)
    return render("channels.html", channels=found, poll=FAST_POLL if waits else SLOW_POLL)


@view.get("/channels/<int:place>")
def channel(place: int) -> str:
    """Show one channel: its content without a selected member, else what the API shows to the member."""
    record = viewer().get(records.CHANNEL, place)
    values: dict[str, Any] = {}
    running = record.status in UNDER_WAY
    if viewer().whole and record.status == ACTIVE:
        values = _inspected(record)
        running = values["running"]
    return render(
        "channel.html",
        record=record,
        sizes=channel_sizes(record.document),
        poll=FAST_POLL if running else 0,
        **_chosen(),
        **values,
    )


def _chosen() -> dict[str, Any]:
    """Return the hosts and the distribution in the URL."""
    hosts = request.args.get("hosts", 2, type=int)
    sharded = request.args.get("distribution") != Distribution.FULLY_REPLICATED
    return {
        "hosts": min(max(hosts, 1), MOST_HOSTS),
        "most_hosts": MOST_HOSTS,
        "distribution": Distribution.SHARDED_BY_S3_KEY if sharded else Distribution.FULLY_REPLICATED,
        "distributions": list(Distribution),
    }


def _inspected(record: Record) -> dict[str, Any]:
    """Return what to show of a channel's content, when it is known."""
    from cleanroom_algo.local.summaries.inspection import inspect

    workspace = viewer().workspace
    try:
        found = _INSPECTIONS.ask(
            (workspace.files.home, record.key, record.updated), lambda before: inspect(workspace, record, before)
        )
    except CleanroomError as error:
        return {"running": False, "error": error}
    if found.result is None:
        return {"running": True}
    shown = found.result
    profile = shown.profile
    return {
        "running": found.running,
        "inspection": shown,
        "error": shown.error,
        "profile": profile,
        "total": sum(each.size for each in shown.objects),
        "spread": _spread(shown.objects),
        "listed": sorted(shown.objects, key=lambda each: each.key)[:_LISTED],
        "object_chart": _object_chart(shown.objects),
        "columns": [_column(each, profile.rows) for each in profile.columns] if profile else [],
        "schemas": [*_schemas(shown)] if profile else [],
        "code": code_of(profile.schema) if profile else "",
    }


def _column(column: ColumnProfile, rows: int) -> dict[str, Any]:
    bars = [Bar(value_range(each.low, each.high), each.rows) for each in column.bins]
    return {
        "profile": column,
        "dtype": "not declared" if column.declared is None else dtype_text(column.declared),
        "nulls": column.nulls / rows if rows else 0.0,
        "strip": strip(bars, label=f"How the values of {column.name} are distributed") if bars else None,
        "low": short(column.low),
        "high": short(column.high),
        "top": [(short(value), share) for value, share in column.top],
    }


def _schemas(shown: Inspection) -> Iterator[dict[str, Any]]:
    """Yield a row for each column: its name in the files, its content, and an algorithm's declaration."""
    profile = shown.profile
    assert profile is not None
    declared = {} if shown.declared is None else {each.name: each for each in shown.declared.schema.columns}
    if not profile.form.has_names and shown.declared is not None:  # by position, like the library
        declared = dict(zip(profile.form.names, shown.declared.schema.columns, strict=False))
    found = {each.name: each for each in profile.columns}
    for name in [*profile.form.names, *(each for each in declared if each not in profile.form.names)]:
        here, there = found.get(name), declared.get(name)
        yield {
            "name": name or "(no name)",
            "in_files": name in profile.form.names,
            "found": dtype_text(here.declared) if here and here.declared else None,
            "declared": dtype_text(there) if there else None,
            "is_target": shown.declared is not None and name == shown.declared.schema.target,
            "guessed": shown.declared is None and name == profile.schema.target,
            "remark": _remark(shown, here, there, in_files=name in profile.form.names),
        }


def _remark(shown: Inspection, here: ColumnProfile | None, there: Column | None, *, in_files: bool) -> str:
    if shown.declared is None:
        return ""
    if there is None:
        ignored = shown.declared.schema.extra_columns == "ignore"
        return "not declared, and ignored" if ignored else "not declared: a job would fail"
    if not in_files:
        return "declared, but not in the files"
    return "has nulls, and is declared without ?" if here and here.nulls and not there.nullable else ""


def _spread(objects: Sequence[ObjectRef]) -> dict[str, Any]:
    """Return what each host of a training job would get."""
    chosen = _chosen()
    plan = plan_hosts([ChannelPlan("train", chosen["distribution"], tuple(objects))], chosen["hosts"])
    bytes_of = {each.name: sum(obj.size for obj in each.objects["train"]) for each in plan}
    most, mean = max(bytes_of.values()), sum(bytes_of.values()) / len(plan)
    rows = [
        {
            "name": each.name,
            "objects": len(each.objects["train"]),
            "bytes": bytes_of[each.name],
            "share": bytes_of[each.name] / most if most else 0.0,
        }
        for each in plan
    ]
    empty = " and ".join(each.name for each in plan if not each.objects["train"])
    note = ""
    if empty:
        note = f"{empty} would get no object: with {chosen['distribution']}, use at least as many objects as hosts."
    elif mean and most > _UNEVEN * mean:
        note = f"The largest share is {most / mean:.1f} times the mean: the other hosts would have less to train on."
    return {"hosts": rows, "note": note}


def _object_chart(objects: Sequence[ObjectRef]) -> Markup | None:
    if not 1 < len(objects) <= _LISTED:
        return None
    ordered = sorted(objects, key=lambda each: each.key)
    bars = [
        Bar(str(number), each.size / 1e6, f"{each.key}: {format_bytes(each.size)}")
        for number, each in enumerate(ordered, 1)
    ]
    return bar_chart(bars, label="Sizes of the objects", x="object, by key", y="MB")
