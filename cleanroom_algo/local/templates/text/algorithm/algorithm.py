"""Is a review good? Predicts yes or no from free text, with an embedding of hashed words."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cleanroom_algo import Arrays, Artifacts, Batch, Hyperparameters, Predictor, Schema, Trainer

BUCKETS = 1 << 14
"""Words are hashed, so that the artifacts contain no words of the members' texts."""


class ReviewHyperparameters(Hyperparameters):
    """The hyperparameters of a request."""

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 0.02


class Net(nn.Module):
    """The mean of the words' embeddings, and a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(BUCKETS, 8)
        self.layer = nn.Linear(8, 1)

    def forward(self, words: Tensor, offsets: Tensor) -> Tensor:
        """Return the log odds, shape (rows,)."""
        logits: Tensor = self.layer(self.words(words, offsets))
        return logits.squeeze(1)


def hashed(texts: Sequence[str | None]) -> tuple[Tensor, Tensor]:
    """Return the hashes of all words, one text after another, and where each text begins."""
    words = [re.findall(r"\w+", (text or "").lower()) for text in texts]
    hashes = [zlib.crc32(word.encode()) % BUCKETS for text in words for word in text]
    lengths = torch.tensor([0, *map(len, words[:-1])], dtype=torch.int64)
    return torch.tensor(hashes, dtype=torch.int64), lengths.cumsum(0)[: len(words)]


class Review(Trainer):
    """Fits the embedding on the channel `train`."""

    schema = Schema.of(target="positive", review="text", positive="bool")
    hyperparameters = ReviewHyperparameters

    def model(self) -> nn.Module:
        """Return an untrained network."""
        return Net()

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean binary cross entropy."""
        assert batch.target is not None
        words, offsets = (each.to(self.device) for each in hashed(batch.texts["review"]))
        return nn.functional.binary_cross_entropy_with_logits(model(words, offsets), batch.target)


class ReviewPredictor(Predictor):
    """Answers with the probability that the review is good."""

    def load(self, artifacts: Artifacts) -> None:
        """Load the trained network."""
        self.model = Net()
        self.model.load_state_dict(artifacts.state_dict())
        self.model.eval()

    def predict_arrays(self, arrays: Arrays) -> np.ndarray:
        """Return probabilities, shape (rows,); text by text, so that a text gets the same bits in every request."""
        with torch.inference_mode():
            odds = [self.model(*hashed([text])).item() for text in arrays.texts["review"]]
        return 1 / (1 + np.exp(-np.array(odds)))
