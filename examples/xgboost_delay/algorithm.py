"""Will a flight arrive 15 minutes late or more? XGBoost in the place of torch, on every host.

`train` runs the Trainer below on each host's share of the rows, `serve` the Predictor.
"""

from __future__ import annotations

from pydantic import Field

from cleanroom_algo import Schema, XGBoostHyperparameters, XGBoostPredictor, XGBoostTrainer


class DelayHyperparameters(XGBoostHyperparameters):
    """Other defaults than those of XGBoost."""

    num_round: int = Field(60, ge=1)
    max_depth: int = Field(5, ge=1)
    eta: float = Field(0.15, gt=0, le=1)


class Delay(XGBoostTrainer):
    """Late or not, from what is known at the desk; texts are categories, and what is missing stays missing."""

    schema = Schema.of(
        target="late",
        carrier="string",
        origin="string",
        dest="string",
        weekday="int16",
        hour="int16",
        distance="float32",
        temp="float32?",
        humid="float32?",
        wind_speed="float32?",
        precip="float32?",
        visib="float32?",
        late="bool",
    )
    hyperparameters = DelayHyperparameters
    logged_names = ("train_logloss", "validation_logloss")


class DelayPredictor(XGBoostPredictor):
    """Answers with the probability of a delay."""
