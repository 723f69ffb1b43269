"""Will it rain within the hour? scikit-learn in the place of torch.

An algorithm that is not torch overrides `fit` and `save` alone. What it stores are arrays in a safetensors file, not a
pickle: a member who loads the model need not trust the member who trained it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression

from cleanroom_algo import Arrays, Artifacts, Features, Hyperparameters, Predictor, Schema, Trainer
from cleanroom_algo.channels.fitting import FeaturesFitter

WEIGHTS = "coefficients.safetensors"


class RainHyperparameters(Hyperparameters):
    """What the request's `hyperparameters` may hold."""

    inverse_penalty: float = Field(1.0, gt=0)
    max_iterations: int = Field(200, ge=1)


class Rain(Trainer):
    """Logistic regression over all rows of the channel at once."""

    schema = Schema.of(
        target="rain",
        origin="string",
        temp="float32?",
        dewp="float32?",
        humid="float32?",
        wind_speed="float32?",
        pressure="float32?",
        visib="float32?",
        rain="bool",
    )
    hyperparameters = RainHyperparameters

    logged_names = ("accuracy",)

    def fit(self) -> None:
        """Fit features and model on the whole table; this runs once, on the first host."""
        rows = self.table()
        fitter = FeaturesFitter(self.schema)
        fitter.update(rows)
        self.features = fitter.finish()
        arrays = self.features.transform(rows)
        inputs = design(self.features, arrays.numeric, arrays.categorical)
        self.model_ = LogisticRegression(C=self.params.inverse_penalty, max_iter=self.params.max_iterations)
        self.model_.fit(inputs, arrays.target)
        self.log(accuracy=self.model_.score(inputs, arrays.target))

    def save(self, directory: Path) -> None:
        """Write the coefficients."""
        arrays = {"coefficients": self.model_.coef_[0], "intercept": self.model_.intercept_}
        save_file(arrays, directory / WEIGHTS)


class RainPredictor(Predictor):
    """Answers with the probability of rain."""

    def load(self, artifacts: Artifacts) -> None:
        """Read the coefficients; numpy is all that is needed to predict with them."""
        self.features = artifacts.features
        self.weights = load_file(artifacts.directory / WEIGHTS)

    def predict_arrays(self, arrays: Arrays) -> NDArray[np.float64]:
        """Return probabilities, shape (rows,)."""
        # A sum over each row by itself: unlike a matrix product, the same bits whatever the number of rows.
        products = design(self.features, arrays.numeric, arrays.categorical) * self.weights["coefficients"]
        log_odds = products.sum(axis=1) + self.weights["intercept"]
        return np.asarray(1 / (1 + np.exp(-log_odds)))


def design(features: Features, numeric: NDArray[np.float32], categorical: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return numbers and one-hot categories side by side, axes (row, column)."""
    hot = [np.eye(size)[categorical[:, column]] for column, size in enumerate(features.cardinalities)]
    return np.hstack([numeric.astype(np.float64), *hot])
