"""Explains errors of torch about a loss that does not suit its batch, without values, and says what to do."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.data.batch import Batch
from cleanroom_algo.errors import LossError, TargetTypeError
from cleanroom_algo.training.torch.batches import one_row_error

# Targets of shape (rows,) and predictions of shape (rows, 1), of which a loss compares each with all others.
_BROADCAST = r"Using a target size \(torch\.Size\(\[(\d+)\]\)\) .* input size \(torch\.Size\(\[\1, 1\]\)\)"
_ONE_ROW = "Expected more than 1 value per channel"
_TYPE = re.compile(r"expected scalar type|[Ff]ound dtype|target dtype|can't be cast to the desired output type")


def refuse_broadcasts() -> None:
    """Let torch raise where it only warns that a loss broadcasts a target: such a model learns nothing of use."""
    warnings.filterwarnings("error", message=_BROADCAST, category=UserWarning)


@contextlib.contextmanager
def loss_errors(batch: Batch, schema: Schema) -> Iterator[None]:
    """Name the cause of an error of torch if it is the type or shape of the target, or a batch of one row.

    Raises:
        TargetTypeError: CR-TRN-013; LossError: CR-TRN-007; OneRowBatchError: CR-TRN-012. Other exceptions pass through.
    """
    try:
        yield
    except UserWarning as error:
        if re.match(_BROADCAST, str(error)) is None:
            raise
        raise LossError(
            "`loss` compares each target with the predictions of all rows: their shapes are (rows,) and (rows, 1)",
            expected="predictions and targets of the same shape",
            fix="remove the last axis of the model's output, with .squeeze(1)",
        ) from error
    except (RuntimeError, ValueError, AttributeError, TypeError) as error:
        if batch.target is None and isinstance(error, AttributeError | TypeError) and "NoneType" in str(error):
            raise TargetTypeError(
                "`loss` uses batch.target, but the schema declares no target",
                expected="a schema that names the column to predict",
                fix='declare it: Schema.of(target="NAME", ...)',
            ) from error
        if isinstance(error, ValueError) and _ONE_ROW in str(error) and batch.rows == 1:
            raise one_row_error("a batch") from error
        if isinstance(error, RuntimeError) and _TYPE.search(str(error)) and batch.target is not None:
            raise _target_error(batch, schema) from error
        raise


def _target_error(batch: Batch, schema: Schema) -> TargetTypeError:
    assert schema.target is not None
    assert batch.target is not None
    column = schema.column(schema.target)
    kind = str(batch.target.dtype).removeprefix("torch.")
    return TargetTypeError(
        f"`loss` does not accept the target {column.name!r}: declared as {column.dtype}, it is a tensor of {kind}",
        expected="a tensor of float32 for losses such as binary_cross_entropy, of int64 for cross_entropy",
        fix=f'declare {column.name}="bool" or "float32" for binary_cross_entropy, and "int64" for cross_entropy; or '
        "convert batch.target in `loss`",
    )
