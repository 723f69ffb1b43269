"""The class that an algorithm's author extends to answer inference requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import polars as pl

from cleanroom_algo.errors import PredictionShapeError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from cleanroom_algo.channels.features import Arrays
    from cleanroom_algo.serving.artifacts import Artifacts

Predictions: TypeAlias = "np.ndarray | torch.Tensor | pl.DataFrame | pl.Series | Sequence[Any] | Mapping[str, Any]"

ROWS_PER_FORWARD = 256
"""Rows of one pass through a model: enough that the passes of a 5 MB request cost no more than a single one would, and
few enough that what lies between two layers of a small model stays in the cache (512 take twice the time: measured)."""

_EXPECTED = "shape (rows,) or (rows, n), or named columns of shape (rows,)"
_INVENTED = {"string": "", "bool": False, "date32": date(1970, 1, 1), "timestamp": datetime(1970, 1, 1)}


class Predictor:
    """Answers with one prediction per row.

    Subclass it, load the model, predict from the fitted features or, by overriding `predict`, from the rows themselves:

        class Delay(Predictor):
            def load(self, artifacts):
                self.model = Net(artifacts.features.numeric_size)
                self.model.load_state_dict(artifacts.state_dict())
                self.model.eval()

            def predict_arrays(self, arrays):
                return self.forward(self.model, arrays.numeric, arrays.categorical)

    One instance serves all requests of a process, from several threads at once: predicting must not change it.

    Attributes:
        artifacts: what training left; set before `load` is called.
    """

    artifacts: Artifacts

    def load(self, artifacts: Artifacts) -> None:
        """Make the model ready. Called once, before the serving processes fork where that is safe."""

    def preprocess(self, frame: pl.DataFrame) -> Any:
        """Turn the rows of a request into what `predict` takes; the rows themselves unless overridden.

        Args:
            frame: the rows, with the columns and types of the artifacts' schema but without its target.
        """
        return frame

    def predict_arrays(self, arrays: Arrays) -> Predictions:
        """Return predictions from the features of rows, as they were fitted in training.

        Where this is overridden, and neither `preprocess` nor `predict` is, a few rows are answered in half the time:
        no table is made of them.

        Args:
            arrays: of at least one row; the target is None.

        Returns:
            As `predict` does.
        """
        raise NotImplementedError

    def predict(self, frame: Any) -> Predictions:
        """Return predictions, one per row, in the order of the rows; what `predict_arrays` says unless overridden.

        Args:
            frame: what `preprocess` returned.

        Returns:
            Shape (rows,) for a single output column, named `prediction`; (rows, n) for `prediction_0` and so on; a
            DataFrame or a mapping of names to (rows,) for columns with names of their own. Values are numbers, bools,
            texts, dates or timestamps; None is a null, and so is what the mask of a masked array hides.
        """
        return self.predict_arrays(self.artifacts.features.transform(frame))

    def postprocess(self, predictions: Any) -> Predictions:
        """Turn what `predict` returned into the answer; the same unless overridden."""
        predicted: Predictions = predictions
        return predicted

    def sample(self, rows: int) -> pl.DataFrame:
        """Return rows for the warm-up, which decides whether /ping answers 200.

        Override it where invented values (0, the empty text, 1970-01-01) are no legal input of `predict`.

        Args:
            rows: how many, at least 1.
        """
        columns = self.artifacts.schema.features
        frame = pl.DataFrame(
            {column.name: [_INVENTED.get(column.dtype, 0)] for column in columns},
            schema={column.name: column.polars_dtype() for column in columns},
        )
        return frame[[0] * rows]

    def forward(
        self,
        function: Callable[..., torch.Tensor],
        *arrays: np.ndarray | torch.Tensor,
        rows: int = ROWS_PER_FORWARD,
        device: str | None = None,
    ) -> torch.Tensor:
        """Run a torch model over rows in passes of one fixed size, without gradients.

        A matrix product of 1 row and one of 10,000 rows take different code paths and may differ in the last bit.
        Passes of one size, the last one padded, give a row the same bits in whatever request it arrives. So do the rest
        of the computing in `function`, too: the last bit of torch.sigmoid, say, depends on how many values there are.

        Args:
            function: the model, or any function of tensors that treats each row by itself.
            arrays: shape (rows, ...), all with the same number of rows; the arguments of `function`.
            rows: of one pass, at least 1.
            device: where the model is; the CPU unless set.

        Returns:
            Shape (rows, ...), on the CPU.
        """
        import torch

        count = len(arrays[0])
        missing = -count % rows or (0 if count else rows)
        with torch.inference_mode():
            tensors = [torch.as_tensor(_pad(array, missing)) for array in arrays]
            if device is not None:
                tensors = [tensor.to(device) for tensor in tensors]
            if 0 < count <= rows:
                return function(*tensors)[:count].cpu()
            passes = [function(*pieces) for pieces in zip(*(torch.split(t, rows) for t in tensors), strict=True)]
            return torch.cat(passes)[:count].cpu()


def answer(predictor: Predictor, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the predictions for a frame, one row for each of its rows.

    This is the whole path of a prediction but for the formats: the server and a caller in process get the same bits.

    Raises:
        PredictionShapeError: the predictions do not match the rows.
    """
    if frame.height == 0:
        # What an empty answer's columns are called, only the model knows; a row shows it.
        return answer(predictor, predictor.sample(1)).clear()
    predicted = predictor.postprocess(predictor.predict(predictor.preprocess(frame)))
    return to_frame(predicted, frame.height)


