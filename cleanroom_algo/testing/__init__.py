"""Testing algorithms: the pytest fixture `clean_room`, and a Trainer and a Predictor in the process of the test.

Names are imported on first use, because pytest imports this package in every run, also if no algorithm is tested.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cleanroom_algo.local import CleanRoom
    from cleanroom_algo.local.results import JobFailed
    from cleanroom_algo.testing.predictors import load_predictor, predict
    from cleanroom_algo.testing.trainers import TrainerRun, make_batch, make_trainer, run_trainer

_HOMES = {
    "CleanRoom": "cleanroom_algo.local",
    "JobFailed": "cleanroom_algo.local.results",
    "TrainerRun": "cleanroom_algo.testing.trainers",
    "load_predictor": "cleanroom_algo.testing.predictors",
    "make_batch": "cleanroom_algo.testing.trainers",
    "make_trainer": "cleanroom_algo.testing.trainers",
    "predict": "cleanroom_algo.testing.predictors",
    "run_trainer": "cleanroom_algo.testing.trainers",
}

__all__ = [
    "CleanRoom",
    "JobFailed",
    "TrainerRun",
    "load_predictor",
    "make_batch",
    "make_trainer",
    "predict",
    "run_trainer",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
