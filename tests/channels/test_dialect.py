"""The dialects of CSV against Python's csv module and recorded values of Spark: whole, divided, counted, piped."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleanroom_algo.channels.formats import blocks
from cleanroom_algo.channels.formats.csv import reader
from cleanroom_algo.channels.formats.protocol import Stream
from cleanroom_algo.channels.modes.file import count_rows, split_object
from cleanroom_algo.channels.objects import Object
from cleanroom_algo.channels.schema import Csv, Schema
from cleanroom_algo.channels.splits import Split
from cleanroom_algo.errors import DialectError, RowMismatchError
from tests.channels.support import cut, decode_stream, read, squeeze, write

UNDECLARED = Schema.of(n="int64?", left="string?", right="string?")
RFC_4180 = Schema.of(n="int64?", left="string?", right="string?", csv=Csv(dialect="rfc4180"))
SPARK = Schema.of(n="int64?", left="string?", right="string?", csv=Csv(dialect="spark"))
RECORDED = json.loads(Path(__file__).with_name("spark_csv.json").read_text())
"""`written`: tables that Spark 4.3.0 wrote and read again. `read`: texts that it read, with multiLine=true."""
Rows = list[tuple[Any, ...]]


def in_every_way(obj: Object, schema: Schema, parts: int, size: int = 7) -> Rows:
    """Read an object whole, divided and from a pipe; check that all agree, and that what is read is what is counted."""
    rows = read(obj, schema).rows()
    splits = split_object(obj, schema, parts)
    divided = [read(obj, schema, split=split) for split in splits]
    assert pl.concat(divided).rows() == rows
    assert count_rows(obj, schema) == len(rows)
    assert [count_rows(obj, schema, split) for split in splits] == [frame.height for frame in divided]
    data = obj.path.read_bytes()
    for stream in (data, squeeze(data)):
        frames = decode_stream(iter(cut(stream, [size])), schema, source="x", batch_rows=3, concatenated=True)
        assert [row for frame in frames for row in frame.rows()] == rows
    return rows


def faults(obj: Object, schema: Schema) -> None:
    with pytest.raises(RowMismatchError):
        read(obj, schema)


ATOMS = ["a", "b ", '"', "\\", ",", "\n", '""', '\\"', "\\\\", "C:\\temp", '5"', '",', "\r\n", "\u00e9"]
VALUE = st.one_of(st.none(), st.lists(st.sampled_from(ATOMS), min_size=1, max_size=5).map("".join))
TABLE = st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=30)


def spark_field(value: str | None) -> str:
    """Return a field as Spark writes it."""
    if value is None:
        return ""
    if not any(mark in value for mark in ',"\n\r') and not value.startswith("#"):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def spark_text(table: list[tuple[str | None, str | None]]) -> str:
    return "".join(f"{n},{spark_field(a)},{spark_field(b)}\n" for n, (a, b) in enumerate(table))


def csv_text(table: list[tuple[str | None, str | None]], quoting: int, end: str) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, lineterminator=end).writerows(  # type: ignore[arg-type]
        (n, *("" if value is None else value for value in row)) for n, row in enumerate(table)
    )
    return text.getvalue()


small_windows = pytest.mark.usefixtures("windows")


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what follows a cut tell within a few bytes, or not at all, as in objects of many megabytes."""
    monkeypatch.setattr(reader, "_LEAST_WINDOW", 8)
    monkeypatch.setattr(blocks, "MAX_ROW_BYTES", 1 << 12)
    monkeypatch.setattr(reader, "MAX_ROW_BYTES", 1 << 12)


