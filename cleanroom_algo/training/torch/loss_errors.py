"""Explains errors of torch about a loss that does not suit its batch, without values, and says what to do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.data.batch import Batch
from cleanroom_algo.errors import TargetTypeError
from cleanroom_algo.training.torch.batches import one_row_error

_ONE_ROW = "Expected more than 1 value per channel"
_TYPE = re.compile(r"expected scalar type|[Ff]ound dtype|target dtype|can't be cast to the desired output type")


@contextlib.contextmanager
def loss_errors(batch: Batch, schema: Schema) -> Iterator[None]:
    """Name the cause of an error of torch if it is the type of the target or a batch of one row.

    Raises:
        TargetTypeError: CR-TRN-013; OneRowBatchError: CR-TRN-012. Other exceptions pass through.
    """
    try:
        yield
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
