"""Predictors of the models that `XGBoostTrainer` and `LightGBMTrainer` write."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from cleanroom_algo.contract.manifest import LIGHTGBM_FILE, XGBOOST_FILE
from cleanroom_algo.errors import ModelFilesError
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.labels import LabelPredictor
from cleanroom_algo.serving.predictor import Predictions


class BoostingPredictor(LabelPredictor):
    """Answers with what the booster predicts: a probability, a number, one probability for each class, or the label.

    Attributes:
        booster: of the library; it can predict in several threads at the same time.
    """

    file: ClassVar[str]
    """The model, in the library's own format."""
    booster: Any

    def open(self, path: Path) -> Any:
        """Return the booster in a file."""
        raise NotImplementedError

    def load(self, artifacts: Artifacts) -> None:
        """Read the model.

        Raises:
            ModelFilesError: CR-SRV-011, it does not exist.
        """
        path = artifacts.directory / self.file
        if not path.is_file():
            raise ModelFilesError(
                f"the model directory does not contain {self.file}",
                expected=f"{self.file}, as the Trainer of the same library writes it",
                fix="use the artifacts of such a Trainer, or another Predictor",
            )
        self.booster = self.open(path)


class XGBoostPredictor(BoostingPredictor):
    """Predicts with a model of XGBoost."""

    file = XGBOOST_FILE

    def open(self, path: Path) -> Any:
        """Return the booster in a file."""
        import xgboost

        return xgboost.Booster(model_file=path)

    def predict(self, frame: pl.DataFrame) -> Predictions:
        """Return predictions, shape (rows,) or (rows, class)."""
        predicted: Predictions = self.booster.inplace_predict(
            self.artifacts.features.matrix(frame), validate_features=False
        )
        return predicted


class LightGBMPredictor(BoostingPredictor):
    """Predicts with a model of LightGBM."""

    file = LIGHTGBM_FILE

    def open(self, path: Path) -> Any:
        """Return the booster in a file."""
        import lightgbm

        return lightgbm.Booster(model_file=path)

    def predict(self, frame: pl.DataFrame) -> Predictions:
        """Return predictions, shape (rows,) or (rows, class)."""
        predicted: Predictions = self.booster.predict(self.artifacts.features.matrix(frame))
        return predicted
