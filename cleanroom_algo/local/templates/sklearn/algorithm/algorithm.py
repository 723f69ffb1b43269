"""Will it rain within the hour? scikit-learn instead of torch.

Every host trains on its share of the rows. The model is stored as arrays in a safetensors file, not as a pickle: a
member who loads it need not trust the member who trained it.
"""

from __future__ import annotations

from pydantic import Field
from sklearn.linear_model import SGDClassifier

from cleanroom_algo import Hyperparameters, Schema, SklearnPredictor, SklearnTrainer


class RainHyperparameters(Hyperparameters):
    """The hyperparameters of a request."""

    penalty: float = Field(1e-4, gt=0)
    epochs: int = Field(20, ge=1)


class Rain(SklearnTrainer):
    """Logistic regression."""

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

    def estimator(self) -> SGDClassifier:
        """Return the estimator; `partial_fit` will fit it."""
        return SGDClassifier(loss="log_loss", alpha=self.params.penalty, random_state=0)


class RainPredictor(SklearnPredictor):
    """Answers with the probability of rain."""
