"""What does a flat cost? Predicts a number from numbers, a category and a date, with a linear model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cleanroom_algo import Arrays, Artifacts, Batch, Features, Hyperparameters, Predictor, Schema, Trainer


class PriceHyperparameters(Hyperparameters):
    """The hyperparameters of a request."""

    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 0.02
    unit: float = 100_000.0
    """Training works best with targets near 1. The model predicts in this unit: set it to the size of your targets."""


class Net(nn.Module):
    """A weight for each number, and a surcharge for each category, such as each district."""

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.numbers = nn.Linear(features.numeric_size, 1)
        self.surcharges = nn.ModuleList(nn.Embedding(size, 1) for size in features.cardinalities)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return prices in units, shape (rows,)."""
        prices: Tensor = self.numbers(numeric)
        for at, surcharge in enumerate(self.surcharges):
            prices = prices + surcharge(categorical[:, at])
        return prices.squeeze(1)


class Price(Trainer):
    """Fits the model on the channel `train`."""

    schema = Schema.of(target="price", area="float32", district="string", built="date32?", price="float32")
    hyperparameters = PriceHyperparameters
    metric_names = ("mean_error",)

    def model(self) -> nn.Module:
        """Return an untrained model."""
        return Net(self.features)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean squared error."""
        assert batch.target is not None
        return nn.functional.mse_loss(model(batch.numeric, batch.categorical), batch.target / self.params.unit)

    def metrics(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the mean absolute error."""
        assert batch.target is not None
        return {"mean_error": (self.params.unit * model(batch.numeric, batch.categorical) - batch.target).abs().mean()}


class PricePredictor(Predictor):
    """Answers with the price."""

    def load(self, artifacts: Artifacts) -> None:
        """Load the trained model."""
        self.unit = artifacts.hyperparameters(PriceHyperparameters).unit
        self.model = Net(artifacts.features)
        self.model.load_state_dict(artifacts.state_dict())
        self.model.eval()

    def predict_arrays(self, arrays: Arrays) -> Tensor:
        """Return prices, shape (rows,)."""
        return torch.mul(self.forward(self.model, arrays.numeric, arrays.categorical), self.unit)
