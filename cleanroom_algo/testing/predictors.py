"""A Predictor in the process of a test or a debugger: no server, and unchanged exceptions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from cleanroom_algo.channels.conform import conform
from cleanroom_algo.local.setup.channel_data import as_frame
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.predictor import Predictor
from cleanroom_algo.serving.scoring.prediction import P, answer, make_ready
from cleanroom_algo.testing.folders import Model, model_folder

if TYPE_CHECKING:
    from cleanroom_algo.local.setup.channel_data import ChannelData


def load_predictor(kind: type[P], model: Model) -> P:
    """Return a predictor with its model loaded.

    Args:
        kind: the algorithm's class.
        model: what `run_trainer` returned, a model of a clean room, or a folder with its files.

    Raises:
        AlgorithmClassError: CR-CON-005, it does not define how to predict. TrainingModeError: CR-SRV-019. And every
            exception of the algorithm.
    """
    if isinstance(model, Artifacts):
        return make_ready(kind, model)
    artifacts = Artifacts(Path())
    artifacts.directory = model_folder(model, artifacts)
    return make_ready(kind, artifacts)


def predict(predictor: Predictor, data: ChannelData) -> pl.DataFrame:
    """Return the predictions for the rows of a frame: those of a request, in another format.

    Args:
        predictor: of `load_predictor`.
        data: a frame of polars or pandas; it may contain the target and other columns.

    Raises:
        SchemaError: the rows do not fit the schema. PredictionShapeError: the predictions do not match the rows.
    """
    return answer(predictor, conform(as_frame(data), predictor.artifacts.schema.features, source="frame"))
