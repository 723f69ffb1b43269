"""From predictions to the body of an answer."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import polars as pl

from cleanroom_algo.errors import NotAcceptableError, PredictionShapeError
from cleanroom_algo.serving.codecs.media_types import MediaType

QUOTED_EMPTY: Final = '""'
"""A null on its own line: most readers skip an empty line, and the number of records would be wrong."""


def encode_lines(frame: pl.DataFrame, kind: MediaType, *, null: str | None = None) -> bytes:
    """Return predictions as lines, without a header and without a line break after the last one.

    A batch transform job adds the last line break (AssembleWith Line); another one would leave empty lines.

    Args:
        frame: one row per record.
        kind: a line format.
        null: the text of a null in CSV; an empty field unless set.

    Raises:
        PredictionShapeError: a prediction cannot be written in one line of this format.
    """
    if frame.height == 0:
        return b""
    if kind is MediaType.JSON_LINES:
        with _written_as(kind, frame):
            return frame.write_ndjson().removesuffix("\n").encode()
    if null is None:
        null = QUOTED_EMPTY if frame.width == 1 else ""
    _require_flat(frame)
    with _written_as(kind, frame):
        return frame.write_csv(include_header=False, null_value=null).removesuffix("\n").encode()


def encode_whole(frames: Iterable[pl.DataFrame], kind: MediaType) -> bytes:
    """Return predictions as one document of a format whose records are not lines.

    Raises:
        NotAcceptableError: npy was requested, and the predictions are not numbers.
        PredictionShapeError: the format cannot represent their types.
    """
    frame = pl.concat(list(frames), how="vertical_relaxed")
    with _written_as(kind, frame):
        return _WRITERS[kind](frame)


@contextmanager
def _written_as(kind: MediaType, frame: pl.DataFrame) -> Iterator[None]:
    """Convert polars' errors about types that it cannot write, such as bytes, to this package's error.

    Raises:
        PredictionShapeError: the predictions have such types.
        MemoryError: memory is exhausted; polars raises OSError if a buffer in memory cannot grow.
    """
    try:
        yield
    except OSError as error:
        raise MemoryError from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        dtypes = sorted({dtype.base_type().__name__ for dtype in frame.dtypes})  # without names of fields or categories
        raise PredictionShapeError(
            f"{kind.media_type} cannot hold predictions of the types {', '.join(dtypes)}",
            expected="numbers, Booleans, strings, dates or timestamps",
            fix="return such values from `predict_arrays`, `predict` or `postprocess`, or ask for Parquet",
        ) from None


def _json(frame: pl.DataFrame) -> bytes:
    return b'{"predictions":' + frame.write_json().encode() + b"}"


def _parquet(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.write_parquet(out)
    return out.getvalue()


def _arrow(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    # The oldest layout of strings: some readers of Arrow do not know the newer views.
    frame.write_ipc_stream(out, compat_level=pl.CompatLevel.oldest())
    return out.getvalue()


def _npy(frame: pl.DataFrame) -> bytes:
    if not all((dtype.is_numeric() and not dtype.is_decimal()) or dtype == pl.Boolean for dtype in frame.dtypes):
        raise NotAcceptableError(
            "application/x-npy can only hold numbers, and the predictions hold other values",
            expected="an Accept header that names another format",
            fix="ask for text/csv or application/jsonlines instead",
        )
    # Numbers with nulls become floats, and nulls NaN; polars would convert bools with nulls to objects.
    gaps = [name for name, dtype in frame.schema.items() if dtype == pl.Boolean and frame[name].has_nulls()]
    array = frame.cast(dict.fromkeys(gaps, pl.UInt8)).to_numpy()
    out = io.BytesIO()
    np.save(out, array.reshape(-1) if frame.width == 1 else np.ascontiguousarray(array), allow_pickle=False)
    return out.getvalue()


_WRITERS: Final[dict[MediaType, Callable[[pl.DataFrame], bytes]]] = {
    MediaType.JSON: _json,
    MediaType.PARQUET: _parquet,
    MediaType.ARROW: _arrow,
    MediaType.NPY: _npy,
}


def _require_flat(frame: pl.DataFrame) -> None:
    nested = any(dtype.is_nested() for dtype in frame.dtypes)
    if nested or any(series.str.contains(r"[\r\n]").any() for series in frame if series.dtype == pl.String):
        raise PredictionShapeError(
            "a line of CSV cannot hold predictions that are nested or contain line breaks",
            expected="one plain value per column and row, without line breaks in strings",
            fix="return one column per value, or ask for application/jsonlines",
        )
