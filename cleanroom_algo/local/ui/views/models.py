"""Models: runs in comparison, and one model with its lineage, artifacts and manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flask import Blueprint, request, url_for
from markupsafe import Markup

from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.local.failures import failure_of
from cleanroom_algo.local.plans.run_files import LOG_FILE
from cleanroom_algo.local.policies.recipients import Recipients
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.results import TrainedModel
from cleanroom_algo.local.summaries.channel_sizes import channel_sizes
from cleanroom_algo.local.summaries.curves import Curve, learning_curves
from cleanroom_algo.local.summaries.metric_lines import metric_lines
from cleanroom_algo.local.summaries.metrics import METRIC_BYTES, job_metrics
from cleanroom_algo.local.summaries.runs import comparison, differing, short_name
from cleanroom_algo.local.ui.charts import COLORS, Series, line_chart
from cleanroom_algo.local.ui.graph import Box, graph
from cleanroom_algo.local.ui.page import SLOW_POLL, page_of, render, viewer
from cleanroom_algo.local.written_log import WrittenLog

view = Blueprint("models", __name__)

_COLUMNS: Final = 8  # of hyperparameters in the table of runs
_MANY: Final = 8  # boxes of one kind in a lineage


@view.get("/models")
def models() -> str:
    """Show trained models in comparison: hyperparameters that differ, and the loss."""
    page = page_of(records.MODEL)
    names = differing(page.records)
    return render("models.html", page=page, names=names[:_COLUMNS], more=len(names) > _COLUMNS, poll=SLOW_POLL)


@view.get("/models/compare")
def compare() -> str | tuple[str, int]:
    """Show some runs side by side, with their curves in the same charts."""
    runs = [viewer().get(records.MODEL, each) for each in request.args.getlist("run", type=int)]
    if not 2 <= len(runs) <= COLORS:
        return render("compare.html", runs=[], most=COLORS, chosen=len(runs)), 400
    curves = [(run, curve) for run in runs for curve in _curves(run)[:2]]
    unit = curves[0][1].unit if curves else ""
    lines = [
        Series(f"{short_name(run)} {curve.name}", curve.points, runs.index(run) + 1)
        for run, curve in curves
        if curve.unit == unit
    ]
    models = [TrainedModel(each, viewer().workspace) for each in runs]
    facts = comparison(models, viewer().store) if viewer().whole else _shown_facts(runs)
    chart = line_chart(lines, label="Learning curves of the runs", x=unit) if lines else ""
    return render("compare.html", runs=[(each, short_name(each)) for each in runs], chart=chart, facts=facts)


@view.get("/models/<int:place>")
def model(place: int) -> str:
    """Show one model."""
    record = viewer().get(records.MODEL, place)
    channels = [_channel(record, each) for each in record.document.get("dataChannels", ())]
    artifacts = _artifacts(TrainedModel(record, viewer().workspace)) if viewer().whole else {}
    given: Mapping[str, str] = record.document.get("hyperparameters", {})
    in_effect = artifacts.get("manifest", {}).get("hyperparameters", {})
    defaults = {name: value for name, value in in_effect.items() if value and name not in given}
    return render(
        "model.html",
        record=record,
        error=failure_of(record),
        lineage=_lineage(record, channels),
        given=given,
        defaults=defaults,
        channels=channels,
        resources=record.document.get("resourceConfig", {}),
        **artifacts,
    )


def _curves(run: Record) -> list[Curve]:
    """Return the learning curves of a run, from what the member gets of it."""
    kept, account = viewer().kept(records.MODEL, run.seq), viewer().account
    log = viewer().workspace.files.run(kept) / LOG_FILE
    if not log.exists() or (account and account not in Recipients.of(viewer().store, kept).members):
        return []
    if account is None and (curves := learning_curves(metric_lines(log), ())):
        return curves
    written = WrittenLog.read(viewer().workspace, kept, account, last_bytes=METRIC_BYTES)
    return learning_curves((), job_metrics(written, account)[0])


def _shown_facts(runs: Sequence[Record]) -> dict[str, list[str | None]]:
    """Return what a member sees of runs: hyperparameters only of its own runs."""
    given = [each.document.get("hyperparameters", {}) for each in runs]
    names = dict.fromkeys(name for each in given for name in each)
    shown: dict[str, list[str | None]] = {"status": [each.status for each in runs]}
    return shown | {f"hyperparameter {name}": [each.get(name) for each in given] for name in names}


def _artifacts(found: TrainedModel) -> dict[str, Any]:
    """Return the files of a model with their sizes, its manifest, and its maximum size."""
    if not found.archive.exists():
        return {}
    manifest, sizes = found.manifest, found.sizes
    private = found.record.private
    largest = max(sizes.values(), default=0)
    return {
        "manifest": manifest,
        "manifest_text": json.dumps(manifest, indent=2, ensure_ascii=False) if manifest else "",
        "metrics": {name: f"{value:.6g}" for name, value in manifest.get("metrics", {}).items()},
        "files": [(name, size, size / largest if largest else 0) for name, size in sizes.items()],
        "raw": private.get("raw_bytes"),
        "packed": private.get("packed_bytes"),
        "cap": private.get("max_artifact_bytes"),
        "archive": found.archive,
    }


def _channel(record: Record, channel: Mapping[str, Any]) -> dict[str, Any]:
    kept = viewer().store.get(records.CHANNEL, channel["mlInputChannelArn"])
    seen = None if kept is None else viewer().seen(kept)
    size = channel_sizes({} if seen is None else seen.document)
    rows = size.rows
    if rows is None and kept is not None and viewer().whole:
        rows = TrainedModel(record, viewer().workspace).rows_of(kept)
    return {
        "name": channel["channelName"],
        "channel": seen.name if seen else "not there any more",
        "href": url_for("channels.channel", place=seen.seq) if seen else "",
        "distribution": channel.get("s3DataDistributionType", "FullyReplicated"),
        "rows": rows,
        "files": size.files,
        "size": None if size.bytes is None else format_bytes(size.bytes),
    }


def _lineage(record: Record, named: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw the base models of a model, and the models made from it."""
    bases: list[Record] = []
    while (base := records.base_of(viewer().store, bases[-1] if bases else record)) is not None and len(bases) < _MANY:
        bases.append(base)
    boxes = [_model_box(base, column) for column, base in enumerate(reversed(bases))]
    edges = [(n, n + 1) for n in range(len(bases) - 1)]
    channels = [Box(max(len(bases) - 1, 0), each["channel"], f"channel {each['name']}", each["href"]) for each in named]
    center = len(boxes) + len(channels)
    made = _made_from(record, max(len(bases), 1) + 1)
    middle = Box(max(len(bases), 1), record.name, f"{record.short_version}, this one", chosen=True)
    edges += [(n, center) for n in range(max(len(bases) - 1, 0), center)]
    edges += [(center, center + 1 + n) for n in range(len(made))]
    return graph([*boxes, *channels, middle, *made], edges, label=f"Lineage of {short_name(record)}")


