"""From texts to typed values: the rules for a field, shared by the fast reader (polars) and the fault finder."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Final, cast

import polars as pl

from cleanroom_algo.channels.hints import likely
from cleanroom_algo.channels.schema import Column

Value = int | float | bool | str | date | datetime | list[int | float]
Parser = Callable[[str], Value | None]

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_FLOAT: Final = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE
)
FLOAT32_BOUND: Final = 2.0**128 - 2.0**103
"""Values of at least this size become infinite in float32."""
TOO_LARGE: Final = "too large for {}"
UNDECLARED_NAN: Final = 'NaN or infinite, where the column does not declare nan="null" or nan="keep"'
BELOW_FLOAT32: Final = (1 << 29) - 1  # the bits of a float64's fraction that float32 does not have
MIDDLE: Final = 1 << 28  # their value halfway between two float32
BOOLEANS: Final = {
    **dict.fromkeys(("true", "t", "yes", "y", "1", "1.0"), True),  # pandas writes 1 as 1.0 if there are nulls
    **dict.fromkeys(("false", "f", "no", "n", "0", "0.0"), False),
}
"""The spellings of Booleans, in any case."""
_COMMA: Final = r"^[+-]?(?:[0-9]+,?[0-9]*|,[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_LIST: Final = re.compile(r"\s*\[([^\[\]{}\"]*)\]\s*")
_DATE: Final = re.compile(r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-[0-9]{2}-[0-9]{2}")
_TIMESTAMP: Final = re.compile(
    _DATE.pattern + r"(?:(?P<separator>[T ])[0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.(?P<fraction>[0-9]{1,9}))?"
    r"(?P<zone>Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])?)?"
)
_EPOCH: Final = datetime(1970, 1, 1)
_FIRST: Final = (datetime.min - _EPOCH) // timedelta(microseconds=1)
_LAST: Final = (datetime.max - _EPOCH) // timedelta(microseconds=1)
_DAY: Final = 86_400_000_000
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
_SAMPLE: Final = 1000  # timestamps that show whether most are repeated
_FRACTIONS: Final = {0: "", 3: ".%3f", 6: ".%6f", 9: ".%9f"}


def parser_of(column: Column, *, single: bool = True, decimal: str = ".") -> Parser:
    """Return the function from a text to its value.

    If the text has no value of the column's type, it raises ValueError with the reason. NaN may become a null.

    Args:
        column: of the value.
        single: whether float32 is read from the text directly, and not rounded from the float64 nearest to the text.
        decimal: the decimal separator of a float.
    """
    parse: Parser
    if column.is_integer:
        parse = _range_parser(column)
    elif column.is_float:
        parse = _float_parser(column, _float32 if single and column.dtype == "float32" else _float)
        parse = parse if decimal == "." else _with_comma(parse)
    elif column.is_list:
        parse = _list_parser(column)
    else:
        parse = _PARSERS["string" if column.is_string else column.dtype]

    def parsed(text: str) -> Value | None:
        try:
            return parse(text)
        except _FaultError:
            raise
        except UnicodeEncodeError:
            raise ValueError("not valid UTF-8") from None
        except ValueError:
            raise ValueError(f"not of type {column.dtype}{likely(text, column)}") from None

    return parsed


def is_finite(values: pl.Series) -> bool:
    """Whether all floats are finite numbers, or nulls."""
    # The sum is NaN or infinite if a part is, and takes a thirtieth of the time of checking each value (measured).
    return math.isfinite(values.sum() or 0.0) or bool(values.is_finite().all())


def finite_or_null(values: pl.Series) -> pl.Series:
    """Return floats with nulls for NaN and infinity."""
    return values.set(~values.is_finite(), None)


def text_dtype(column: Column, *, decimal: str = ".", words: bool = False) -> pl.DataType:
    """Return the type under which polars reads the column from text.

    Dates, timestamps and lists are read as text and converted by `convert`, because polars' own date reader guesses the
    format. The same holds for floats with a decimal comma, because polars would accept a point, too.

    Args:
        column: to read.
        decimal: the decimal separator of a float.
        words: whether Booleans may have other spellings than true and false.
    """
    is_text = column.dtype in {"date32", "timestamp"} or column.is_list or (column.is_float and decimal == ",")
    return pl.String() if is_text or (words and column.dtype == "bool") else column.polars_dtype()


def convert(values: pl.Series, column: Column) -> pl.Series:
    """Convert a column that polars read as `text_dtype` to the column's type.

    Raises:
        ValueError: a text has no value, or none in an ISO form, or is NaN or infinite, which may be a fault.
        PolarsError: a text has no value.
    """
    if column.is_float:
        return _without_nan(_of_commas(values, column) if values.dtype == pl.String else values, column)
    if column.dtype == "bool":
        return booleans(values) if values.dtype == pl.String else values
    if column.is_list:
        return _lists(values, column)
    if column.dtype == "date32":
        _require(values, _DATE)
        return _whole(values, [values.str.to_date("%Y-%m-%d", strict=False)])
    return _timestamps(values) if column.dtype == "timestamp" else values


def booleans(texts: pl.Series, *, strict: bool = True) -> pl.Series:
    """Convert spellings of Booleans to Booleans.

    Args:
        texts: strings.
        strict: whether polars raises an error for a text that is not a spelling; else it becomes a null.
    """
    spelled, values = pl.Series(list(BOOLEANS)), pl.Series(list(BOOLEANS.values()))
    folded = texts.str.to_lowercase()
    if strict:
        return folded.replace_strict(spelled, values, return_dtype=pl.Boolean)
    return folded.replace_strict(spelled, values, default=None, return_dtype=pl.Boolean)


def _of_commas(values: pl.Series, column: Column) -> pl.Series:
    if not values.str.contains(_COMMA).all():
        raise ValueError("not a number with a decimal comma")
    return values.str.replace(",", ".", literal=True).cast(column.polars_dtype())


def _lists(values: pl.Series, column: Column) -> pl.Series:
    if values.dtype == pl.String:
        _require(values, _LIST)
        texts = values.str.extract(_LIST.pattern).str.strip_chars()
        wide = pl.Float64 if column.item.is_float else column.item.polars_dtype()
        filled = texts.ne_missing("")
        items = texts.set(~filled, None).str.split(",").list.eval(pl.element().str.strip_chars().cast(wide))
        values = items.zip_with(filled, pl.Series([[]], dtype=items.dtype).new_from_index(0, len(items)))
    values = values.cast(column.polars_dtype())
    items = values.explode().drop_nulls()
    if len(items) != values.list.len().sum():
        raise ValueError("a null in a list")
    if column.item.is_float:
        _without_nan(items, column)
    return values


def _without_nan(values: pl.Series, column: Column) -> pl.Series:
    if is_finite(values):
        return values
    # The text may spell infinity, or a number that is too large for the type.
    if column.nan == "fault" or values.is_infinite().any():
        raise ValueError("perhaps a fault")
    return finite_or_null(values) if column.nan == "null" else values


def _timestamps(values: pl.Series) -> pl.Series:
    sample = values.head(_SAMPLE)
    repeats = 2 * sample.n_unique() <= len(sample)  # then convert each one once, in a fourth of the time (measured)
    _require(values.unique() if repeats else values, _TIMESTAMP)  # polars would accept blanks, signs and leap seconds
    found: list[pl.Series] = []
    for form in (*map(_form_of, values.drop_nulls().head(1)), *_TIMESTAMP_FORMATS):
        # For forms without a zone and a fraction of variable length, polars has a special reader, faster than a cache.
        cache = repeats or "%.f" in form or "%z" in form
        parsed = values.str.to_datetime(form, time_unit="us", strict=False, cache=cache)
        found.append(of_utc_years(parsed.dt.replace_time_zone(None)))
        if found[-1].null_count() == values.null_count():
            return found[-1]
    return _whole(values, found)


def _form_of(text: str) -> str:
    """Return the format of one timestamp, as specific as possible: polars reads it up to thirty times as fast."""
    match = _TIMESTAMP.fullmatch(text)
    assert match is not None
    if match["separator"] is None:
        return "%Y-%m-%d"
    fraction = _FRACTIONS.get(len(match["fraction"] or ""), "%.f")
    zone = "%z" if match["zone"] not in {None, "Z"} else match["zone"] or ""
    return f"%Y-%m-%d{match['separator']}%H:%M:%S{fraction}{zone}"


def of_utc_years(moments: pl.Series) -> pl.Series:
    """Return dates, or timestamps in microseconds, with a null for each that is outside of the years 1 to 9999."""
    numbers = moments.to_physical()
    least, most = (_FIRST // _DAY, _LAST // _DAY) if moments.dtype == pl.Date else (_FIRST, _LAST)
    first, last = (cast("int | None", bound) for bound in (numbers.min(), numbers.max()))
    if first is None or last is None or (first >= least and last <= most):  # faster than checking each one
        return moments
    return moments.set(~numbers.is_between(least, most), None)


def _require(values: pl.Series, pattern: re.Pattern[str]) -> None:
    if not values.str.contains(f"^(?:{pattern.pattern})$").all():  # nulls are skipped
        raise ValueError("not in an ISO form")


def _whole(values: pl.Series, readings: list[pl.Series]) -> pl.Series:
    """Return for each value the first reading that is not null."""
    result = readings[0]
    for reading in readings[1:]:
        result = result.zip_with(result.is_not_null(), reading)
    if result.null_count() != values.null_count():
        raise ValueError("no such date or time")
    return result


class _FaultError(ValueError):
    """A fault with a more specific message than that the text has another type."""


def _range_parser(column: Column) -> Parser:
    bits = int(column.dtype.lstrip("uint"))
    low, high = (0, 2**bits) if column.dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1))

    def parse(text: str) -> int:
        if not _INTEGER.fullmatch(text) or not low <= int(text) < high:
            raise ValueError("not an integer of the range")
        return int(text)

    return parse


def _float_parser(column: Column, parse: Callable[[str], float]) -> Parser:
    bound = FLOAT32_BOUND if column.dtype == "float32" else math.inf

    def parsed(text: str) -> float | None:
        value = parse(text)
        if abs(value) < bound:
            return value
        if text[-1:].isdigit() or text[-1:] == ".":
            raise _FaultError(TOO_LARGE.format(column.dtype))
        if column.nan == "fault":
            raise _FaultError(UNDECLARED_NAN)
        return value if column.nan == "keep" else None

    return parsed


def _with_comma(parse: Parser) -> Parser:
    def parsed(text: str) -> Value | None:
        if "." in text:
            raise ValueError("a decimal point")
        return parse(text.replace(",", "."))

    return parsed


def _list_parser(column: Column) -> Parser:
    parse = parser_of(column.item, single=False)

    def parsed(text: str) -> list[int | float]:
        match = _LIST.fullmatch(text)
        if match is None:
            raise ValueError("not a list")
        return items_of([item.strip() for item in match[1].split(",")] if match[1].strip() else [], parse)

    return parsed


def items_of(texts: Iterable[str], parse: Parser) -> list[int | float]:
    """Return the numbers of a list.

    Raises:
        ValueError: an item does not fit, with what is wrong with it.
    """
    try:
        return [cast("int | float", parse(text)) for text in texts]
    except ValueError as error:
        raise _FaultError(f"an item of the list is {error}") from None


def _float(text: str) -> float:
    if not _FLOAT.fullmatch(text):
        raise ValueError("not a number")
    return float(text)


def _float32(text: str) -> float:
    """Return a number that rounds to the float32 nearest to the text, as polars reads it.

    A text close to the middle of two float32 may become exactly this middle as a float64, and then round to the wrong
    one.
    """
    value = _float(text)
    if struct.unpack("<Q", struct.pack("<d", value))[0] & BELOW_FLOAT32 != MIDDLE:
        return value
    difference = Fraction(text) - Fraction(value)
    if difference:
        value = math.nextafter(value, math.inf if difference > 0 else -math.inf)
    return value


def _bool(text: str) -> bool:
    if (value := BOOLEANS.get(text.lower())) is None:
        raise ValueError("neither true nor false")
    return value


def _string(text: str) -> str:
    if not text.isascii():
        text.encode()  # invalid bytes arrive as lone surrogates, which cannot be encoded
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
    except OverflowError:  # for example, 0001-01-01T00:00:00+05:00 stands for no valid value
        raise ValueError("a timestamp outside of the years 1 to 9999 in UTC") from None


_PARSERS: Final[dict[str, Parser]] = {
    "bool": _bool,
    "string": _string,
    "date32": _date,
    "timestamp": _timestamp,
}
