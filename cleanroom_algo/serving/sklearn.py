"""The Predictor of estimators that `SklearnTrainer` writes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cleanroom_algo.channels.arrays import Arrays
from cleanroom_algo.contract.estimators import ESTIMATOR_FILE, read_estimator
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.labels import LabelPredictor
from cleanroom_algo.serving.predictor import ROWS_PER_FORWARD, Predictions


class SklearnPredictor(LabelPredictor):
    """Answers with a probability for two classes, one probability per class for more, a number, or the label.

    Estimators without probabilities, such as Perceptron, answer with the class.

    Attributes:
        estimator: of scikit-learn.
    """

    estimator: Any

    def load(self, artifacts: Artifacts) -> None:
        """Read the estimator; nothing is unpickled."""
        self.estimator = read_estimator(artifacts.directory / ESTIMATOR_FILE)

    def predict_arrays(self, arrays: Arrays) -> Predictions:
        """Return predictions, shape (rows,) or (rows, class)."""
        features = self.artifacts.features
        inputs = features.design(arrays)
        if not hasattr(self.estimator, "predict_proba"):
            return self._passes(self.estimator.predict, inputs)
        predicted = self._passes(self.estimator.predict_proba, inputs)
        if features.classes:  # of which the estimator knows those that had rows
            known, predicted = predicted, np.zeros((len(predicted), len(features.classes)))
            predicted[:, self.estimator.classes_] = known
        return predicted[:, 1] if predicted.shape[1] == 2 else predicted

    def _passes(self, function: Any, inputs: NDArray[np.float64]) -> NDArray[Any]:
        """Predict in passes of one size, so that a row gives the same bits in every request."""
        count = len(inputs)
        padded = np.concatenate([inputs, np.repeat(inputs[-1:], -count % ROWS_PER_FORWARD, axis=0)])
        parts = np.split(padded, range(ROWS_PER_FORWARD, len(padded), ROWS_PER_FORWARD))
        return np.concatenate([function(part) for part in parts])[:count]
