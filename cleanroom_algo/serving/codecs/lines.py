"""From a request's lines to rows."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from cleanroom_algo.channels.formats.blocks import BOM, RowRules, count_byte
from cleanroom_algo.channels.formats.csv.decoder import CsvDecoder
from cleanroom_algo.channels.formats.csv.dialect import dialect_of
from cleanroom_algo.channels.formats.csv.to_predict import EXPECTED, LEAVE_OUT, blank_rows, decoder_to_predict
from cleanroom_algo.channels.formats.json_lines import JsonLinesDecoder
from cleanroom_algo.channels.hints import UNDECLARED
from cleanroom_algo.channels.schema import Schema, with_nullable_target
from cleanroom_algo.errors import BadRecordError, Problem, SchemaError
from cleanroom_algo.serving.codecs.json_text import elements, members, skip_space
from cleanroom_algo.serving.codecs.media_types import MediaType

_BLANK_START: Final = re.compile(rb"(?:\r?\n)+")
_POSITIONAL: Final = re.compile(rb'[ \t\r\n]*(?:\[|\{[ \t\r\n]*"features"[ \t\r\n]*:)')
_CORRECT: Final = "correct the records, or set CLEANROOM_ALGO_SERVE_BAD_RECORDS=placeholder"
MAX_PROBLEMS = 20  # in one answer: enough to see the pattern


@dataclass(frozen=True, slots=True)
class Rows:
    """The records of a block.

    Attributes:
        frame: the records that fit, with the schema without its target.
        bad: the positions of the others, counted from 0 over all records of the block, ascending.
    """

    frame: pl.DataFrame
    bad: tuple[int, ...] = ()

    @classmethod
    def none(cls, schema: Schema) -> Rows:
        """Return an object without rows."""
        return cls(schema.without_target().polars_schema().to_frame())

    def scatter(self, predicted: pl.DataFrame) -> pl.DataFrame:
        """Return the predictions in the order of all records, with a null row for each record that does not fit."""
        if not self.bad:
            return predicted
        good = np.ones(self.frame.height + len(self.bad), dtype=bool)
        good[list(self.bad)] = False
        sources = pl.Series(np.cumsum(good) - 1).set(pl.Series(~good), None).cast(pl.UInt32)
        return predicted.select(pl.all().gather(sources)) if predicted.height else predicted.clear(n=len(good))


class LineDecoder:
    """Decodes the blocks of one body of lines, in order.

    Blank lines are not records, at any position: a job may cut an object anywhere, and the predictions must not depend
    on that. Only in CSV of a single column, a blank line is a record, a null. A line of spaces is blank in JSON Lines,
    and a field in CSV (RFC 4180, section 2).

    Args:
        kind: of the body.
        schema: of the artifacts; the target may be among the columns of the body, and is dropped.
        lenient: skip records that do not fit, instead of refusing the body.

    Attributes:
        rules: where its records end.
    """

    def __init__(self, kind: MediaType, schema: Schema, *, lenient: bool = False) -> None:
        self._kind = kind
        self._schema = schema
        self._lenient = lenient
        self._decoder: CsvDecoder | JsonLinesDecoder | None = None
        self._line = 1  # the number of the first line of the previous block
        self._before = b""  # the previous block: its lines are counted if another block follows
        csv = kind is MediaType.CSV
        self.rules = RowRules(dialect_of(schema) if csv else None, blank_rows=csv and blank_rows(schema))

    def decode(self, block: bytes) -> Rows:
        """Return the records of the next block, which is not empty.

        Raises:
            BadRecordError: records do not fit, with the positions of the first of them.
        """
        rejected: list[int] | None = [] if self._lenient else None
        self._line += count_byte(self._before, b"\n")
        self._before = block
        data, line = block, self._line
        try:
            if self._decoder is None:
                data, line = self._begin(data, line)
                self._decoder = self._open(data)
                data = self._decoder.start(self._named(data.removeprefix(BOM)))
                line += self._decoder.header_lines
            else:
                data = self._named(data)
            frame = self._decoder.decode(data, line=line, rejected=rejected)
        except SchemaError as error:
            raise bad_records(error.problems) from None
        return Rows(frame, tuple(rejected or ()))

    def _named(self, data: bytes) -> bytes:
        if self._kind is MediaType.JSON_LINES and b"[" in data:  # each record may be a list
            return b"\n".join(json_line(record.rstrip(b"\r"), self._schema) for record in data.split(b"\n"))
        return data

    def _begin(self, data: bytes, line: int) -> tuple[bytes, int]:
        # The first line may be a header and shows whether the target is there, so it must not be blank.
        blank = None if self.rules.blank_rows else _BLANK_START.match(data)
        return (data[blank.end() :], line + blank[0].count(b"\n")) if blank else (data, line)

    def _open(self, data: bytes) -> CsvDecoder | JsonLinesDecoder:
        if self._kind is MediaType.JSON_LINES:
            names = [column.name for column in self._schema.features]
            return JsonLinesDecoder(with_nullable_target(self._schema), source="body", columns=names, skip_blank=True)
        return decoder_to_predict(data, self._schema, source="body")


def json_line(record: bytes, schema: Schema) -> bytes:
    """Return a JSON record as one line with names; unchanged if it is not JSON, which the decoder will report.

    Args:
        record: an object with the columns' names; a list of values; or {"features": [...]}, the form that SageMaker's
            own algorithms read (SageMaker developer guide, "Common data formats for inference").
        schema: defines the columns, or features, that the values of a list belong to.
    """
    line = record.replace(b"\r", b" ").replace(b"\n", b" ")  # strings in JSON contain no line breaks
    if _POSITIONAL.match(line) is None:
        return line
    text = line.decode("latin-1")
    try:
        start = skip_space(text, 0)
        if text[start] == "{":
            whole = members(text, start + 1)
            if len(whole) > 1 or not whole["features"].startswith("["):
                return line
            text, start = whole["features"], 0
        values = list(elements(text, start + 1))
    except (ValueError, RecursionError):
        return line
    names = positional(len(values), schema)
    if names is None:
        return text.encode("latin-1")
    named = (
        f"{json.dumps(name)}:".encode() + value.encode("latin-1") for name, value in zip(names, values, strict=True)
    )
    return b"{%b}" % b",".join(named)


def positional(width: int, schema: Schema) -> Sequence[str] | None:
    """Return the columns that values without names belong to: all of them, or all but the target."""
    names = [column.name for column in schema.columns], [column.name for column in schema.features]
    return next((each for each in names if len(each) == width), None)


def bad_records(problems: Sequence[Problem]) -> BadRecordError:
    """Return the error of records that do not fit."""
    undeclared = any(each.message == UNDECLARED for each in problems)
    return BadRecordError(
        "records of the request do not fit the schema of the model",
        expected=EXPECTED,
        fix=LEAVE_OUT if undeclared else _CORRECT,
        problems=problems[:MAX_PROBLEMS],
    )
