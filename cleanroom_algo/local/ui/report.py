"""A model or an inference job as one file, for a pull request: without scripts, links or rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from cleanroom_algo.contract.redaction import error_summary
from cleanroom_algo.errors import PredictionsUnreadableError
from cleanroom_algo.local.plans.run_files import LOG_FILE
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.states import ACTIVE
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace
from cleanroom_algo.local.results import InferenceJob, TrainedModel
from cleanroom_algo.local.summaries.channel_sizes import channel_sizes
from cleanroom_algo.local.summaries.curves import curve_groups, metric_curves
from cleanroom_algo.local.summaries.job_results import job_results
from cleanroom_algo.local.summaries.metric_lines import metric_lines
from cleanroom_algo.local.summaries.metrics import METRIC_BYTES, job_metrics
from cleanroom_algo.local.summaries.runs import short_name
from cleanroom_algo.local.ui.app import FILTERS
from cleanroom_algo.local.ui.evaluations import Chart, confusion_table, distributions, evaluation_charts, facts
from cleanroom_algo.local.ui.views.training import curve_charts
from cleanroom_algo.local.written_log import WrittenLog

_STYLE: Final = Path(__file__).parent / "static" / "page.css"
_HALF: Final = 0.5
_FEWEST: Final = 100  # rows whose statistics reveal nothing about a single row


def report_of(workspace: Workspace, record: Record, *, with_rows: bool) -> str:
    """Return a report as HTML.

    Args:
        workspace: of the room.
        record: of a trained model or an inference job.
        with_rows: whether it contains rows of the channel, predictions and messages that may quote them.
    """
    why = records.reason(record)
    values = _model(workspace, record) if record.kind == records.MODEL else _inference(workspace, record, with_rows)
    environment = Environment(
        loader=PackageLoader("cleanroom_algo.local.ui"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= FILTERS
    return environment.get_template("report.html").render(
        style=_STYLE.read_text(encoding="utf-8"),
        record=record,
        is_model=record.kind == records.MODEL,
        why=why if why is None or with_rows else error_summary(why),
        with_rows=with_rows,
        channels=[*_channels(workspace, record)],
        **values,
    )


def _model(workspace: Workspace, record: Record) -> dict[str, Any]:
    model = TrainedModel(record, workspace)
    manifest = model.manifest
    given: Mapping[str, str] = record.document.get("hyperparameters", {})
    defaults = {name: value for name, value in manifest.get("hyperparameters", {}).items() if name not in given}
    base = records.base_of(workspace.store, record)
    return {
        "facts": {name: f"{value:.6g}" for name, value in model.metrics.items()},
        "charts": [Chart(*each) for each in _curves(workspace, record)],
        "given": given,
        "defaults": {name: value for name, value in defaults.items() if value is not None},
        "base": None if base is None else short_name(base),
        "files": model.sizes if model.archive.exists() else {},
        "raw": record.private.get("raw_bytes"),
        "cap": record.private.get("max_artifact_bytes"),
        "libraries": manifest.get("library_versions", {}),
    }


def _curves(workspace: Workspace, record: Record) -> Iterable[tuple[str, Markup]]:
    path = workspace.files.run(record) / LOG_FILE
    if not path.exists():
        return ()
    written = WrittenLog.read(workspace, record, last_bytes=METRIC_BYTES)
    return curve_charts(curve_groups(metric_curves(metric_lines(path), job_metrics(written, None)[0])))


def _inference(workspace: Workspace, record: Record, with_rows: bool) -> dict[str, Any]:
    counted = {"Rows": f"{record.private['rows']:,}"} if "rows" in record.private else {}
    model = records.model_of(workspace.store, record)
    values: dict[str, Any] = {"facts": counted, "model": None if model is None else short_name(model)}
    if record.status != ACTIVE:
        return values
    try:
        results = job_results(workspace, record, with_rows=True)
    except PredictionsUnreadableError:
        return values
    if results.read < _FEWEST and not with_rows:
        return values | {"too_few": _FEWEST}
    return values | {
        "facts": counted | facts(results),
        "charts": [
            *distributions(results.predicted, with_rows=with_rows),
            *evaluation_charts(results, with_rows=with_rows),
        ],
        "confusion": confusion_table(results, _HALF, with_rows=with_rows),
        "results": results,
        "trained": results.evaluation is not None and InferenceJob(record, workspace).predicts_training_rows,
    }


def _channels(workspace: Workspace, record: Record) -> Iterable[dict[str, Any]]:
    """Yield the API's descriptions of the channels of a job."""
    source = {"channelName": "inference", **record.document.get("dataSource", {})}
    for each in record.document.get("dataChannels", [source]):
        channel = workspace.store.get(records.CHANNEL, each["mlInputChannelArn"])
        if channel is not None:
            size = channel_sizes(channel.document)
            counted = TrainedModel(record, workspace).rows_of(channel) if record.kind == records.MODEL else None
            yield {
                "name": each["channelName"],
                "channel": channel.name,
                "rows": record.private.get("rows", counted) if size.rows is None else size.rows,
                "bytes": size.bytes or 0,
                "distribution": each.get("s3DataDistributionType", "FullyReplicated"),
            }
