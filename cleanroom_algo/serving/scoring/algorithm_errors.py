"""What an algorithm's own code raised, told without values: its type and its place."""

from __future__ import annotations

import traceback
from pathlib import Path

from cleanroom_algo.contract.failure import is_library
from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.errors import PredictionFailedError, ServerStartError


def prediction_failed(error: BaseException) -> PredictionFailedError:
    """Return the error for an exception in `preprocess`, `predict` or `postprocess`."""
    return PredictionFailedError(
        f"the algorithm raised {Redactor().class_of(error)} at {place_of(error)}",
        expected="a prediction for every row that fits the schema",
        fix="run the algorithm on local data, where CLEANROOM_ALGO_TRACEBACKS=whole shows the whole traceback",
    )


def loading_failed(error: BaseException) -> ServerStartError:
    """Return the error for an exception while the algorithm was imported, loaded or warmed up."""
    return ServerStartError(
        f"the algorithm raised {Redactor().class_of(error)} at {place_of(error)}",
        expected="a file that can be imported, and a `load` and a `sample` that return",
        fix="correct that line; with CLEANROOM_ALGO_TRACEBACKS=whole the log has the whole traceback",
    )


def place_of(error: BaseException) -> str:
    """Return where an exception was raised, in the algorithm's own code if it went through that."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not is_library(frame.filename)] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].lineno} in {own[-1].name}" if own else "an unknown place"
