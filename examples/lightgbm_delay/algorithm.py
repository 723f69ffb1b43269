"""Will a flight arrive 15 minutes late or more? LightGBM in the place of torch, on every host.

`train` runs the Trainer below on each host's share of the rows, `serve` the Predictor.
"""

from __future__ import annotations

from pydantic import Field

from cleanroom_algo import LightGBMHyperparameters, LightGBMPredictor, LightGBMTrainer, Schema


class DelayHyperparameters(LightGBMHyperparameters):
    """Other defaults than those of LightGBM."""

    num_round: int = Field(60, ge=1)
    num_leaves: int = Field(24, ge=2)
    learning_rate: float = Field(0.1, gt=0)


class Delay(LightGBMTrainer):
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
    logged_names = ("train_binary_logloss", "validation_binary_logloss")


class DelayPredictor(LightGBMPredictor):
    """Answers with the probability of a delay."""
