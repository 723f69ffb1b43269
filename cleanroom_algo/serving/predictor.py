"""The class that an algorithm's author extends to answer inference requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import polars as pl

if TYPE_CHECKING:
    import numpy as np
    import torch

    from cleanroom_algo.channels.features import Arrays
    from cleanroom_algo.channels.schema import Schema
    from cleanroom_algo.serving.artifacts import Artifacts

Predictions: TypeAlias = "np.ndarray | torch.Tensor | pl.DataFrame | pl.Series | Sequence[Any] | Mapping[str, Any]"

ROWS_PER_FORWARD = 256
"""Rows of one pass through a model: enough that the passes of a 5 MB request cost no more than a single one would, and
few enough that what lies between two layers of a small model stays in the cache (512 take twice the time: measured)."""

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
        schema: of the rows, for artifacts that no Trainer wrote, such as those of a script; else it is the manifest's.
        training_modules: torch modules that shall stay in training mode, such as "model.dropout"; `load` must leave all
            others in evaluation mode.
    """

    artifacts: Artifacts
    schema: Schema | None = None
    training_modules: tuple[str, ...] = ()

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

        Override it where invented values (0, the empty text, 1970-01-01) are not legal input of `predict`.

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
