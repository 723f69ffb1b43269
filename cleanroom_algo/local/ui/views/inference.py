"""Inference: predictions, how good they are, and a form to predict one row by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, abort, redirect, request, url_for
from werkzeug.wrappers import Response

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import CleanroomError, NoSuchRecordError, SchemaError
from cleanroom_algo.local.failures import failure_of
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.states import ACTIVE, ENDED, UNDER_WAY
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.results import InferenceJob, TrainedModel
from cleanroom_algo.local.setup.calls import inference_call, make_call
from cleanroom_algo.local.setup.channel_data import channel_source
from cleanroom_algo.local.ui.background import Background
from cleanroom_algo.local.ui.job_logs import shown_log
from cleanroom_algo.local.ui.one_row import (
    FILE,
    check_row,
    csv_of,
    fields_of,
    problems_of,
    texts_of,
    unknown_categories,
)
from cleanroom_algo.local.ui.page import FAST_POLL, SLOW_POLL, page_of, render, viewer

if TYPE_CHECKING:
    from cleanroom_algo.local.summaries.job_results import JobResults

view = Blueprint("inference", __name__)

_RESULTS: Final[Background[JobResults]] = Background()
_THRESHOLDS: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_FIRST_BYTES: Final = 1 << 16  # of the prediction for one row


@view.get("/inference")
def jobs() -> str:
    """List inference jobs, the latest first."""
    page = page_of(records.INFERENCE)
    models = {
        each.seq: records.model_of(viewer().store, viewer().kept(records.INFERENCE, each.seq)) for each in page.records
    }
    runs = any(each.status not in ENDED for each in page.records)
    return render("inferences.html", page=page, models=models, reason=failure_of, poll=FAST_POLL if runs else SLOW_POLL)


@view.get("/inference/<int:place>")
def job(place: int) -> str:
    """Show one inference job."""
    record = viewer().get(records.INFERENCE, place)
    kept = viewer().kept(records.INFERENCE, place)
    values: dict[str, Any] = {}
    running = record.status not in ENDED
    if record.status == ACTIVE and _receives(record):
        values = _results(kept)
        running = values["running"]
    return render(
        "inference.html",
        record=record,
        kept=kept if viewer().whole else None,
        error=failure_of(record),
        model=records.model_of(viewer().store, kept),
        receivers=_receivers(record),
        receives=_receives(record),
        channel=_channel(record),
        log=shown_log(kept),
        stoppable=viewer().owns(record) and record.status in UNDER_WAY,
        poll=FAST_POLL if running else 0,
        **values,
    )


@view.post("/inference/<int:place>/stop")
def stop(place: int) -> Response:
    """Stop a job, like its creator with CancelTrainedModelInferenceJob."""
    record = viewer().get(records.INFERENCE, place)
    if not viewer().owns(record):
        abort(403, "Only the member who started a job can stop it.")
    asked = {"membershipIdentifier": record.membership, "trainedModelInferenceJobArn": record.key}
    viewer().caller.call("CancelTrainedModelInferenceJob", asked, record.account)
    return redirect(url_for("inference.job", place=place), 303)


@view.get("/inference/predict/<int:place>")
def predict(place: int) -> str:
    """Show the form to predict one row, and the last prediction."""
    model, schema = _asked_model(place)
    asked = request.args.get("job", type=int)
    record = None if asked is None else viewer().get(records.INFERENCE, asked)
    if record is not None and record.parent != model.record.key:
        raise NoSuchRecordError("this job is of another model", expected="a job of this model", fix="predict again")
    given = {} if record is None or schema is None else _row_of(record, schema)
    return _form(model, schema, given, {}, record)


@view.post("/inference/predict/<int:place>")
def start(place: int) -> str | Response | tuple[str, int]:
    """Predict one row: start an inference job on a channel with this row, like `infer MODEL -`."""
    model, schema = _asked_model(place)
    if schema is None:
        abort(400, "This model has no manifest with a schema.")
    texts = {column.name: request.form.get(f"column-{n}", "") for n, column in enumerate(schema.features)}
    content = csv_of(schema, texts)
    try:
        check_row(schema, content)
    except SchemaError as error:
        problems = problems_of(schema, error.problems, texts)
        return _form(model, schema, texts, problems, None, None if problems else error), 400
    caller = viewer().caller
    source = channel_source({FILE: content}, caller.workspace.files.frames)
    started = make_call(caller, inference_call(caller, model.record, source))
    return redirect(url_for("inference.predict", place=place, job=started.seq), 303)


def _form(
    model: TrainedModel,
    schema: Schema | None,
    given: dict[str, str],
    problems: dict[str, str],
    record: Record | None,
    error: CleanroomError | None = None,
) -> str:
    answer: dict[str, Any] = {}
    if record is not None and record.status == ACTIVE:
        answer = _answer(record)
    runs = record is not None and record.status not in ENDED
    return render(
        "predict.html",
        model=model.record,
        schema=schema,
        fields=[] if schema is None else fields_of(schema, model.features, given, problems),
        record=record,
        failure=None if record is None else failure_of(record),
        error=error,
        answer=answer,
        unknown=unknown_categories(schema, model.features, given) if answer and schema is not None else (),
        poll=FAST_POLL if runs else 0,
    )


def _asked_model(place: int) -> tuple[TrainedModel, Schema | None]:
    """Return a model that can predict, and its schema."""
    if not viewer().whole:
        abort(403, "Predicting by hand is for the author's own machine: look at the whole room.")
    record = viewer().get(records.MODEL, place)
    if record.status != ACTIVE:
        abort(409, f"The model is {record.status}: only an ACTIVE one can predict.")
    model = TrainedModel(record, viewer().workspace)
    stored = model.manifest.get("schema")
    return model, None if stored is None else Schema.from_dict(stored)


def _row_of(record: Record, schema: Schema) -> dict[str, str]:
    """Return the texts of the row of a job."""
    channel = viewer().store.get(records.CHANNEL, record.document["dataSource"]["mlInputChannelArn"])
    path = Path("" if channel is None else channel.private.get("location", "")) / FILE
    return texts_of(schema, path.read_text(encoding="utf-8")) if path.is_file() else {}


def _answer(record: Record) -> dict[str, Any]:
    """Return the prediction for one row, by column."""
    first = InferenceJob(record, viewer().workspace).first_rows(_FIRST_BYTES, with_rows=False).predicted
    return first.row(0, named=True) if first.height else {}


def _results(kept: Record) -> dict[str, Any]:
    """Return what to show of predictions, when they have been read."""
    from cleanroom_algo.local.summaries.job_results import job_results
    from cleanroom_algo.local.ui.evaluations import confusion_table, distributions, evaluation_charts, facts

    whole, workspace = viewer().whole, viewer().workspace
    try:
        found = _RESULTS.ask(
            (workspace.files.home, kept.key, whole),
            lambda before: before or job_results(workspace, kept, with_rows=whole),
        )
    except CleanroomError as error:
        return {"running": False, "unreadable": error}
    if found.result is None:
        return {"running": True}
    threshold = request.args.get("threshold", 0.5, type=float)
    results = found.result
    return {
        "running": False,
        "results": results,
        "trained": InferenceJob(kept, workspace).predicts_training_rows,
        "charts": [*distributions(results.predicted), *evaluation_charts(results)],
        "facts": facts(results),
        "confusion": confusion_table(results, threshold),
        "threshold": threshold,
        "thresholds": _THRESHOLDS,
    }


def _receives(record: Record) -> bool:
    """Whether the viewer gets the predictions: on AWS, they are written to the bucket of one member."""
    return viewer().whole or viewer().account in _receivers(record)


def _receivers(record: Record) -> dict[str, str]:
    names = {each.account: each.name for each in viewer().people}
    members = record.document.get("outputConfiguration", {}).get("members", ())
    return {each["accountId"]: names.get(each["accountId"], each["accountId"]) for each in members}


def _channel(record: Record) -> Record | None:
    source = record.document.get("dataSource", {})
    kept = viewer().store.get(records.CHANNEL, source.get("mlInputChannelArn", ""))
    return None if kept is None else viewer().seen(kept)