@small_windows
@given(
    table=TABLE,
    parts=st.integers(1, 16),
    size=st.integers(1, 40),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rfc4180_is_what_the_csv_module_reads(
    tmp_path: Path, table: list[tuple[str | None, str | None]], parts: int, size: int, quoting: int, end: str
) -> None:
    text = csv_text(table, quoting, end)
    expected = list(csv.reader(io.StringIO(text, newline="")))
    rows = in_every_way(write(tmp_path, "x", text.encode()), RFC_4180, parts, size)
    assert [[str(n), a or "", b or ""] for n, a, b in rows] == expected


def rfc4180_field(value: str | None) -> str:
    return '"' + (value or "").replace('"', '""') + '"'


LITERAL = (
    st.lists(st.sampled_from(["a", '"', '5"', " ", "\\", 'x"y']), max_size=4)
    .map("".join)
    .filter(lambda text: not text.startswith('"'))
)


@small_windows
@given(
    cells=st.lists(
        st.tuples(LITERAL, st.one_of(LITERAL, VALUE.map(rfc4180_field))),
        min_size=1,
        max_size=30,
    ),
    parts=st.integers(1, 16),
    size=st.integers(1, 40),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_quotes_in_fields_without_quotes_are_text(
    tmp_path: Path, cells: list[tuple[str, str]], parts: int, size: int
) -> None:
    text = "".join(f"{n},{a},{b}\n" for n, (a, b) in enumerate(cells))
    expected = list(csv.reader(io.StringIO(text, newline="")))
    rows = in_every_way(write(tmp_path, "x", text.encode()), RFC_4180, parts, size)
    assert [[str(n), a or "", b or ""] for n, a, b in rows] == expected


@small_windows
@given(table=TABLE, parts=st.integers(1, 16), size=st.integers(1, 40))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_spark_writes_is_read_back(
    tmp_path: Path, table: list[tuple[str | None, str | None]], parts: int, size: int
) -> None:
    rows = in_every_way(write(tmp_path, "x", spark_text(table).encode()), SPARK, parts, size)
    assert rows == [(n, a, b) for n, (a, b) in enumerate(table)]


@small_windows
@given(table=TABLE, parts=st.integers(1, 16))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_undeclared_a_table_of_spark_is_read_right_or_refused(
    tmp_path: Path, table: list[tuple[str | None, str | None]], parts: int
) -> None:
    obj = write(tmp_path, "x", spark_text(table).encode())
    try:
        rows = in_every_way(obj, UNDECLARED, parts)
    except DialectError:
        return
    assert rows == [(n, a, b) for n, (a, b) in enumerate(table)]


def test_the_fields_of_the_tests_are_those_of_spark() -> None:
    for table in RECORDED["written"]:
        written = "".join(
            f"{n},{spark_field(a) or empty(a)},{spark_field(b) or empty(b)}\n" for n, a, b in table["given"]
        )
        assert written == table["text"]


def empty(value: str | None) -> str:
    return "" if value is None else '""'


def as_spark_reads(rows: Rows) -> list[list[Any]]:
    """Return rows as Spark's reader has them: it takes empty texts for nulls, and a CRLF in quotes for a line break."""
    return [[None if value == "" else value for value in row] for row in rows]


@pytest.mark.parametrize("table", RECORDED["written"], ids=lambda table: str(len(table["given"])))
def test_tables_that_spark_wrote(tmp_path: Path, table: dict[str, Any]) -> None:
    rows = in_every_way(write(tmp_path, "x", table["text"].encode()), SPARK, 4)
    assert [list(row) for row in rows] == table["given"]
    assert as_spark_reads(rows) == table["read"]


def test_texts_that_spark_reads_are_read_alike_or_refused(tmp_path: Path) -> None:
    read_alike = 0
    for recorded in RECORDED["read"]:
        obj = write(tmp_path, "x", recorded["text"].encode())
        try:
            rows = read(obj, SPARK).rows()
        except RowMismatchError:
            continue
        assert as_spark_reads(rows) == recorded["read"], recorded["text"]
        read_alike += 1
    assert read_alike > 60


@pytest.mark.parametrize(
    ("field", "rfc4180", "spark"),
    [
        (r'"C:\temp"', "C:\\temp", "C:\\temp"),
        (r'"C:\\temp"', r"C:\\temp", r"C:\temp"),
        (r"C:\\temp", r"C:\\temp", r"C:\\temp"),
        (r'"a\,b"', r"a\,b", r"a\,b"),
        ('5" x', '5" x', '5" x'),
        (r"a\"b", r"a\"b", r"a\"b"),
        ('"55\\""', None, '55"'),
        ('"C:\\"', "C:\\", None),
        ('"say ""hi"""', 'say "hi"', None),
        ('""', "", ""),
    ],
)
@pytest.mark.parametrize("count", [1, 100])
def test_a_field_in_both_dialects(
    tmp_path: Path, field: str, rfc4180: str | None, spark: str | None, count: int
) -> None:
    obj = write(tmp_path, "x", f"1,{field},z\n".encode() * count)
    for schema, value in ((RFC_4180, rfc4180), (SPARK, spark)):
        if value is None:
            faults(obj, schema)
        else:
            assert in_every_way(obj, schema, 3, 50) == [(1, value, "z")] * count
    if rfc4180 == spark or "\\" not in field:
        assert read(obj, UNDECLARED).rows()[0][1] == rfc4180
    else:
        with pytest.raises(DialectError):
            read(obj, UNDECLARED)


@pytest.mark.parametrize("header", ["", "n,left,right\n"])
def test_the_first_field_that_the_dialects_read_differently_is_told_with_its_line(tmp_path: Path, header: str) -> None:
    text = header + '1,x,"a\nb"\n' * 1000 + '2,"say \\"hi\\"",z\n' * 9
    obj = write(tmp_path, "x", text.encode())
    line = text[: text.index("2,")].count("\n") + 1
    stream = cut(text.encode(), [5000])
    for attempt in (
        lambda: read(obj, UNDECLARED),
        lambda: count_rows(obj, UNDECLARED),
        lambda: [read(obj, UNDECLARED, split=split) for split in split_object(obj, UNDECLARED, 5)],
        lambda: list(decode_stream(iter(stream), UNDECLARED, source="x", batch_rows=9, concatenated=True)),
    ):
        with pytest.raises(DialectError, match='dialect="spark"') as caught:
            attempt()
        assert caught.value.problems[0].path == f"x:{line}"


def test_counting_tells_the_line_of_the_object_after_blocks_without_quotes_and_in_a_part(tmp_path: Path) -> None:
    text = b"1,x,y\n" * 1000 + b'2,"say \\"hi\\"",z\n'
    obj = write(tmp_path, "x", text)
    with pytest.raises(DialectError) as caught:
        reader.CsvReader().count_stream(Stream(iter(cut(text, [600])), "x"), UNDECLARED)
    assert caught.value.problems[0].path == "x:1001"
    with pytest.raises(DialectError) as caught:
        count_rows(obj, UNDECLARED, Split(3000, obj.size))
    assert caught.value.problems[0].path == "x:1001"


@pytest.mark.parametrize("schema", [RFC_4180, SPARK])
@pytest.mark.parametrize("parts", [2, 7, 16])
def test_many_rows_with_line_breaks_and_escaped_quotes_at_the_cuts(tmp_path: Path, schema: Schema, parts: int) -> None:
    quote = '""' if schema is RFC_4180 else '\\"'
    cell = f'"{quote},{quote}\n{quote}\n,{quote}{quote}\n"'
    obj = write(tmp_path, "x", "".join(f"{n},{cell},{cell}\n" for n in range(10_000)).encode())
    splits = split_object(obj, schema, parts)
    assert [split.start for split in splits[1:]] == [split.end for split in splits[:-1]]
    assert all(0.5 < (split.end - split.start) / (obj.size / parts) < 1.5 for split in splits)
    assert sum(count_rows(obj, schema, split) for split in splits) == 10_000
    numbers = [number for split in splits[:: max(1, parts // 3)] for number in read(obj, schema, split=split)["n"]]
    assert numbers == sorted(set(numbers))
