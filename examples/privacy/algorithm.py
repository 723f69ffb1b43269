"""A small network whose hyperparameters decide how much it remembers of its rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cleanroom_algo import Arrays, Artifacts, Batch, Column, Features, Hyperparameters, Predictor, Schema, Trainer

NAMES = [f"x{number}" for number in range(20)]


class Params(Hyperparameters):
    """By default a network that is too small, and trained too shortly, to remember rows."""

    epochs: int = 5
    batch_size: int = 32
    learning_rate: float = 0.01
    seed: int = 0
    width: int = 8
    private: bool = False
    noise_multiplier: float | None = None


class Fit(Trainer):
    """Learns a Boolean from 20 numbers."""

    schema = Schema([*(Column(name, "float64", nullable=False) for name in NAMES), Column("y", "bool")], target="y")
    hyperparameters = Params
    delta = 1e-3

    def fit_features(self) -> Features:
        """Return numbers as they are: they are known to be around 0."""
        return Features.declared(self.schema, numeric=dict.fromkeys(NAMES, (0, 1)))

    def model(self) -> nn.Module:
        """Return a network with one hidden layer."""
        return network(self.params.width)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean cross entropy."""
        assert batch.target is not None
        return nn.functional.binary_cross_entropy_with_logits(model(batch.numeric).squeeze(1), batch.target)


class Probability(Predictor):
    """Answers with the probability of true."""

    def load(self, artifacts: Artifacts) -> None:
        """Make the network of the size that the weights have."""
        weights = artifacts.state_dict()
        self.model = network(len(weights["0.bias"]))
        self.model.load_state_dict(weights)
        self.model.eval()

    def predict_arrays(self, arrays: Arrays) -> Tensor:
        """Return the probabilities."""
        return torch.sigmoid(self.forward(self.model, arrays.numeric).squeeze(1))


def network(width: int) -> nn.Module:
    """Return a network with one hidden layer."""
    return nn.Sequential(nn.Linear(len(NAMES), width), nn.ReLU(), nn.Linear(width, 1))
