"""The body of a request to rows."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cleanroom_algo.channels.blocks import Block, RowRules
from cleanroom_algo.channels.csv_decoder import BOM, CsvDecoder
from cleanroom_algo.channels.csv_rows import rows
from cleanroom_algo.channels.json_lines import JsonLinesDecoder
from cleanroom_algo.channels.parquet import conform
from cleanroom_algo.channels.schema import Column, Schema, with_nullable_target
from cleanroom_algo.errors import BadRecordError, Problem, SchemaError
from cleanroom_algo.serving.formats import Format

MAX_PROBLEMS = 20  # of one answer: enough to see the pattern


@dataclass(frozen=True, slots=True)
class Rows:
    """The records of a block.

    Attributes:
        frame: those that fit, by the schema without its target.
        bad: the positions of the others, counted from 0 over all records of the block, ascending.
    """

    frame: pl.DataFrame
    bad: tuple[int, ...] = ()

    @classmethod
    def none(cls, schema: Schema) -> Rows:
        """Return no rows."""
        return cls(schema.without_target().polars_schema().to_frame())

    def scatter(self, predicted: pl.DataFrame) -> pl.DataFrame:
        """Return predictions of the fitting records with a null row for each of the others, in the records' order."""
        if not self.bad:
            return predicted
        good = np.ones(self.frame.height + len(self.bad), dtype=bool)
        good[list(self.bad)] = False
        sources = pl.Series(np.cumsum(good) - 1).set(pl.Series(~good), None).cast(pl.UInt32)
        return predicted.select(pl.all().gather(sources)) if predicted.height else predicted.clear(n=len(good))


class LineDecoder:
    """Decodes the blocks of one body of lines, in order.

    Args:
        kind: of the body.
        schema: of the artifacts; the target may be among the columns of the body or not, and is left out.
        lenient: give up records that do not fit, instead of the body.

    Attributes:
        rules: where its records end.
    """

    def __init__(self, kind: Format, schema: Schema, *, lenient: bool = False) -> None:
        self._kind = kind
        self._schema = schema
        self._lenient = lenient
        self._decoder: CsvDecoder | JsonLinesDecoder | None = None
        # In a table of one column an empty line is a null.
        csv = kind is Format.CSV
        self.rules = RowRules(quotes=csv, blank_rows=csv and len(schema.features) == 1)

    def decode(self, block: Block) -> Rows:
        """Return the records of the next block.

        Raises:
            BadRecordError: records do not fit, with the positions of the first of them.
        """
        rejected: list[int] | None = [] if self._lenient else None
        data, line = block.data, block.line
        try:
            if self._decoder is None:
                self._decoder = self._open(data)
                data = self._decoder.start(data)
                line += self._decoder.header_lines
            frame = self._decoder.decode(data, line=line, rejected=rejected)
        except SchemaError as error:
            raise bad_records(error.problems) from None
        return Rows(frame, tuple(rejected or ()))

    def _open(self, data: bytes) -> CsvDecoder | JsonLinesDecoder:
        names = [column.name for column in self._schema.features]
        if self._kind is Format.JSON_LINES:
            return JsonLinesDecoder(self._schema.without_target(), source="body", columns=names)
        # A body has the target or not, as its first line has it.
        first = data[: data.find(b"\n") + 1 or len(data)].removeprefix(BOM)
        row = next(rows(first.decode("utf-8", "surrogateescape")), None)
        without = row is None or len(row.fields) == len(names)
        schema = self._schema.without_target() if without else with_nullable_target(self._schema)
        return CsvDecoder(schema, source="body", columns=names)


def decode_document(body: bytes, kind: Format, schema: Schema) -> Rows:
    """Return the records of a body that is not made of lines.

    Args:
        body: plain UTF-8 bytes, or a binary format.
        kind: its format.
        schema: of the artifacts; the target may be among the columns or not, and is left out.

    Raises:
        BadRecordError: records do not fit, with the positions of the first of them.
    """
    return Rows(_DOCUMENTS[kind](body, schema))


