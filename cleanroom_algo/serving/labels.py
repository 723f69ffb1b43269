"""A Predictor whose models decide between classes: for a target of strings, it answers with labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from cleanroom_algo.serving.predictor import Predictions, Predictor


class LabelPredictor(Predictor):
    """Answers with labels for a target of strings, and else with what the model predicts.

    To answer with probabilities for a target of strings, too, override `postprocess` and return its argument. The
    columns then have the order of `artifacts.features.classes`; a single column is the probability of the second class.
    """

    def postprocess(self, predictions: Any) -> Predictions:
        """Return the labels for a target of strings; predictions for other targets are not changed.

        Args:
            predictions: a probability for each class, axes (row, class); of two classes, the probability of the second,
                of which above 0.5 means that class; or the number of the class. What an own `predict` returns instead
                of an array is not changed.
        """
        schema = self.artifacts.schema
        named = schema.target is not None and schema.column(schema.target).is_string
        if not named or not isinstance(predictions, np.ndarray):
            return super().postprocess(predictions)
        features = self.artifacts.features
        if predictions.ndim == 2:
            predictions = predictions.argmax(axis=1)
        elif len(features.classes) == 2:
            predictions = predictions > 0.5
        return features.labels(predictions.astype(int))
