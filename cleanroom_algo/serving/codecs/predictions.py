"""From the predictions of an algorithm, of any supported kind, to a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import polars as pl

from cleanroom_algo.errors import PredictionShapeError
from cleanroom_algo.serving.predictor import Predictions

_EXPECTED: Final = "shape (rows,) or (rows, n), or named columns of shape (rows,)"


def to_frame(predicted: Predictions, rows: int) -> pl.DataFrame:
    """Return predictions of any supported kind as columns.

    Args:
        predicted: by an algorithm.
        rows: the number of rows that it got.

    Raises:
        PredictionShapeError: they are neither a column, nor a table, nor named columns; or they do not match the rows;
            or no format can represent them.
    """
    result = _columns(predicted)
    if pl.Object in result.dtypes:
        raise _no_values("Python objects")
    if result.height != rows or result.width == 0:
        raise PredictionShapeError(
            f"{rows} rows gave predictions of shape ({result.height}, {result.width})",
            expected="exactly one prediction per row",
            fix="return one prediction per row from `predict_arrays` or `predict`; do not drop or merge rows",
        )
    return result


def _columns(predicted: Predictions) -> pl.DataFrame:
    if isinstance(predicted, pl.DataFrame):
        return predicted
    if isinstance(predicted, pl.Series):
        return pl.DataFrame({predicted.name or "prediction": predicted})
    if isinstance(predicted, Mapping):
        columns = {str(name): _as_array(values) for name, values in predicted.items()}
        _require({array.ndim for array in columns.values()} == {1} and len({len(a) for a in columns.values()}) == 1)
        return pl.DataFrame([_series(name, array) for name, array in columns.items()])
    array = _as_array(predicted)
    _require(array.ndim in {1, 2})
    if array.ndim == 1 or array.shape[1] == 1:
        return _series("prediction", array.reshape(-1)).to_frame()  # avoids the fixed cost of pl.DataFrame
    return pl.DataFrame([_series(f"prediction_{index}", array[:, index]) for index in range(array.shape[1])])


def _series(name: str, array: np.ndarray) -> pl.Series:
    """Return an array as a column; an array of objects by its values. None and masked values become nulls."""
    try:
        series = pl.Series(name, array.tolist() if array.dtype.hasobject else np.asarray(array), strict=False)
        return series.set(pl.Series(np.ma.getmaskarray(array)), None) if np.ma.is_masked(array) else series
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        raise _no_values(f"values of type {array.dtype.type.__name__}") from None


def _as_array(values: Any) -> np.ndarray:
    """Return a tensor of any device, or a similar object, as an array; a masked array keeps its mask.

    Raises:
        PredictionShapeError: it cannot be converted.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.element_size() == 2 and values.is_floating_point():  # bfloat16, float16
            values = values.float()  # exact, and supported by the output formats
    if isinstance(values, np.ma.MaskedArray):
        return values
    try:
        return np.asarray(values.numpy() if hasattr(values, "detach") else values)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, sparse tensors, lists of tensors in training
        raise PredictionShapeError(
            "the predictions cannot be converted to an array",
            expected=_EXPECTED,
            fix="return a dense tensor or an array of plain numbers, without gradients",
        ) from error


def _require(fits: bool) -> None:
    if not fits:
        raise PredictionShapeError(
            "the predictions do not have the shape of rows",
            expected=_EXPECTED,
            fix="return one value, or one vector, per row from `predict_arrays`, `predict` or `postprocess`",
        )


def _no_values(what: str) -> PredictionShapeError:
    return PredictionShapeError(
        f"the predictions are {what}, which no output format can hold",
        expected="numbers, Booleans, strings, dates or timestamps (datetime64[us]); None is a null",
        fix="return a tensor or an array of numbers, or named columns with one plain value per row",
    )
