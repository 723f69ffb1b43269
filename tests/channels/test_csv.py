"""CSV against Python's csv module, the rules for headers and nulls, and what a wrong row is told."""

from __future__ import annotations

import csv
import datetime as dt
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom_algo.channels.formats import blocks
from cleanroom_algo.channels.formats.blocks import RowRules, cut_rows
from cleanroom_algo.channels.formats.csv.decoder import CsvDecoder
from cleanroom_algo.channels.formats.csv.dialect import dialect_of
from cleanroom_algo.channels.objects import BLOCK_BYTES
from cleanroom_algo.channels.schema import Column, Csv, Schema
from cleanroom_algo.errors import (
    ColumnsMismatchError,
    CorruptObjectError,
    RowMismatchError,
    RowTooLongError,
)
from tests.channels.support import (
    ALL,
    DIGITS,
    INTEGER_MIDDLES,
    MIXED,
    NUMBERS,
    SMALL,
    TIMES,
    decode_stream,
    read,
    squeeze,
    write,
)

ROWS = [(1, "UA", 2.5, dt.date(2013, 1, 2), True), (2, None, None, None, None), (3, "", 1e3, None, False)]
TEXT = b'1,UA,2.5,2013-01-02,true\n2,,,,\n3,"",1e3,,false\n'
HEADER = b"flight,carrier,distance,day,late\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT,
        TEXT.removesuffix(b"\n"),
        TEXT.replace(b"\n", b"\r\n"),
        HEADER + TEXT,
        HEADER.replace(b"\n", b"\r\n") + TEXT.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + HEADER + TEXT,
        b"\xef\xbb\xbf" + TEXT,
        TEXT + b"\n\r\n\n",
        b'"flight","carrier","distance","day","late"\n' + TEXT,
        squeeze(TEXT),
        squeeze(HEADER) + squeeze(TEXT),
        squeeze(TEXT[:20]) + squeeze(TEXT[20:]) + b"\0" * 100,
        TEXT.replace(b"true", b"TRUE").replace(b"UA", b'"UA"').replace(b"1,", b'"1",', 1),
    ],
)
def test_the_same_rows_in_any_dress(tmp_path: Path, data: bytes) -> None:
    assert read(write(tmp_path, "part-00000", data), MIXED).rows() == ROWS


def test_a_header_in_another_order_orders_the_fields(tmp_path: Path) -> None:
    obj = write(tmp_path, "x", b"late,day,flight,distance,carrier\ntrue,2013-01-02,1,2.5,UA\n")
    assert read(obj, MIXED).rows() == ROWS[:1]


@pytest.mark.parametrize("data", [b"", HEADER, b"\xef\xbb\xbf", b"\n\n", squeeze(b"")])
def test_objects_without_rows(tmp_path: Path, data: bytes) -> None:
    assert read(write(tmp_path, "x", data), MIXED).height == 0


def test_a_header_that_lacks_a_column_is_told(tmp_path: Path) -> None:
    with pytest.raises(ColumnsMismatchError) as caught:
        read(write(tmp_path, "x", b"flight,carrier,distance,tag\n"), MIXED)
    assert [p.path for p in caught.value.problems] == ["x:1:day", "x:1:late", "x:1:tag"]


@pytest.mark.parametrize(
    "header", [b"FLIGHT,carrier,Distance,DAY,late\n", b'flight, carrier, distance,"DAY", late\r\n']
)
def test_a_header_that_is_spelt_otherwise_is_no_row(tmp_path: Path, header: bytes) -> None:
    with pytest.raises(ColumnsMismatchError) as caught:
        read(write(tmp_path, "x", header + TEXT), MIXED)
    assert {p.message for p in caught.value.problems} == {"is in other case in the header, or with blanks around it"}


PREFIXED = b"t.flight,w.carrier,t.distance,day,T.LATE\n"


def test_a_header_with_the_names_of_tables_is_no_row(tmp_path: Path) -> None:
    with pytest.raises(ColumnsMismatchError) as caught:
        read(write(tmp_path, "x", PREFIXED + TEXT), MIXED)
    assert [p.path for p in caught.value.problems] == [
        f"x:1:{name}" for name in ("carrier", "distance", "flight", "late")
    ]
    assert {p.message for p in caught.value.problems} == {
        "has a table's name before it in the header; name the columns alone (SELECT t.x AS x)"
    }
    texts = Schema.of(carrier="string", origin="string")
    with pytest.raises(ColumnsMismatchError):
        read(write(tmp_path, "x", b"t.carrier,t.origin\nUA,EWR\n"), texts)


