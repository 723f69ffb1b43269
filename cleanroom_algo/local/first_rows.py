"""Check, before an inference job starts, that its model can read the rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import SchemaError
from cleanroom_algo.local.jobs.inference.header import is_predictor
from cleanroom_algo.local.jobs.inference.split import require_lines
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.planning.inputs import algorithm_source, channel_objects
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.arns import ASSOCIATION
from cleanroom_algo.local.resources.states import ACTIVE
from cleanroom_algo.local.resources.workspace import Workspace
from cleanroom_algo.local.results import TrainedModel

_FIRST_BYTES: Final = 1 << 18
_CORRECT: Final = "correct these rows, or train again with a schema that fits them"
_AS_CSV: Final = "write the rows as CSV: inference jobs send every object as text/csv"


def check_first_rows(workspace: Workspace, params: Mapping[str, Any]) -> None:
    """Check that the server of an inference job will read the first rows of its channel.

    Nothing is checked if the container may read rows in its own way: an image, a script, or a server that the
    algorithm brings. Rows in S3, and rows for a model whose schema is not known, are not checked either.

    Args:
        workspace: of the room.
        params: of StartTrainedModelInferenceJob. If they name something that is not in the room, nothing is checked
            here: the operation refuses them.

    Raises:
        SchemaError: CR-SCH-002, CR-SCH-003 or CR-SCH-005, rows do not fit the schema of the model.
        InferenceInputError: CR-JOB-201, an object has no lines.
    """
    store = workspace.store
    model = store.get(records.MODEL, params["trainedModelArn"], params.get("trainedModelVersionIdentifier"))
    channel = store.get(records.CHANNEL, params["dataSource"]["mlInputChannelArn"])
    if model is None or channel is None or channel.status != ACTIVE:
        return
    association = store.get(ASSOCIATION, params.get("configuredModelAlgorithmAssociationArn", model.parent))
    declared = TrainedModel(model, workspace).manifest.get("schema")
    if association is None or declared is None:
        return
    source = algorithm_source(workspace, association, "inferenceContainerConfig")
    objects = channel_objects(workspace, channel)
    first = next((each for each in objects if each.size and isinstance(each.place, Path)), None)
    if first is not None and is_predictor(source, params.get("environment", {})):
        require_lines(first)
        _check(first, Schema.from_dict(declared))


def _check(first: ObjectRef, schema: Schema) -> None:
    from cleanroom_algo.channels.formats.blocks import RowRules, cut_rows
    from cleanroom_algo.channels.formats.csv.dialect import dialect_of
    from cleanroom_algo.channels.formats.csv.to_predict import EXPECTED, LEAVE_OUT, blank_rows, decoder_to_predict
    from cleanroom_algo.channels.hints import UNDECLARED

    rules = RowRules(dialect_of(schema), blank_rows=blank_rows(schema))
    with first.open() as file:
        rows = next(cut_rows(iter(lambda: file.read(_FIRST_BYTES), b""), source=first.key, rules=rules), b"")
    if not rows.strip() or rows[:1] in b"\r\n":  # blank lines before a header
        return
    decoder = decoder_to_predict(rows, schema, source=first.key)
    try:
        rest = decoder.start(rows)
        decoder.decode(rest, line=1 + decoder.header_lines)
    except SchemaError as error:
        undeclared = any(UNDECLARED in each.message for each in error.problems)
        fix = LEAVE_OUT if undeclared else _AS_CSV if rows.startswith(b"{") else _CORRECT
        raise type(error)(error.what, expected=EXPECTED, fix=fix, problems=error.problems) from None
