"""How will a user rate an item? Factors of users and items, learned from their ratings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cleanroom_algo import Arrays, Artifacts, Batch, Hyperparameters, Predictor, Schema, Trainer


class RatingHyperparameters(Hyperparameters):
    """The hyperparameters of a request."""

    epochs: int = 20
    batch_size: int = 256
    learning_rate: float = 0.02
    factors: int = 8


class Net(nn.Module):
    """A bias and factors for each user and item; index 0 is for those that are too rare in the training data."""

    def __init__(self, cardinalities: tuple[int, ...], factors: int) -> None:
        super().__init__()
        self.biases = nn.ModuleList(nn.Embedding(size, 1) for size in cardinalities)
        self.factors = nn.ModuleList(nn.Embedding(size, factors) for size in cardinalities)
        self.mean = nn.Parameter(torch.zeros(()))
        for table in self.factors:
            nn.init.normal_(table.weight, std=0.1)  # type: ignore[arg-type]

    def forward(self, categorical: Tensor) -> Tensor:
        """Return ratings, shape (rows,)."""
        user, item = (table(categorical[:, at]) for at, table in enumerate(self.factors))
        bias = sum(table(categorical[:, at]).squeeze(1) for at, table in enumerate(self.biases))
        ratings: Tensor = (user * item).sum(1) + bias + self.mean
        return ratings


class Rating(Trainer):
    """Fits the factors on the channel `train`."""

    schema = Schema.of(target="rating", user_id="category", item_id="category", rating="float32")
    hyperparameters = RatingHyperparameters
    # Identifiers are categories with a vocabulary, which is stored in the artifacts.
    max_categories = 100_000
    min_category_count = 5

    def model(self) -> nn.Module:
        """Return untrained factors."""
        return Net(self.features.cardinalities, self.params.factors)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean squared error."""
        assert batch.target is not None
        return nn.functional.mse_loss(model(batch.categorical), batch.target)


class RatingPredictor(Predictor):
    """Answers with the rating."""

    def load(self, artifacts: Artifacts) -> None:
        """Load the trained factors."""
        params = artifacts.hyperparameters(RatingHyperparameters)
        self.model = Net(artifacts.features.cardinalities, params.factors)
        self.model.load_state_dict(artifacts.state_dict())
        self.model.eval()

    def predict_arrays(self, arrays: Arrays) -> Tensor:
        """Return ratings, shape (rows,)."""
        return self.forward(self.model, arrays.categorical)