def answer_arrays(predictor: Predictor, arrays: Arrays) -> Predictions:
    """Return what a predictor that `takes_arrays` says of at least one row, as it says it."""
    return predictor.postprocess(predictor.predict_arrays(arrays))


def takes_arrays(predictor: Predictor) -> bool:
    """Whether a predictor sees nothing of the rows but their features."""
    return _inherits(predictor, "preprocess", "predict")


def says_nothing(predictor: Predictor) -> bool:
    """Whether a predictor lacks what makes rows predictions."""
    return _inherits(predictor, "predict", "predict_arrays")


def _inherits(predictor: Predictor, *hooks: str) -> bool:
    return all(getattr(getattr(predictor, hook), "__func__", None) is getattr(Predictor, hook) for hook in hooks)


def to_frame(predicted: Predictions, rows: int) -> pl.DataFrame:
    """Return predictions of any supported kind as columns.

    Args:
        predicted: by an algorithm.
        rows: that it was given.

    Raises:
        PredictionShapeError: they are neither a column, nor a table, nor named columns, or do not match the rows, or
            hold what no format can say.
    """
    result = _columns(predicted)
    objects = [name for name, dtype in result.schema.items() if dtype == pl.Object]
    if objects:
        raise _no_values(f"objects, in {', '.join(objects)}")
    if result.height != rows or result.width == 0:
        raise PredictionShapeError(
            f"{rows} rows gave predictions of shape ({result.height}, {result.width})",
            expected="exactly one prediction per row",
            fix="treat each row by itself in `predict_arrays` or `predict`, and neither drop nor merge rows",
        )
    return result


def _columns(predicted: Predictions) -> pl.DataFrame:
    if isinstance(predicted, pl.DataFrame):
        return predicted
    if isinstance(predicted, pl.Series):
        return pl.DataFrame({predicted.name or "prediction": predicted})
    if isinstance(predicted, Mapping):
        columns = {str(name): as_array(values) for name, values in predicted.items()}
        _require({array.ndim for array in columns.values()} == {1} and len({len(a) for a in columns.values()}) == 1)
        return pl.DataFrame([_series(name, array) for name, array in columns.items()])
    array = as_array(predicted)
    _require(array.ndim in {1, 2})
    if array.ndim == 1 or array.shape[1] == 1:
        return _series("prediction", array.reshape(-1)).to_frame()  # without the fixed cost of pl.DataFrame
    return pl.DataFrame([_series(f"prediction_{index}", array[:, index]) for index in range(array.shape[1])])


def _series(name: str, array: np.ndarray) -> pl.Series:
    """Return an array as a column; one of objects by their values, of which None is a null, as is what a mask hides."""
    import numpy as np

    try:
        series = pl.Series(name, array.tolist() if array.dtype.hasobject else np.asarray(array), strict=False)
        return series.set(pl.Series(np.ma.getmaskarray(array)), None) if np.ma.is_masked(array) else series
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        raise _no_values(f"values of type {array.dtype}") from None


def as_array(values: Any) -> np.ndarray:
    """Return a tensor of any device, or anything like an array, as an array; a masked one keeps its mask.

    Raises:
        PredictionShapeError: it is like none.
    """
    import numpy as np

    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.element_size() == 2 and values.is_floating_point():  # bfloat16, float16
            values = values.float()  # exact, and what the output formats can say
    if isinstance(values, np.ma.MaskedArray):
        return values
    try:
        return np.asarray(values.numpy() if hasattr(values, "detach") else values)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, sparse tensors, lists of tensors in training
        raise PredictionShapeError(
            f"the predictions, a {type(values).__name__}, cannot be made an array ({type(error).__name__})",
            expected=_EXPECTED,
            fix="return a dense tensor or an array of plain numbers, without gradients",
        ) from error


def _require(fits: bool) -> None:
    if not fits:
        raise PredictionShapeError(
            "the predictions have a shape that cannot be written as rows",
            expected=_EXPECTED,
            fix="return one value, or one vector, per row from `predict_arrays`, `predict` or `postprocess`",
        )


def _no_values(what: str) -> PredictionShapeError:
    return PredictionShapeError(
        f"the predictions are {what}, which no format can say",
        expected="numbers, bools, texts, dates or timestamps (datetime64[us]), or None among them",
        fix="return a tensor or an array of numbers, or named columns with one plain value per row",
    )


def _pad(array: np.ndarray | torch.Tensor, missing: int) -> np.ndarray | torch.Tensor:
    if missing == 0:
        return array
    count = len(array)
    shape = (count + missing, *array.shape[1:])
    # By the array's own library: through torch, padding a row costs as much as a small model does.
    padded: Any = array.new_empty(shape) if hasattr(array, "new_empty") else _empty(shape, array.dtype)
    padded[:count] = array
    padded[count:] = array[-1] if count else 0  # copies of a real row: a model may refuse what no data could hold
    return cast("np.ndarray | torch.Tensor", padded)


def _empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    import numpy as np

    return np.empty(shape, dtype)
