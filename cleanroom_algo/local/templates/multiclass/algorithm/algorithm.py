"""Which species is it? Predicts one of several labels from numbers; the predictions contain the labels."""

from __future__ import annotations

import polars as pl
from torch import Tensor, nn

from cleanroom_algo import Arrays, Artifacts, Batch, Features, Hyperparameters, Predictor, Schema, Trainer


class SpeciesHyperparameters(Hyperparameters):
    """The hyperparameters of a request."""

    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 0.02


def network(features: Features) -> nn.Module:
    """Return an untrained network with an output for each label."""
    return nn.Sequential(nn.Linear(features.numeric_size, 16), nn.ReLU(), nn.Linear(16, len(features.classes)))


class Species(Trainer):
    """Fits the network on the channel `train`."""

    schema = Schema.of(target="species", length="float32", width="float32", species="string")
    hyperparameters = SpeciesHyperparameters
    metric_names = ("accuracy",)

    def model(self) -> nn.Module:
        """Return an untrained network."""
        return network(self.features)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean cross entropy; the target contains the number of each row's label."""
        assert batch.target is not None
        return nn.functional.cross_entropy(model(batch.numeric), batch.target)

    def metrics(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the share of correct predictions."""
        assert batch.target is not None
        return {"accuracy": (model(batch.numeric).argmax(1) == batch.target).float().mean()}


class SpeciesPredictor(Predictor):
    """Answers with the label."""

    def load(self, artifacts: Artifacts) -> None:
        """Load the trained network."""
        self.model = network(artifacts.features)
        self.model.load_state_dict(artifacts.state_dict())
        self.model.eval()

    def predict_arrays(self, arrays: Arrays) -> pl.Series:
        """Return the most probable label of each row."""
        classes = self.forward(lambda numeric: self.model(numeric).argmax(1), arrays.numeric)
        return self.artifacts.features.labels(classes)
