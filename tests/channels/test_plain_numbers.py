"""The quick reader of plain numbers gives what the exact reader gives, or leaves the block to it."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from cleanroom_algo.channels.formats.csv.plain_numbers import read_plain_numbers
from cleanroom_algo.channels.formats.csv.rows import parse_slowly
from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.errors import RowMismatchError

SCHEMA = Schema([Column(name, "float32", nullable=False) for name in "ab"])

fields = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.text('0123456789.+-eE_ n"', max_size=6),
    st.sampled_from(["16777217", "16777217.000000001", "1e999", "-0", "3.4028236e38", "nan", "1_0", ""]),
)
blocks = st.lists(
    st.tuples(st.lists(fields, min_size=1, max_size=3).map(",".join), st.sampled_from(["\n", "\r\n"])).map("".join),
    min_size=1,
    max_size=4,
).map(lambda rows: "".join(rows).encode())


@given(blocks)
@example(b"1,2\n\n3,4\n")
@example(b"1,2\r\n3,4")
@example(b"1,2,3\n4\n")
@example(b"1,2\r\n\r\n")
@example(b"16777217.000000001,1e999\n")
def test_the_same_bits_or_left_to_the_exact_reader(block: bytes) -> None:
    quick = read_plain_numbers(block, SCHEMA.names)
    try:
        exact = parse_slowly(block, SCHEMA, source="body", line=1)
    except RowMismatchError:
        assert quick is None
        return
    assert quick is None or (quick.schema == exact.schema and quick.to_numpy().tobytes() == exact.to_numpy().tobytes())


def test_plain_rows_are_read() -> None:
    table = read_plain_numbers(b"1.5,-2e3\n.25,7\n", SCHEMA.names)
    assert table is not None
    assert table.rows() == [(1.5, -2000.0), (0.25, 7.0)]