def test_a_declared_name_may_have_a_dot(tmp_path: Path) -> None:
    schema = Schema([Column("t.a", "int8"), Column("t.b", "int8")])
    for header in (b"t.a,t.b\n", b'"t.a","t.b"\n', b""):
        assert read(write(tmp_path, "x", header + b"1,2\n"), schema).rows() == [(1, 2)]


@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize(
    ("line", "what"),
    [
        (HEADER, "it is a header, and only a first line that names the columns exactly is read as one"),
        (HEADER.upper(), "it is a header, and only a first line that names the columns exactly is read as one"),
        (
            PREFIXED,
            "it is a header with a table's name before the columns'; name the columns alone (SELECT t.x AS x)",
        ),
    ],
)
def test_a_later_header_is_told_as_one(tmp_path: Path, line: bytes, what: str, count: int) -> None:
    with pytest.raises(RowMismatchError) as caught:
        read(write(tmp_path, "x", HEADER + TEXT * count + line), MIXED)
    assert [(p.path, p.message) for p in caught.value.problems] == [(f"x:{3 * count + 2}", what)]


@pytest.mark.parametrize(
    ("row", "path", "message"),
    [
        (b"1,UA,2.5,2013-01-02,true,9", "x:2", "6 field(s) instead of 5"),
        (b"1,UA", "x:2", "2 field(s) instead of 5"),
        (
            b"1;UA;2.5;2013-01-02;true",
            "x:2",
            "1 field(s) instead of 5; its semicolons would make 5: another delimiter",
        ),
        (
            b"0;1;UA;2,5;2013-01-02;true",  # an index and a decimal comma
            "x:2",
            "2 field(s) instead of 5; its semicolons would make 6: another delimiter",
        ),
        (
            b"1\tUA\t2.5\t2013-01-02\ttrue",
            "x:2",
            "1 field(s) instead of 5; its tabs would make 5: another delimiter",
        ),
        (
            b'[{"flight":1,"carrier":"UA"},{"flight":2}]',
            "x:2",
            "it looks like a JSON array, where JSON Lines has an object per line",
        ),
        (
            b"1,UA,2.5,2013-01-02,true\r2,UA,2.5,2013-01-02,true",
            "x:2",
            "9 field(s) instead of 5; it has carriage returns, but lines end in LF or CRLF",
        ),
        (b"1,UA,2.5,2013-01-02", "x:2", "4 field(s) instead of 5"),
        (b"one,UA,2.5,2013-01-02,true", "x:2:flight", "not of type int32: text"),
        (b"1.0,UA,2.5,2013-01-02,true", "x:2:flight", "not of type int32: a number with a fraction"),
        (b"3000000000,UA,2.5,2013-01-02,true", "x:2:flight", "not of type int32"),
        (b",UA,2.5,2013-01-02,true", "x:2:flight", "empty, but int32 is not nullable"),
        (b"1,UA,secret,2013-01-02,true", "x:2:distance", "not of type float64: text"),
        (b"1,UA,2.5,02/01/2013,true", "x:2:day", "not of type date32: a date in another form than 2013-01-31"),
        (b"1,UA,2.5,2013-1-2,true", "x:2:day", "not of type date32"),
        (b"1,UA,2.5,2013-02-30,true", "x:2:day", "not of type date32"),
        (b"1,UA,2.5,2013-01-02,maybe", "x:2:late", "not of type bool: text"),
        (b"1,\xff\xfe,2.5,2013-01-02,true", "x:2:carrier", "not valid UTF-8"),
        (b'1,"UA"b,2.5,2013-01-02,true', "x:2", "field 2: its quotes do not enclose it"),
        (b"", "x:2", "the line is blank"),
    ],
)
def test_a_row_that_does_not_fit_says_where_and_not_what(tmp_path: Path, row: bytes, path: str, message: str) -> None:
    obj = write(tmp_path, "x", b"7,AA,,,\n" + row + b"\n8,AA,,,\n")
    with pytest.raises(RowMismatchError) as caught:
        read(obj, MIXED)
    assert [(p.path, p.message) for p in caught.value.problems] == [(path, message)]
    for field in row.split(b","):
        if len(field) > 3:
            assert field.decode("latin-1") not in str(caught.value)


@pytest.mark.parametrize("others", [0, 100])
def test_a_timestamp_that_utc_does_not_have_is_a_fault(tmp_path: Path, others: int) -> None:
    rows = b"0001-01-01T00:00:00+05:00\n9999-12-31T23:59:59-05:00\n" + b"2013-01-01T00:00:00+05:00\n" * others
    obj = write(tmp_path, "x", rows)
    with pytest.raises(RowMismatchError) as caught:
        read(obj, Schema.of(at="timestamp"))
    assert [(problem.path, problem.message) for problem in caught.value.problems] == [
        ("x:1:at", "not of type timestamp; 2 such rows, this is the first")
    ]


