"""A Trainer and a Predictor in the process of a test: as in a job, but for hosts and server."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
import polars as pl
import pytest
from torch import Tensor, nn

from cleanroom_algo import Artifacts, Batch, Csv, Hyperparameters, Predictor, Schema, Trainer
from cleanroom_algo.channels.arrays import Arrays
from cleanroom_algo.errors import HyperparameterError, RowMismatchError
from cleanroom_algo.local.setup.channel_data import as_frame
from cleanroom_algo.testing import load_predictor, make_batch, make_trainer, predict, run_trainer

FRAME = pl.DataFrame({"x": range(100), "kind": ["a", "b"] * 50, "y": [float(x) for x in range(100)]})


class Knobs(Hyperparameters):
    epochs: int = 2


class Line(Trainer):
    schema = Schema.of(target="y", x="float32", kind="string", y="float32")
    hyperparameters = Knobs

    def model(self) -> nn.Module:
        return nn.Linear(self.features.numeric_size, 1)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        assert batch.target is not None
        return nn.functional.mse_loss(model(batch.numeric).squeeze(1), batch.target)


class LinePredictor(Predictor):
    def load(self, artifacts: Artifacts) -> None:
        self.model = nn.Linear(artifacts.features.numeric_size, 1)
        self.model.load_state_dict(artifacts.state_dict())
        self.model.eval()

    def predict_arrays(self, arrays: Arrays) -> Tensor:
        return self.forward(self.model, arrays.numeric).squeeze(1)


class Broken(Line):
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        raise ZeroDivisionError(f"{batch.rows} rows")


def test_a_trainer_runs_and_its_model_predicts() -> None:
    run = run_trainer(Line, train=FRAME, validation=FRAME.head(8), hyperparameters={"epochs": 3})
    assert {"epoch_train_loss", "validation_loss"} <= set(run.metrics)
    assert {"model.safetensors", "features.json", "manifest.json"} <= set(run.files)
    assert run.manifest.steps == 3
    newer = run_trainer(Line, train=FRAME, base_model=run)
    assert newer.manifest.steps == 5

    predictor = load_predictor(LinePredictor, newer)
    expected = predict(predictor, FRAME)
    assert expected.columns == ["prediction"]
    assert predict(predictor, FRAME.drop("y").to_pandas()).equals(expected)
    assert expected["prediction"].to_list() == predictor.predict_arrays(newer.features.transform(FRAME)).tolist()
    folder = run.directory
    assert folder.is_dir()
    del run
    assert not folder.exists()


def test_a_frame_is_written_as_the_schema_declares_csv() -> None:
    class Separated(Line):
        schema = Schema.of(target="y", x="float32", kind="string", y="float32", csv=Csv(delimiter=";", decimal=","))

    assert run_trainer(Separated, train=FRAME).metrics == run_trainer(Line, train=FRAME).metrics


def test_a_loss_can_be_called_by_hand_on_rows() -> None:
    trainer = make_trainer(Line, train=FRAME)
    batch = make_batch(trainer, FRAME.head(5).to_pandas().astype({"kind": "category"}))
    assert batch.rows == 5
    assert trainer.loss(trainer.model(), batch).ndim == 0


def test_a_frame_of_pandas_has_nulls_and_integers_as_polars_has() -> None:
    frame = pd.DataFrame(
        {
            "count": [1.0, None],
            "share": [0.5, None],
            "whole": [1.0, 2.0],
            "name": ["a", None],
            "kind": pd.Categorical(["b", None]),
            "at": [pd.Timestamp(2026, 1, 2), pd.NaT],
        }
    )
    assert as_frame(frame).rows() == [(1, 0.5, 1.0, "a", "b", datetime(2026, 1, 2)), (None, None, 2.0, *[None] * 3)]
    assert as_frame(frame).schema["count"] == pl.Int64


def test_exceptions_are_those_of_the_algorithm() -> None:
    with pytest.raises(ZeroDivisionError, match="100 rows"):
        run_trainer(Broken, train=FRAME)
    with pytest.raises(HyperparameterError, match="Knobs"):
        run_trainer(Line, train=FRAME, hyperparameters={"epoch": 1})
    missing = pd.DataFrame({"x": [1.0, None], "kind": ["a", None], "y": [0.0, 1.0]})
    with pytest.raises(RowMismatchError, match=r"part-00000\.csv"):
        run_trainer(Line, train=missing)
