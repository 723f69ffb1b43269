"""Will it rain within the hour? scikit-learn in the place of torch.

Every host trains on its share of the rows. What is stored are arrays in a safetensors file, not a pickle: a member who
loads the model need not trust the member who trained it.
"""

from __future__ import annotations

from pydantic import Field
from sklearn.linear_model import SGDClassifier

from cleanroom_algo import Hyperparameters, Schema, SklearnPredictor, SklearnTrainer


class RainHyperparameters(Hyperparameters):
    """What the request's `hyperparameters` may hold."""

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
        """Return the estimator; it is fitted by `partial_fit`."""
        return SGDClassifier(loss="log_loss", alpha=self.params.penalty, random_state=0)


class RainPredictor(SklearnPredictor):
    """Answers with the probability of rain."""