def test_faults_of_one_kind_are_one_line_of_the_error(tmp_path: Path) -> None:
    with pytest.raises(RowMismatchError) as caught:
        read(write(tmp_path, "x", b"x,,,,z\n" * 100), MIXED)
    assert [(problem.path, problem.message) for problem in caught.value.problems] == [
        ("x:1:flight", "not of type int32: text; 100 such rows, this is the first"),
        ("x:1:late", "not of type bool: text; 100 such rows, this is the first"),
    ]


def test_the_line_is_right_far_into_an_object(tmp_path: Path) -> None:
    lines = [b"%d,%s,2.5,2013-01-02,true" % (number, b"U" * 1000) for number in range(10_000)]
    lines[9_900] = b"1,UA"
    obj = write(tmp_path, "x", HEADER + b"\n".join(lines))
    assert obj.size > 2 * BLOCK_BYTES
    with pytest.raises(RowMismatchError) as caught:
        read(obj, MIXED)
    assert caught.value.problems[0].path == "x:9902"


def test_a_column_that_is_not_asked_for_costs_no_parsing_but_its_place_counts(tmp_path: Path) -> None:
    decoder = CsvDecoder(MIXED, source="x", columns=["late", "flight"])
    assert decoder.decode(b"1,UA,far,2013,true\n" * 900).rows()[0] == (True, 1)
    with pytest.raises(RowMismatchError):
        decoder.decode(b"1,UA,2.5,2013-01-02,true\n" * 200 + b"1,UA,2.5\n")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2013-01-02T03:04:05.000Z", dt.datetime(2013, 1, 2, 3, 4, 5)),
        ("2013-01-02T03:04:05.250+01:00", dt.datetime(2013, 1, 2, 2, 4, 5, 250_000)),
        ("2013-01-02T03:04:05", dt.datetime(2013, 1, 2, 3, 4, 5)),
        ("2013-01-02 03:04:05.123456", dt.datetime(2013, 1, 2, 3, 4, 5, 123_456)),
        ("2013-01-02", dt.datetime(2013, 1, 2)),
    ],
)
@pytest.mark.parametrize("count", [1, 500])
def test_timestamps_in_iso_forms_mixed_with_nulls(tmp_path: Path, text: str, value: object, count: int) -> None:
    schema = Schema.of(at="timestamp?", n="int8")
    obj = write(tmp_path, "x", f"{text},1\n,2\n2013-01-02T00:00:00.000Z,3\n".encode() * count)
    assert read(obj, schema).rows()[-3:] == [(value, 1), (None, 2), (dt.datetime(2013, 1, 2), 3)]


@pytest.mark.parametrize("row", [b'1,"ab"c"d",3', b'1,"ab" "cd",3', b'1,"ab" ,3', b'1,"ab"c,3', b'1, "ab,c",3'])
@pytest.mark.parametrize("count", [1, 400])
def test_text_around_quotes_is_a_fault_in_short_and_long_blocks(row: bytes, count: int) -> None:
    decoder = CsvDecoder(Schema.of(a="int64", b="string?", c="float64?"), source="x")
    with pytest.raises(RowMismatchError):
        decoder.decode((row + b"\n") * count)


@pytest.mark.parametrize("count", [1, 400])
def test_quotes_inside_a_field_without_quotes_are_text(count: int) -> None:
    decoder = CsvDecoder(Schema.of(a="int64", b="string?", c="float64?"), source="x")
    assert decoder.decode(b'1,5" pipe "x",3\n' * count).rows()[-1] == (1, '5" pipe "x"', 3.0)


def test_one_column_has_a_row_per_line_blank_ones_too(tmp_path: Path) -> None:
    assert read(write(tmp_path, "x", b"1\n\n2\n\n"), Schema.of(a="int8?")).rows() == [(1,), (None,), (2,), (None,)]


@pytest.mark.parametrize("cut", [11, 20, -1, -8])
def test_a_gzip_cut_short_is_an_error(tmp_path: Path, cut: int) -> None:
    with pytest.raises(CorruptObjectError, match="gzip"):
        read(write(tmp_path, "x", squeeze(TEXT * 1000)[:cut]), MIXED)


def test_a_quote_that_is_never_closed_is_an_error_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MAX_ROW_BYTES", 1000)
    with pytest.raises(RowTooLongError):
        list(cut_rows(iter([b'1,"x\n'] + [b"2,y\n"] * 500), source="x", rules=RowRules(dialect_of(MIXED), False)))


