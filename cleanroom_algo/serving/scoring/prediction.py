"""Loading and checking a predictor, and predicting with it."""

from __future__ import annotations

from typing import TypeVar

import polars as pl

from cleanroom_algo.contract.algorithm import find_class, load_algorithm
from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.errors import AlgorithmClassError, CleanroomError
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.codecs.predictions import to_frame
from cleanroom_algo.serving.predictor import Predictor
from cleanroom_algo.serving.scoring.algorithm_errors import prediction_failed
from cleanroom_algo.serving.scoring.training_mode import require_evaluation_mode

P = TypeVar("P", bound=Predictor)


def load_predictor(source: str, artifacts: Artifacts) -> Predictor:
    """Import the algorithm and load its model; exceptions of its code pass through.

    Args:
        source: the algorithm: a file, a folder or a module name.
        artifacts: the model directory.

    Raises:
        AlgorithmNotFoundError: there is no algorithm.
        AlgorithmClassError: it does not define exactly one Predictor.
        ManifestError: the model directory is not one that a Trainer wrote.
        TrainingModeError: `load` left a module in training mode.
    """
    kind = find_class(load_algorithm(source), Predictor)
    artifacts.tell_changes(source)
    return make_ready(kind, artifacts)


def make_ready(kind: type[P], artifacts: Artifacts) -> P:
    """Return a predictor of a class with its model loaded; exceptions of its code pass through.

    Args:
        kind: the algorithm's class.
        artifacts: the model directory.

    Raises:
        AlgorithmClassError: it does not define how to predict.
        TrainingModeError: `load` left a module in training mode.
    """
    predictor = kind()
    if not any(_overrides(predictor, hook) for hook in ("predict", "predict_arrays")):
        raise AlgorithmClassError(
            f"{type(predictor).__name__} does not say how rows are predicted",
            expected="a Predictor that overrides `predict_arrays` or `predict`",
            fix="override one of them",
        )
    artifacts.declared_schema = kind.schema
    if kind.schema is None:
        _ = artifacts.manifest  # its error is clearer than that of `load`
    predictor.artifacts = artifacts
    predictor.load(artifacts)
    require_evaluation_mode(predictor)
    return predictor


def answer(predictor: Predictor, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the predictions for a frame, one row for each of its rows.

    This is the complete path of a prediction except for the formats: the server and a caller in process get the same
        bits.

    Raises:
        PredictionShapeError: the predictions do not match the rows.
    """
    if frame.height == 0:
        # Only the model knows the names of the columns of an empty answer; one row shows them.
        return answer(predictor, predictor.sample(1)).clear()
    predicted = predictor.postprocess(predictor.predict(predictor.preprocess(frame)))
    return to_frame(predicted, frame.height)


def answer_or_refuse(predictor: Predictor, frame: pl.DataFrame, redact: Redactor) -> pl.DataFrame:
    """Return the result of `answer`; exceptions of the algorithm become errors of this package.

    Raises:
        PredictionFailedError: the algorithm raised.
        PredictionShapeError: its predictions do not match the rows.
    """
    try:
        return answer(predictor, frame)
    except (CleanroomError, MemoryError):
        raise
    except BaseException as error:  # SystemExit, KeyboardInterrupt, a panic in Rust: each would end the process
        if "can't allocate memory" in str(error):  # text of torch's exception
            raise MemoryError from error
        raise prediction_failed(error, redact) from error


def _overrides(predictor: Predictor, hook: str) -> bool:
    return getattr(getattr(predictor, hook), "__func__", None) is not getattr(Predictor, hook)
