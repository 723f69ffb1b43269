"""From a request's body that does not consist of lines to rows: the complete body is kept, rows come part by part."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.lib import format as npy
from numpy.typing import NDArray

from cleanroom_algo.channels.conform import check_columns, conform
from cleanroom_algo.channels.formats.blocks import BOM
from cleanroom_algo.channels.formats.json_lines import JsonLinesDecoder
from cleanroom_algo.channels.objects import BLOCK_BYTES
from cleanroom_algo.channels.schema import Column, Schema, with_nullable_target
from cleanroom_algo.errors import BadRecordError, Problem, RowMismatchError, SchemaError
from cleanroom_algo.serving.codecs.json_text import elements, members, skip_space
from cleanroom_algo.serving.codecs.lines import Rows, bad_records, json_line, positional
from cleanroom_algo.serving.codecs.media_types import MediaType

_ARRAY_START: Final = re.compile(r'[ \t\r\n]*(?:\{[ \t\r\n]*"instances"[ \t\r\n]*:[ \t\r\n]*)?\[')
_NO_RECORDS: Final = 'is neither a list of records nor {"instances": [...]}'
BATCH_ROWS: Final = 1 << 16  # rows of Parquet at a time; they are divided further by their size
_NPY_HEADERS: Final = {  # (3, 0) differs in names of fields that are not Latin-1, and so in no column's
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


def decode_document(body: bytes, kind: MediaType, schema: Schema, *, lenient: bool = False) -> Iterator[Rows]:
    """Yield the records of a body, in order.

    Args:
        body: plain UTF-8 bytes, or a binary format.
        kind: its format.
        schema: of the artifacts; the target may be among the columns, and is dropped.
        lenient: skip records that do not fit, instead of refusing the body.

    Raises:
        BadRecordError: records do not fit the schema, with the positions of the first of them.
    """
    try:
        if kind is MediaType.JSON:
            yield from _json(body, schema, lenient)
        else:
            for row, part in _TABLES[kind](body, schema):
                check_columns(schema.features, part.schema, "body", extra=schema.extra_of(part.columns))
                yield _rows(part, schema.features, row, lenient)
    except SchemaError as error:
        raise bad_records(error.problems) from None


# --- tables -----------------------------------------------------------------------------------------------------------

Parts = Iterator[tuple[int, pl.DataFrame]]
"""Parts of a table, each with the position of its first row."""


def _parquet(body: bytes, _: Schema) -> Parts:
    # One row group at a time: well compressed data can be many times larger than the body.
    return _parts(_tables(partial(_batches, body), "Parquet"))


def _batches(body: bytes) -> Iterator[pl.DataFrame]:
    scan = pl.scan_parquet(io.BytesIO(body))
    return iter(scan.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True, lazy=True))


def _arrow(body: bytes, _: Schema) -> Parts:
    name = "an Arrow stream (a file of Arrow or Feather is none)"
    return _parts(_tables(lambda: iter([pl.read_ipc_stream(io.BytesIO(body))]), name))


def _tables(read: Callable[[], Iterator[pl.DataFrame]], name: str) -> Iterator[pl.DataFrame]:
    try:
        yield from read()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
        raise _no_document(f"is not {name}") from None


def _parts(tables: Iterable[pl.DataFrame]) -> Parts:
    first = 0
    for table in tables:
        rows = _rows_in_a_block(int(table.estimated_size()), table.height)
        for row in range(0, table.height, rows):
            yield first + row, table[row : row + rows]
        first += table.height


def _rows_in_a_block(size: int, rows: int) -> int:
    return max(1, BLOCK_BYTES * rows // max(size, 1))


def _npy(body: bytes, schema: Schema) -> Parts:
    array = _read_npy(body)
    rows = _rows_in_a_block(array.nbytes, len(array) if array.ndim else 0)
    if array.dtype.names and array.ndim == 1:
        names, part_of = list(array.dtype.names), partial(_fields, schema=schema)
    else:
        names = list(positional(array.shape[1] if array.ndim == 2 else 1, schema) or ())
        if array.ndim not in {1, 2} or not names:
            raise _no_document(f"has {array.ndim} axes of lengths {array.shape}: not rows by columns")
        part_of, array = partial(_columns, schema=schema), array.reshape(len(array), len(names))
    for row in range(0, len(array), rows):
        try:
            part = part_of(array[row : row + rows], names)
        # Python raises SystemError for a character beyond U+10FFFF, which an array of text can contain.
        except (TypeError, ValueError, SystemError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
            raise _no_document(f"has values of type {_name_of(array.dtype)}, which are not read") from None
        yield row, part


def _read_npy(body: bytes) -> NDArray[Any]:
    """Return the array in a body, without a copy; it is never unpickled, because this would run the sender's code."""
    head = io.BytesIO(body)
    try:
        shape, by_columns, dtype = _NPY_HEADERS[npy.read_magic(head)](head)
    except Exception:  # numpy parses a Python literal: a damaged one may raise anything, such as MemoryError
        raise _no_document("is not a plain array in npy form") from None
    if dtype.hasobject:
        raise _no_document("holds pickled objects, which are not read as they could run code of the sender's")
    count = math.prod(shape)
    if head.tell() + count * dtype.itemsize != len(body):
        raise _no_document(f"has another length than npy of shape {shape} and type {_name_of(dtype)}")
    try:
        array = np.frombuffer(body, dtype, offset=head.tell(), count=count)
        return array.reshape(shape, order="F" if by_columns else "C").astype(dtype.newbyteorder("="), copy=False)
    except (ValueError, TypeError, OverflowError):
        raise _no_document(f"is not an array of shape {shape} and type {_name_of(dtype)}") from None


