"""Fitted estimators of scikit-learn in a safetensors file: their arrays and the name of their class, from a short list.

Reading such a file runs no code from it, unlike reading a pickle.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from cleanroom_algo.errors import BaseModelUnreadableError

ESTIMATOR_FILE: Final = "estimator.safetensors"
_COUNTS = ("feature_count_", "class_count_", "feature_log_prob_", "class_log_prior_", "classes_")
FITTED: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "SGDClassifier": ("linear_model", ("coef_", "intercept_", "t_", "classes_")),
    "SGDRegressor": ("linear_model", ("coef_", "intercept_", "t_")),
    "Perceptron": ("linear_model", ("coef_", "intercept_", "t_", "classes_")),
    "GaussianNB": ("naive_bayes", ("theta_", "var_", "epsilon_", "class_count_", "class_prior_", "classes_")),
    "MultinomialNB": ("naive_bayes", _COUNTS),
    "BernoulliNB": ("naive_bayes", _COUNTS),
}
"""The module of each class and its attributes after fitting; the first attribute has the axis (..., feature)."""


def write_estimator(estimator: Any, path: Path) -> None:
    """Write a fitted estimator whose class is in `FITTED`, with those of its parameters that are plain values."""
    from safetensors.numpy import save_file

    name = type(estimator).__name__
    plain = {key: value for key, value in estimator.get_params().items() if isinstance(value, bool | int | float | str)}
    arrays = {each: np.array(getattr(estimator, each)) for each in FITTED[name][1]}
    save_file(arrays, path, {"estimator": name, "parameters": json.dumps(plain)})


def read_estimator(path: Path) -> Any:
    """Return the estimator in a file.

    Raises:
        BaseModelUnreadableError: CR-BAS-006, the file is not of this form.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            name = (file.metadata() or {})["estimator"]
            module, fitted = FITTED[name]
            parameters = json.loads(file.metadata()["parameters"])
            arrays = {each: file.get_tensor(each) for each in fitted}
        estimator = getattr(import_module(f"sklearn.{module}"), name)(**parameters)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BaseModelUnreadableError(
            f"{path.name} does not contain an estimator ({type(error).__name__})",
            expected=f"the arrays of one of {', '.join(FITTED)}, as SklearnTrainer writes them",
            fix="copy the artifacts of a job of SklearnTrainer again",
        ) from None
    for each, array in arrays.items():
        setattr(estimator, each, array if array.ndim else array.item())
    estimator.n_features_in_ = arrays[fitted[0]].shape[-1]
    return estimator
