"""Will a flight arrive 15 minutes late or more?

What is known at the desk: airline, airports, the hour by the timetable, the distance, and the weather at the origin.
`train` runs the Trainer below, `serve` the Predictor.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from cleanroom_algo import Arrays, Artifacts, Batch, Features, Hyperparameters, Predictor, Schema, Trainer

SCHEMA = Schema.of(
    target="late",
    # The airline's columns, in the order of the query's SELECT list. Not the month: data to come is of other months.
    carrier="string",
    origin="string",
    dest="string",
    weekday="int16",
    hour="int16",
    distance="float32",
    # The weather bureau's; an hour without an observation leaves them empty.
    temp="float32?",
    humid="float32?",
    wind_speed="float32?",
    precip="float32?",
    visib="float32?",
    late="bool",
)


class DelayHyperparameters(Hyperparameters):
    """The hyperparameters of a request."""

    epochs: int = Field(2, ge=1, le=100)
    batch_size: int = Field(1024, ge=1)  # large enough that a step's fixed cost does not count on a CPU
    learning_rate: float = Field(3e-3, gt=0)
    hidden: int = Field(64, ge=1)
    embedding: int = Field(8, ge=1)  # 100 airports need no more
    seed: int = 7


class DelayNet(nn.Module):
    """Embeddings of the categories beside the standardised numbers, then two layers."""

    def __init__(self, numeric: int, cardinalities: tuple[int, ...], hidden: int, embedding: int) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(size, embedding) for size in cardinalities)
        self.layers = nn.Sequential(
            nn.Linear(numeric + embedding * len(cardinalities), hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 1),
        )

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return the log odds of a late arrival, shape (rows,)."""
        embedded = [table(categorical[:, column]) for column, table in enumerate(self.embeddings)]
        logits: Tensor = self.layers(torch.cat([numeric, *embedded], dim=1))
        return logits.squeeze(1)


class FlightDelay(Trainer):
    """Fits the network on the channel `train`."""

    schema = SCHEMA
    hyperparameters = DelayHyperparameters
    metric_names = ("accuracy",)

    def model(self) -> nn.Module:
        """Return a network of the size that the features and hyperparameters ask for."""
        return build(self.features, self.params)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean binary cross entropy of the batch."""
        assert batch.target is not None  # the schema names one
        return nn.functional.binary_cross_entropy_with_logits(model(batch.numeric, batch.categorical), batch.target)

    def metrics(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return how many rows of the batch are told right, as a share."""
        assert batch.target is not None
        told_late = model(batch.numeric, batch.categorical) > 0
        return {"accuracy": (told_late == (batch.target > 0.5)).float().mean()}


class DelayPredictor(Predictor):
    """Answers with the probability of a late arrival."""

    def load(self, artifacts: Artifacts) -> None:
        """Load the trained network."""
        self.model = build(artifacts.features, artifacts.hyperparameters(DelayHyperparameters))
        self.model.load_state_dict(artifacts.state_dict())
        self.model.eval()

    def predict_arrays(self, arrays: Arrays) -> Tensor:
        """Return probabilities, shape (rows,)."""
        return self.forward(self.probabilities, arrays.numeric, arrays.categorical)

    def probabilities(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return them for one pass: outside of `forward`, the last bit of a sigmoid depends on the number of rows."""
        return torch.sigmoid(self.model(numeric, categorical))


def build(features: Features, params: DelayHyperparameters) -> DelayNet:
    """Return an untrained network that fits the features."""
    return DelayNet(features.numeric_size, features.cardinalities, params.hidden, params.embedding)
