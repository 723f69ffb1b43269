"""Write, run and test algorithms for AWS Clean Rooms ML.

Public names are imported on first use, so that `import cleanroom_algo` imports neither torch nor polars nor flask.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cleanroom_algo.channels.arrays import Arrays
    from cleanroom_algo.channels.features import Features
    from cleanroom_algo.channels.records import read_records
    from cleanroom_algo.channels.schema import Column, Csv, Schema
    from cleanroom_algo.contract.environment import Environment
    from cleanroom_algo.contract.hyperparameters import Hyperparameters
    from cleanroom_algo.data.batch import Batch
    from cleanroom_algo.data.dataset import ChannelDataset
    from cleanroom_algo.data.world import World
    from cleanroom_algo.errors import CleanroomError
    from cleanroom_algo.serving.artifacts import Artifacts
    from cleanroom_algo.serving.boosting import LightGBMPredictor, XGBoostPredictor
    from cleanroom_algo.serving.predictor import Predictor
    from cleanroom_algo.serving.sklearn import SklearnPredictor
    from cleanroom_algo.training.boosting.lightgbm import LightGBMHyperparameters, LightGBMTrainer
    from cleanroom_algo.training.boosting.xgboost import XGBoostHyperparameters, XGBoostTrainer
    from cleanroom_algo.training.sklearn import SklearnTrainer
    from cleanroom_algo.training.trainer import Trainer

_HOMES = {
    "Arrays": "cleanroom_algo.channels.arrays",
    "Artifacts": "cleanroom_algo.serving.artifacts",
    "Batch": "cleanroom_algo.data.batch",
    "ChannelDataset": "cleanroom_algo.data.dataset",
    "CleanroomError": "cleanroom_algo.errors",
    "Column": "cleanroom_algo.channels.schema",
    "Csv": "cleanroom_algo.channels.schema",
    "Environment": "cleanroom_algo.contract.environment",
    "Features": "cleanroom_algo.channels.features",
    "Hyperparameters": "cleanroom_algo.contract.hyperparameters",
    "LightGBMHyperparameters": "cleanroom_algo.training.boosting.lightgbm",
    "LightGBMPredictor": "cleanroom_algo.serving.boosting",
    "LightGBMTrainer": "cleanroom_algo.training.boosting.lightgbm",
    "Predictor": "cleanroom_algo.serving.predictor",
    "Schema": "cleanroom_algo.channels.schema",
    "SklearnPredictor": "cleanroom_algo.serving.sklearn",
    "SklearnTrainer": "cleanroom_algo.training.sklearn",
    "Trainer": "cleanroom_algo.training.trainer",
    "World": "cleanroom_algo.data.world",
    "XGBoostHyperparameters": "cleanroom_algo.training.boosting.xgboost",
    "XGBoostPredictor": "cleanroom_algo.serving.boosting",
    "XGBoostTrainer": "cleanroom_algo.training.boosting.xgboost",
    "read_records": "cleanroom_algo.channels.records",
}

__all__ = [
    "Arrays",
    "Artifacts",
    "Batch",
    "ChannelDataset",
    "CleanroomError",
    "Column",
    "Csv",
    "Environment",
    "Features",
    "Hyperparameters",
    "LightGBMHyperparameters",
    "LightGBMPredictor",
    "LightGBMTrainer",
    "Predictor",
    "Schema",
    "SklearnPredictor",
    "SklearnTrainer",
    "Trainer",
    "World",
    "XGBoostHyperparameters",
    "XGBoostPredictor",
    "XGBoostTrainer",
    "read_records",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
