"""Will a customer leave? Predicts yes or no from numbers and categories, with a small neural network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cleanroom_algo import Arrays, Artifacts, Batch, Features, Hyperparameters, Predictor, Schema, Trainer


class ChurnHyperparameters(Hyperparameters):
    """The hyperparameters of a request."""

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 0.01
    hidden: int = 16


class Net(nn.Module):
    """Embeddings of the categories together with the numbers, then two layers."""

    def __init__(self, features: Features, hidden: int) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(size, 4) for size in features.cardinalities)
        width = features.numeric_size + 4 * len(features.cardinalities)
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return the log odds, shape (rows,)."""
        embedded = [table(categorical[:, at]) for at, table in enumerate(self.embeddings)]
        logits: Tensor = self.layers(torch.cat([numeric, *embedded], dim=1))
        return logits.squeeze(1)


class Churn(Trainer):
    """Fits the network on the channel `train`."""

    schema = Schema.of(target="left", plan="string", months="int64", spending="float32?", left="bool")
    hyperparameters = ChurnHyperparameters
    metric_names = ("accuracy",)

    def model(self) -> nn.Module:
        """Return an untrained network."""
        return Net(self.features, self.params.hidden)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean binary cross entropy."""
        assert batch.target is not None
        return nn.functional.binary_cross_entropy_with_logits(model(batch.numeric, batch.categorical), batch.target)

    def metrics(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the share of correct predictions."""
        assert batch.target is not None
        leaves = model(batch.numeric, batch.categorical) > 0
        return {"accuracy": (leaves == (batch.target > 0)).float().mean()}


class ChurnPredictor(Predictor):
    """Answers with the probability that the customer leaves."""

    def load(self, artifacts: Artifacts) -> None:
        """Load the trained network."""
        self.model = Net(artifacts.features, artifacts.hyperparameters(ChurnHyperparameters).hidden)
        self.model.load_state_dict(artifacts.state_dict())
        self.model.eval()

    def predict_arrays(self, arrays: Arrays) -> Tensor:
        """Return probabilities, shape (rows,)."""
        return self.forward(lambda *inputs: torch.sigmoid(self.model(*inputs)), arrays.numeric, arrays.categorical)