def _parquet(body: bytes, schema: Schema) -> pl.DataFrame:
    return _conform(_read_table(pl.read_parquet, body, "Parquet"), schema)


def _arrow(body: bytes, schema: Schema) -> pl.DataFrame:
    return _conform(_read_table(pl.read_ipc_stream, body, "an Arrow stream"), schema)


def _read_table(read: Callable[[io.BytesIO], pl.DataFrame], body: bytes, name: str) -> pl.DataFrame:
    try:
        return read(io.BytesIO(body))
    except (pl.exceptions.PolarsError, OSError, ValueError):
        raise bad_records([Problem("body", f"is not {name}")]) from None


def _npy(body: bytes, schema: Schema) -> pl.DataFrame:
    try:
        array = np.load(io.BytesIO(body), allow_pickle=False)  # a pickle would run code of the sender's
    except (ValueError, OSError, EOFError):
        raise bad_records([Problem("body", "is not a plain array in npy form")]) from None
    if array.dtype.names:
        return _conform(pl.DataFrame({name: array[name] for name in array.dtype.names}), schema)
    names = _positional(array.shape[1] if array.ndim == 2 else 1, schema)
    if array.ndim not in {1, 2} or names is None:
        raise bad_records([Problem("body", f"has {array.ndim} axes of lengths {array.shape}: not rows by columns")])
    table = array.reshape(len(array), len(names))
    columns = [_from_numbers(table[:, index], schema.column(name)) for index, name in enumerate(names)]
    return _conform(pl.DataFrame(columns), schema)


def _json(body: bytes, schema: Schema) -> pl.DataFrame:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise bad_records([Problem("body", "is not JSON")]) from None
    records = document.get("instances", [document]) if isinstance(document, dict) else document
    if not isinstance(records, list):
        raise bad_records([Problem("body", 'is neither a list of records nor {"instances": [...]}')])
    lines = "\n".join(json.dumps(_named(record, schema)) for record in records)
    decoder = JsonLinesDecoder(schema.without_target(), source="record")
    try:
        return decoder.decode(lines.encode())
    except SchemaError as error:
        raise bad_records(error.problems) from None


def _named(record: object, schema: Schema) -> object:
    names = _positional(len(record), schema) if isinstance(record, list) else None
    return dict(zip(names, record, strict=True)) if names is not None and isinstance(record, list) else record


def _positional(width: int, schema: Schema) -> Sequence[str] | None:
    """Return the columns that values without names stand for: all of them, or all but the target."""
    names = [column.name for column in schema.columns], [column.name for column in schema.features]
    return next((each for each in names if len(each) == width), None)


def _conform(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    try:
        return conform(frame, schema.features, source="body")
    except SchemaError as error:
        raise bad_records(error.problems) from None


def _from_numbers(values: NDArray[Any], column: Column) -> pl.Series:
    """Return one column of an array; an array has one type for all columns, so whole numbers may come as floats."""
    series = pl.Series(column.name, values)
    if not series.dtype.is_float():
        return series
    if column.dtype == "bool":
        return series if (series * (1 - series) != 0).any() else series.cast(pl.Boolean)
    if column.is_integer:
        cast = series.cast(pl.Int64, strict=False)
        return series if (cast != series).any() else cast
    return series


def bad_records(problems: Sequence[Problem]) -> BadRecordError:
    """Return the error of records that do not fit."""
    return BadRecordError(
        "records of the request do not fit the schema of the model",
        expected="the columns of the training data without the target, each of its type, by name or in their order",
        fix="correct the records, or serve with CLEANROOM_ALGO_SERVE_BAD_RECORDS=placeholder",
        problems=problems[:MAX_PROBLEMS],
    )


_DOCUMENTS: Final[dict[Format, Callable[[bytes, Schema], pl.DataFrame]]] = {
    Format.JSON: _json,
    Format.PARQUET: _parquet,
    Format.ARROW: _arrow,
    Format.NPY: _npy,
}