def _made_from(record: Record, column: int) -> list[Box]:
    inferences, exports = (
        [
            each
            for each in viewer().find(kind, parent=record.key)
            if each.document.get("trainedModelVersionIdentifier") == record.version
        ]
        for kind in (records.INFERENCE, records.EXPORT)
    )
    wanted = (record.key, record.version)
    versions = [
        each
        for each in viewer().find(records.MODEL, collaboration=record.collaboration)
        if (base := each.private.get("base")) and (base["key"], base["version"]) == wanted
    ]
    found = [_model_box(each, column) for each in versions[:_MANY]]
    found += [
        Box(column, each.name, f"inference, {_words(each.status)}", url_for("inference.job", place=each.seq))
        for each in inferences[:_MANY]
    ]
    found += [Box(column, each.name, f"export, {_words(each.status)}") for each in exports[:_MANY]]
    left_out = sum(max(len(each) - _MANY, 0) for each in (versions, inferences, exports))
    return found + ([Box(column, f"and {left_out} more", "see the lists")] if left_out else [])


def _model_box(record: Record, column: int) -> Box:
    detail = f"{record.short_version}, {_words(record.status)}"
    return Box(column, record.name, detail, url_for("models.model", place=record.seq))


def _words(status: str) -> str:
    return status.replace("_", " ").lower()
