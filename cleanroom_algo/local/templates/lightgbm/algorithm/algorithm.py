"""Which customers will leave? LightGBM's boosted trees, on every host.

Texts are categories, and missing values stay missing. The hosts share the rows, with LightGBM's own network.
"""

from __future__ import annotations

from pydantic import Field

from cleanroom_algo import LightGBMHyperparameters, LightGBMPredictor, LightGBMTrainer, Schema


class LeavingHyperparameters(LightGBMHyperparameters):
    """Defaults that differ from those of LightGBM; a request can set all hyperparameters."""

    num_round: int = Field(40, ge=1)
    num_leaves: int = Field(15, ge=2)


class Leaving(LightGBMTrainer):
    """Trees on the properties of a customer."""

    schema = Schema.of(target="left", plan="string", months="int32", spending="float32?", left="bool")
    hyperparameters = LeavingHyperparameters
    logged_names = ("train_binary_logloss", "validation_binary_logloss")


class LeavingPredictor(LightGBMPredictor):
    """Answers with the probability that a customer leaves."""
