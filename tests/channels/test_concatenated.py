"""CSV and JSON Lines of several objects that follow each other with nothing between them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom_algo.channels.schema import Column, Csv, Schema
from cleanroom_algo.errors import ColumnsMismatchError, JoinedRowsError, RowMismatchError
from tests.channels.support import decode_stream, squeeze

NUMBERS = Schema.of(a="int64", b="int64")
TEXTS = Schema.of(a="string", b="string")


def decode(parts: list[bytes], schema: Schema) -> list[tuple[object, ...]]:
    stream = decode_stream(iter(parts), schema, source="train_0", batch_rows=10, concatenated=True)
    return [row for frame in stream for row in frame.rows()]


def test_rows_that_ran_together_are_cut_where_only_one_cut_is_possible() -> None:
    schema = Schema.of(a="int64", day="date32")
    days = [row[1] for row in decode([b"1,2013-01-02", b"7,2013-01-03\n"], schema)]
    assert [str(day) for day in days] == ["2013-01-02", "2013-01-03"]
    assert decode([b'5,"x"', b'6,"y"\n'], Schema.of(a="int64", b="string")) == [(5, "x"), (6, "y")]


def test_rows_that_ran_together_are_an_error_where_several_cuts_are_possible() -> None:
    with pytest.raises(JoinedRowsError) as caught:
        decode([b"1,2\n3,44", b"55,6\n"], Schema.of(a="int64", b="int64"))
    assert caught.value.problems[0].path == "train_0:2"


def test_a_row_too_wide_that_can_be_cut_nowhere_is_told_as_that() -> None:
    with pytest.raises(RowMismatchError) as caught:
        decode([b"a,b\n1,2\n", b"3,4,5\n6,7\n"], Schema.of(a="int64", b="int64"))
    assert [problem.path for problem in caught.value.problems] == ["train_0:3"]


@pytest.mark.parametrize(
    ("row", "b"),
    [
        (b"3,,", "string?"),
        (b'3,"x",', "string?"),
        (b"0,3,2013-01-02", "date32?"),
    ],
)
def test_a_row_with_a_field_too_many_is_never_cut_into_two(row: bytes, b: str) -> None:
    with pytest.raises(RowMismatchError) as caught:
        decode([b"a,b\n1,\n", row + b"\n"], Schema.of(a="int64?", b=b))
    assert [problem.path for problem in caught.value.problems] == ["train_0:3"]


def test_one_column_of_lists() -> None:
    parts = [b'x\n"[1.5, 2]"\n', b'x\n"[3]"\n']
    assert decode(parts, Schema.of(x="list[float32]")) == [([1.5, 2.0],), ([3.0],)]


def test_the_line_of_a_fault_counts_dropped_headers() -> None:
    with pytest.raises(RowMismatchError) as caught:
        decode([b"a,b\n1,2\n", b"a,b\n3,4\n5,x\n"], Schema.of(a="int64", b="int64"))
    assert caught.value.problems[0].path == "train_0:5:b"


NAMES = Schema.of(name="string")


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ([b"name\nx\n", b"name\ny\n"], 3),
        ([b"name\nx", b"name\ny\n"], 2),
        ([b'"name"\n"x"', b'"name"\n"y"\n'], 2),
        ([b"x\nname\n"], 2),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_text_that_may_be_a_header_is_an_error_that_names_the_option(
    parts: list[bytes], line: int, zipped: bool
) -> None:
    with pytest.raises(JoinedRowsError, match='header="none"') as caught:
        decode([squeeze(part) for part in parts] if zipped else parts, NAMES)
    assert caught.value.problems[0].path == f"train_0:{line}"


def test_a_declared_header_tells_rows_from_headers() -> None:
    none = Schema.of(name="string", csv=Csv(header="none"))
    assert decode([b"name\nx\nmy name\n", b"name\n"], none) == [("name",), ("x",), ("my name",), ("name",)]
    each = Schema.of(name="string", csv=Csv(header="each"))
    assert decode([b"name\nx\n", b"name\ny\n", b'"name"\nz'], each) == [("x",), ("y",), ("z",)]
    with pytest.raises(JoinedRowsError):
        decode([b"name\nx", b"name\ny\n"], each)
    with pytest.raises(ColumnsMismatchError, match="does not name the declared columns"):
        decode([b"x\n", b"name\ny\n"], each)


@pytest.mark.parametrize(
    "parts",
    [
        [b"1,2\n", b"a,b\n3,4\n", b"5,6\n"],
        [b"1,2\r\n", b"a,b\r\n3,4\r\n", b"a,b\r\n", b"5,6"],
        [b"1,2", b"a,b\n3,4", b"a,b\n5,6"],
        [b"1,2\n", b'"a","b"\n3,4\n', b"a,b\n5,6\n"],
        [b"a,b\n1,2\n", b"3,4\n", b'"a","b"\n5,6\n'],
        [b"1,2\n", b"\xef\xbb\xbfa,b\n3,4\n5,6\n"],
        [b"1,2\n3,4\n5,6\n", b"a,b"],
        [b"\xef\xbb\xbf1,2\n", b"\xef\xbb\xbf3,4\n", b"5,6\n"],
        [b'\xef\xbb\xbf{"a":1,"b":2}\n', b'\xef\xbb\xbf{"a":3,"b":4}\n', b'\xef\xbb\xbf{"a":5,"b":6}'],
    ],
)
def test_only_some_objects_may_have_a_header(parts: list[bytes]) -> None:
    assert decode(parts, NUMBERS) == [(1, 2), (3, 4), (5, 6)]
    assert decode(parts, TEXTS) == [("1", "2"), ("3", "4"), ("5", "6")]


@pytest.mark.parametrize("schema", [NUMBERS, TEXTS])
@pytest.mark.parametrize("first", [b"a,b\n1,2\n", b"1,2\n5,6\n", b"a,b\n1,2\n" + b"3,4\n" * 300_000])
def test_a_later_header_in_another_order_is_an_error(schema: Schema, first: bytes) -> None:
    with pytest.raises(ColumnsMismatchError, match="in another order") as caught:
        decode([first, b"b,a\n4,3\n"], schema)
    line = first.count(b"\n") + 1
    assert [(p.path, p.message) for p in caught.value.problems] == [(f"train_0:{line}", "is a header in another order")]


def test_a_header_in_another_order_is_found_in_the_one_column_that_is_asked_for() -> None:
    schema = Schema.of(a="int64", b="string", c="string")
    with pytest.raises(ColumnsMismatchError):
        list(
            decode_stream(
                iter([b"1,x,y\n", b"c,b,a\n"]), schema, source="x", batch_rows=10, columns=["b"], concatenated=True
            )
        )


def test_rows_that_read_like_a_header_are_rows() -> None:
    numbered = Schema([Column("1", "int64"), Column("2", "int64")])
    assert decode([b"5,6\n1,2\n2,1\n"], numbered) == [(5, 6), (1, 2), (2, 1)]
    assert decode([b"a,x\nb,y\n"], TEXTS) == [("a", "x"), ("b", "y")]


CELLS = st.one_of(st.none(), st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=5))


@given(
    objects=st.lists(st.lists(st.tuples(st.integers(0, 999), CELLS), max_size=5), min_size=1, max_size=4),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    final=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    zipped=st.booleans(),
    headers=st.lists(st.sampled_from(["number,text", '"number","text"', ""]), min_size=1, max_size=4),
)
@settings(max_examples=60)
def test_objects_are_told_apart_however_the_stream_is_cut(
    objects: list[list[tuple[int, str | None]]],
    sizes: list[int],
    final: bool,
    end: str,
    zipped: bool,
    headers: list[str],
) -> None:
    parts = []
    for number, table in enumerate(objects):
        header = headers[number % len(headers)] if final else "number,text"
        lines = [
            *([header] if header else []),
            *(f"{n},{'' if t is None else chr(34) + t.replace(chr(34), chr(34) * 2) + chr(34)}" for n, t in table),
        ]
        data = (end.join(lines) + (end if final and lines else "")).encode()
        parts.append(squeeze(data) if zipped else data)
    stream = b"".join(parts)
    chunks: list[bytes] = []
    position = 0
    while position < len(stream):
        chunks.append(stream[position : position + sizes[len(chunks) % len(sizes)]])
        position += len(chunks[-1])
    found = decode(chunks, Schema.of(number="int64", text="string?", csv=Csv(dialect="rfc4180")))
    assert found == [row for table in objects for row in table]
