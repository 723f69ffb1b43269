"""The class that an algorithm's author extends to answer inference requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import polars as pl

if TYPE_CHECKING:
    import numpy as np
    import torch

    from cleanroom_algo.channels.arrays import Arrays
    from cleanroom_algo.channels.schema import Schema
    from cleanroom_algo.serving.artifacts import Artifacts

Predictions: TypeAlias = "np.ndarray | torch.Tensor | pl.DataFrame | pl.Series | Sequence[Any] | Mapping[str, Any]"

ROWS_PER_FORWARD = 256
"""Rows of one pass through a model. So many that the passes of a 5 MB request take no longer than a single one would,
and so few that the values between two layers of a small model stay in the cache (512 take twice the time: measured)."""

_INVENTED = {
    "string": "",
    "category": "",
    "text": "",
    "bool": False,
    "date32": date(1970, 1, 1),
    "timestamp": datetime(1970, 1, 1),
}


class Predictor:
    """Answers with one prediction per row.

    Subclass it, load the model, and predict from the fitted features, or override `predict` to get the rows themselves:

        class Delay(Predictor):
            def load(self, artifacts):
                self.model = Net(artifacts.features.numeric_size)
                self.model.load_state_dict(artifacts.state_dict())
                self.model.eval()

            def predict_arrays(self, arrays):
                return self.forward(self.model, arrays.numeric, arrays.categorical)

    One instance serves all requests of a process in several threads at the same time: predicting must not change it.

    Attributes:
        artifacts: what training wrote; set before `load` is called.
        schema: of the rows, for artifacts that no Trainer wrote, such as those of a script; else that of the manifest.
        training_modules: torch modules that must stay in training mode, such as "model.dropout"; `load` must put all
            others into evaluation mode.
    """

    artifacts: Artifacts
    schema: Schema | None = None
    training_modules: tuple[str, ...] = ()

    def load(self, artifacts: Artifacts) -> None:
        """Load the model. Called once; where this is safe, before the serving processes fork."""

    def preprocess(self, frame: pl.DataFrame) -> Any:
        """Convert the rows of a request to the input of `predict`; by default, the rows themselves.

        Args:
            frame: the rows, with the columns and types of the artifacts' schema without its target.
        """
        return frame

    def predict_arrays(self, arrays: Arrays) -> Predictions:
        """Return predictions from the features of rows, preprocessed as in training.

        Args:
            arrays: of at least one row; the target is None.

        Returns:
            The same as `predict`.
        """
        raise NotImplementedError

    def predict(self, frame: Any) -> Predictions:
        """Return predictions, one per row, in the order of the rows; by default, those of `predict_arrays`.

        Args:
            frame: what `preprocess` returned.

        Returns:
            Shape (rows,) for a single output column, named `prediction`; (rows, n) for `prediction_0` and so on; a
            DataFrame or a mapping of names to (rows,) for columns with other names. Values are numbers, bools, texts,
            dates or timestamps; None and masked values are nulls.
        """
        return self.predict_arrays(self.artifacts.features.transform(frame))

    def postprocess(self, predictions: Any) -> Predictions:
        """Convert the result of `predict` to the answer; by default, it is not changed."""
        predicted: Predictions = predictions
        return predicted

    def sample(self, rows: int) -> pl.DataFrame:
        """Return rows for the warm-up, which decides whether /ping answers with status 200.

        Override it if the invented values (0, the empty text, 1970-01-01) are not valid input of `predict`.

        Args:
            rows: how many, at least 1.
        """
        columns = self.artifacts.schema.features
        frame = pl.DataFrame(
            {column.name: [[] if column.is_list else _INVENTED.get(column.dtype, 0)] for column in columns},
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

        A matrix product of 1 row and one of 10,000 rows use different code paths and may differ in the last bit. With
        passes of one size, the last one padded, a row gives the same bits in every request. The same holds for other
        operations in `function`: for example, the last bit of torch.sigmoid depends on the number of values.

        Args:
            function: the model, or any function of tensors that processes each row independently.
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


def _pad(array: np.ndarray | torch.Tensor, missing: int) -> np.ndarray | torch.Tensor:
    if missing == 0:
        return array
    count = len(array)
    shape = (count + missing, *array.shape[1:])
    # With the array's own library: through torch, padding a row takes as long as a small model.
    padded: Any = array.new_empty(shape) if hasattr(array, "new_empty") else _empty(shape, array.dtype)
    padded[:count] = array
    padded[count:] = array[-1] if count else 0  # copies of a real row: a model may reject invented values
    return cast("np.ndarray | torch.Tensor", padded)


def _empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    import numpy as np

    return np.empty(shape, dtype)