def _name_of(dtype: np.dtype[Any]) -> str:
    return "structured" if dtype.names else str(dtype)  # without the names of its fields, which the client chose


def _fields(part: NDArray[Any], names: Sequence[str], *, schema: Schema) -> pl.DataFrame:  # noqa: ARG001 (as _columns)
    return pl.DataFrame({name: np.ascontiguousarray(part[name]) for name in names})


def _columns(part: NDArray[Any], names: Sequence[str], *, schema: Schema) -> pl.DataFrame:
    return pl.DataFrame([_from_numbers(part[:, index], schema.column(name)) for index, name in enumerate(names)])


def _from_numbers(values: NDArray[Any], column: Column) -> pl.Series:
    """Return one column of an array; because all columns have one type, whole numbers may be floats."""
    series = pl.Series(column.name, np.ascontiguousarray(values))
    if not series.dtype.is_float():
        return series
    if column.is_integer or column.dtype == "category":
        cast = series.cast(pl.Int64, strict=False)
        return series if (cast != series).any() else cast
    return series


def _rows(part: pl.DataFrame, columns: Sequence[Column], row: int, lenient: bool) -> Rows:
    try:
        return Rows(conform(part, columns, source="body", row=row))
    except RowMismatchError:
        if not lenient:
            raise
    if part.height == 1:
        return Rows(pl.DataFrame(schema={column.name: column.polars_dtype() for column in columns}), (0,))
    half = part.height // 2  # find the records that fit by halving: few do not
    first, second = _rows(part[:half], columns, row, lenient), _rows(part[half:], columns, row + half, lenient)
    return Rows(pl.concat([first.frame, second.frame]), (*first.bad, *(half + position for position in second.bad)))


# --- JSON -------------------------------------------------------------------------------------------------------------


def _json(body: bytes, schema: Schema, lenient: bool) -> Iterator[Rows]:
    features = [column.name for column in schema.features]
    decoder = JsonLinesDecoder(with_nullable_target(schema), source="record", columns=features)
    lines: list[bytes] = []
    size, first = 0, 1
    for record in _json_records(body):
        line = json_line(record, schema)
        if first == 1 and not lines:
            decoder.start(line)
        lines.append(line)
        size += len(line)
        if size >= BLOCK_BYTES:
            yield _json_rows(decoder, lines, first, lenient)
            first += len(lines)
            lines, size = [], 0
    if lines:
        yield _json_rows(decoder, lines, first, lenient)


def _json_rows(decoder: JsonLinesDecoder, lines: Sequence[bytes], first: int, lenient: bool) -> Rows:
    rejected: list[int] | None = [] if lenient else None
    frame = decoder.decode(b"\n".join(lines), line=first, rejected=rejected)
    return Rows(frame, tuple(rejected or ()))


def _json_records(body: bytes) -> Iterator[bytes]:
    """Yield the text of each record."""
    text = body.removeprefix(BOM).decode("latin-1")
    start = _ARRAY_START.match(text)
    try:
        records = _records_of_an_object(text) if start is None else _records_of_a_list(text, start)
        for record in records:
            yield record.encode("latin-1")
    except (ValueError, RecursionError):
        raise _no_document("is not JSON") from None


def _records_of_a_list(text: str, start: re.Match[str]) -> Iterator[str]:
    end = yield from elements(text, start.end())
    json.loads(f"{start[0]}]{text[end:]}")  # the rest of the document around the records


def _records_of_an_object(text: str) -> Iterator[str]:
    if not isinstance(json.loads(text), dict):
        raise _no_document(_NO_RECORDS)
    instances = members(text, skip_space(text, 0) + 1).get("instances")
    if instances is None:
        yield text.strip()
    elif instances.startswith("["):
        yield from elements(instances, 1)
    else:
        raise _no_document(_NO_RECORDS)


def _no_document(what: str) -> BadRecordError:
    return bad_records([Problem("body", what)])


_TABLES: Final[dict[MediaType, Callable[[bytes, Schema], Parts]]] = {
    MediaType.PARQUET: _parquet,
    MediaType.ARROW: _arrow,
    MediaType.NPY: _npy,
}
