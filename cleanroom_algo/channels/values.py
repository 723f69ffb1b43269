"""Texts to typed values: the rules of a field, shared by the fast reader (polars) and the one that finds faults."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Final, cast

import polars as pl

from cleanroom_algo.channels.schema import Column

Value = int | float | bool | str | date | datetime
Parser = Callable[[str], Value]

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_FLOAT: Final = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE
)
BELOW_FLOAT32: Final = (1 << 29) - 1  # the bits of a float64's fraction that a float32 has not
MIDDLE: Final = 1 << 28  # these bits, halfway between two float32
_DATE: Final = re.compile(r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-[0-9]{2}-[0-9]{2}")
_TIMESTAMP: Final = re.compile(
    _DATE.pattern + r"(?:(?P<separator>[T ])[0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.(?P<fraction>[0-9]{1,9}))?"
    r"(?P<zone>Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])?)?"
)
_EPOCH: Final = datetime(1970, 1, 1)
_FIRST: Final = (datetime.min - _EPOCH) // timedelta(microseconds=1)
_LAST: Final = (datetime.max - _EPOCH) // timedelta(microseconds=1)
_TIMESTAMP_FORMATS: Final = (
    # Spark's default pattern first: yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX] (Spark SQL guide, "CSV Files", timestampFormat).
    "%Y-%m-%dT%H:%M:%S%.fZ",
    "%Y-%m-%dT%H:%M:%S%.f%z",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f%z",
    "%Y-%m-%d %H:%M:%S%.fZ",
    "%Y-%m-%d",
)
_SAMPLE: Final = 1000  # timestamps that tell whether most are repeated
_FRACTIONS: Final = {0: "", 3: ".%3f", 6: ".%6f", 9: ".%9f"}


def parser_of(column: Column) -> Parser:
    """Return the function from a field's text to its value; it raises ValueError where the text is of another type."""
    if column.is_integer:
        bits = int(column.dtype.lstrip("uint"))
        low, high = (0, 2**bits) if column.dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1))
        return lambda text: _integer(text, low, high)
    return _PARSERS[column.dtype]


def text_dtype(column: Column) -> pl.DataType:
    """Return the type under which polars reads the column from text.

    Dates and timestamps are read as text and converted by `convert`: polars' own date reader guesses among formats.
    """
    return pl.String() if column.dtype in {"date32", "timestamp"} else column.polars_dtype()


def convert(values: pl.Series, column: Column) -> pl.Series:
    """Return a column that polars read as `text_dtype` in the column's type.

    Raises:
        ValueError: a text is no date or timestamp in an ISO form.
    """
    if column.dtype == "date32":
        _require(values, _DATE)
        return _whole(values, [values.str.to_date("%Y-%m-%d", strict=False)])
    return _timestamps(values) if column.dtype == "timestamp" else values


def _timestamps(values: pl.Series) -> pl.Series:
    sample = values.head(_SAMPLE)
    repeats = 2 * sample.n_unique() <= len(sample)  # then each is looked at once, in a fourth of the time (measured)
    _require(values.unique() if repeats else values, _TIMESTAMP)  # polars takes blanks, signs and leap seconds, too
    found: list[pl.Series] = []
    for form in (*map(_form_of, values.drop_nulls().head(1)), *_TIMESTAMP_FORMATS):
        # Without zones and fractions of any length polars has a reader of its own, which is quicker than its cache.
        cache = repeats or "%.f" in form or "%z" in form
        parsed = values.str.to_datetime(form, time_unit="us", strict=False, cache=cache)
        found.append(of_utc_years(parsed.dt.replace_time_zone(None)))
        if found[-1].null_count() == values.null_count():
            return found[-1]
    return _whole(values, found)


def _form_of(text: str) -> str:
    """Return the format of one timestamp: as narrow as it may be, it is read up to thirty times as fast (measured)."""
    match = _TIMESTAMP.fullmatch(text)
    assert match is not None
    if match["separator"] is None:
        return "%Y-%m-%d"
    fraction = _FRACTIONS.get(len(match["fraction"] or ""), "%.f")
    zone = "%z" if match["zone"] not in {None, "Z"} else match["zone"] or ""
    return f"%Y-%m-%d{match['separator']}%H:%M:%S{fraction}{zone}"


def of_utc_years(moments: pl.Series) -> pl.Series:
    """Return timestamps in microseconds with a null for each that is not of the years 1 to 9999."""
    numbers = moments.to_physical()
    first, last = (cast("int | None", bound) for bound in (numbers.min(), numbers.max()))
    if first is None or last is None or (first >= _FIRST and last <= _LAST):  # quicker to see than of each
        return moments
    return moments.set(~numbers.is_between(_FIRST, _LAST), None)


def _require(values: pl.Series, pattern: re.Pattern[str]) -> None:
    if not values.str.contains(f"^(?:{pattern.pattern})$").all():  # nulls are not asked
        raise ValueError("not in an ISO form")


def _whole(values: pl.Series, readings: list[pl.Series]) -> pl.Series:
    """Return of each value the first reading that has it."""
    result = readings[0]
    for reading in readings[1:]:
        result = result.zip_with(result.is_not_null(), reading)
    if result.null_count() != values.null_count():
        raise ValueError("no such date or time")
    return result


def _integer(text: str, low: int, high: int) -> int:
    if not _INTEGER.fullmatch(text) or not low <= int(text) < high:
        raise ValueError("not an integer of the range")
    return int(text)


def _float(text: str) -> float:
    if not _FLOAT.fullmatch(text):
        raise ValueError("not a number")
    return float(text)


def _float32(text: str) -> float:
    """Return a number that rounds to the float32 nearest to the text, as polars reads it.

    A text close to the middle of two float32 may become that very middle as a float64, and then round to the wrong one.
    """
    value = _float(text)
    if struct.unpack("<Q", struct.pack("<d", value))[0] & BELOW_FLOAT32 != MIDDLE:
        return value
    difference = Fraction(text) - Fraction(value)
    if difference:
        value = math.nextafter(value, math.inf if difference > 0 else -math.inf)
    return value


def _bool(text: str) -> bool:
    folded = text.lower()
    if folded not in {"true", "false"}:
        raise ValueError("neither true nor false")
    return folded == "true"


def _string(text: str) -> str:
    if not text.isascii():
        text.encode()  # undecodable bytes arrive as lone surrogates, which cannot be encoded
    return text


def _date(text: str) -> date:
    if not _DATE.fullmatch(text):
        raise ValueError("not a date")
    return date.fromisoformat(text)


def _timestamp(text: str) -> datetime:
    if not _TIMESTAMP.fullmatch(text):
        raise ValueError("not a timestamp")
    moment = datetime.fromisoformat(text)
    try:
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except OverflowError:  # 0001-01-01T00:00:00+05:00, say, a value that stands for none
        raise ValueError("a timestamp outside of the years 1 to 9999 in UTC") from None


_PARSERS: Final[dict[str, Parser]] = {
    "float32": _float32,
    "float64": _float,
    "bool": _bool,
    "string": _string,
    "date32": _date,
    "timestamp": _timestamp,
}