@given(
    before=st.lists(st.sampled_from([b"1,a\n", b'2,"b\nc"\n', b'3,"\n\n"\r\n', b"i,s\n"]), max_size=30),
    after=st.lists(st.just(b"4,d\n"), max_size=5),
    concatenated=st.booleans(),
    size=st.integers(1, 30),
)
def test_a_fault_has_the_right_line_wherever_blocks_end(
    before: list[bytes], after: list[bytes], concatenated: bool, size: int
) -> None:
    rows = [b"i,s\n", *(row for row in before if concatenated or row != b"i,s\n")]
    data = b"".join([*rows, b"x,e\n", *after])
    chunks = (data[start : start + size] for start in range(0, len(data), size))
    schema = Schema.of(i="int32", s="string")
    with pytest.raises(RowMismatchError) as caught:
        list(decode_stream(chunks, schema, source="x", batch_rows=7, concatenated=concatenated))
    line = b"".join(rows).count(b"\n") + 1
    assert [problem.path for problem in caught.value.problems] == [f"x:{line}:i"]


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=6)
CELLS = st.one_of(TEXTS, st.sampled_from(["", '"', ",", "\n", '",\n"', "\\", "a\nb", 'a\\"b', '\\""']))


@given(
    table=st.lists(st.tuples(CELLS, st.integers(-(2**63), 2**63 - 1), CELLS), min_size=1, max_size=8),
    sparing=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    header=st.booleans(),
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=5),
)
@settings(max_examples=100)
def test_what_the_csv_module_writes_is_read_back_however_the_bytes_are_cut(
    table: list[tuple[str, int, str]], sparing: bool, end: str, header: bool, sizes: list[int]
) -> None:
    schema = Schema([Column("a", "string"), Column("b", "int64"), Column("c", "string")], csv=Csv(dialect="rfc4180"))
    text = io.StringIO(newline="")
    # Empty strings need quotes: an empty field without them would be a null.
    minimal = sparing and all(a and c for a, _, c in table)
    writer = csv.writer(text, quoting=csv.QUOTE_MINIMAL if minimal else csv.QUOTE_ALL, lineterminator=end)
    if header:
        writer.writerow(schema.names)
    writer.writerows(table)
    data = text.getvalue().encode()
    chunks: list[bytes] = []
    position = 0
    while position < len(data):
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(data[position : position + size])
        position += size
    decoder = CsvDecoder(schema, source="x")
    frames = []
    for number, block in enumerate(
        cut_rows(iter(chunks), source="x", rules=RowRules(dialect_of(MIXED), blank_rows=False))
    ):
        frames.append(decoder.decode(block if number else decoder.start(block)))
    assert pl.concat(frames).rows() == table


INTEGERS = st.one_of(SMALL, DIGITS, INTEGER_MIDDLES, st.from_regex(r"[+-]?0{0,3}[0-9]{1,20}", fullmatch=True))
DECIMALS = st.one_of(
    INTEGERS,
    NUMBERS,
    st.sampled_from(["nan", "-NaN", "inf", "+Infinity", "1.", ".5", "1E+5", "1_0", ".", "e5", "-", "1e400", "\u0661"]),
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_characters="\n"), max_size=5),
    st.text(alphabet='",\\\r ab\0\u00e9', max_size=6),
    st.sampled_from(["", "true", "FALSE", "tRuE", "t", "yes"]),
)
FIELDS = st.one_of(
    st.tuples(st.sampled_from(["i", "u", "h"]), INTEGERS),
    st.tuples(st.sampled_from(["f", "d"]), DECIMALS),
    st.tuples(st.sampled_from(["day", "at"]), TIMES),
    st.tuples(st.sampled_from(ALL.names), TEXTS),
)
FORMS = st.sampled_from(["{}"] * 4 + ['"{}"'] * 2 + [" {}", "{} ", "\t{}", "{}\r", '" {}"'])


@given(fields=st.lists(st.tuples(FIELDS, FORMS), max_size=2))
@settings(max_examples=150)
def test_a_row_reads_the_same_whatever_stands_beside_it(fields: list[tuple[tuple[str, str], str]]) -> None:
    cells = dict.fromkeys(ALL.names, "")
    for (name, text), form in fields:
        cells[name] = form.format(text.replace('"', '""') if '"' in form else text)
    row = ",".join(cells.values()).encode(errors="surrogatepass") + b"\n"
    alone = _outcome(row, 0)
    plain = b"x,1,1,1,1,1,true,2013-01-01,2013-01-01\n"
    assert _outcome(plain * 40 + row + plain, 40) == alone
    assert _outcome(b"too few\n" + row + plain * 40, 1) == alone


def _outcome(rows: bytes, position: int) -> str | None:
    """Return what the row at a position reads as, or None where it is refused."""
    rejected: list[int] = []
    frame = CsvDecoder(ALL, source="x").decode(rows, rejected=rejected)
    return (
        None
        if position in rejected
        else repr(frame.row(position - len([each for each in rejected if each < position])))
    )
