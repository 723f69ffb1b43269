"""Reports exceptions of an algorithm's own code without values: their class and their place."""

from __future__ import annotations

from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.errors import PredictionFailedError, ServerStartError


def prediction_failed(error: BaseException, redact: Redactor) -> PredictionFailedError:
    """Return the error for an exception in `preprocess`, `predict` or `postprocess`."""
    return PredictionFailedError(
        f"the algorithm raised {redact.class_of(error)} at {redact.place_of(error)}",
        expected="a prediction for every row that fits the schema",
        fix="run the algorithm on local data, where CLEANROOM_ALGO_TRACEBACKS=whole shows the whole traceback",
    )


def loading_failed(error: BaseException, redact: Redactor) -> ServerStartError:
    """Return the error for an exception while the algorithm was imported, loaded or warmed up."""
    return ServerStartError(
        f"the algorithm raised {redact.class_of(error)} at {redact.place_of(error)}",
        expected="a file that can be imported, and a `load` and a `sample` that return",
        fix="correct that line; with CLEANROOM_ALGO_TRACEBACKS=whole the log has the whole traceback",
    )
