"""Which customers will leave? XGBoost's boosted trees, on every host.

Texts are categories, and missing values stay missing. The hosts share the rows, with XGBoost's own network.
"""

from __future__ import annotations

from pydantic import Field

from cleanroom_algo import Schema, XGBoostHyperparameters, XGBoostPredictor, XGBoostTrainer


class LeavingHyperparameters(XGBoostHyperparameters):
    """Defaults that differ from those of XGBoost; a request can set all hyperparameters."""

    num_round: int = Field(40, ge=1)
    max_depth: int = Field(4, ge=1)


class Leaving(XGBoostTrainer):
    """Trees on the properties of a customer."""

    schema = Schema.of(target="left", plan="string", months="int32", spending="float32?", left="bool")
    hyperparameters = LeavingHyperparameters
    logged_names = ("train_logloss", "validation_logloss")


class LeavingPredictor(XGBoostPredictor):
    """Answers with the probability that a customer leaves."""
