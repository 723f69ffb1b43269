"""Splits: each row once whatever the division, and counted without parsing."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleanroom_algo.channels.formats import recordio
from cleanroom_algo.channels.modes.file import count_rows, split_object
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.channels.splits import Split
from cleanroom_algo.errors import RowMismatchError
from tests.channels.support import read, squeeze, write

TEXT = Schema.of(a="int64", b="string?")
NUMBERS = Schema.of(a="int64", b="float64?")


@given(
    cells=st.lists(st.sampled_from(["x", "", '"a\nb"', '"\n\n"', '"say ""hi"""', '"a,b"', '""']), max_size=30),
    parts=st.integers(1, 8),
    header=st.booleans(),
    final=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    blanks=st.integers(0, 3),
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_csv_pieces_hold_each_row_once(
    tmp_path: Path, cells: list[str], parts: int, header: bool, final: bool, end: str, blanks: int
) -> None:
    lines = (["b,a"] if header else []) + [f"{cell},{n}" if header else f"{n},{cell}" for n, cell in enumerate(cells)]
    text = end.join(lines) + (end * (1 + blanks) if final else "")
    obj = write(tmp_path, "x", text.encode())
    whole = read(obj, TEXT)
    assert whole.get_column("a").to_list() == list(range(len(cells)))
    assert count_rows(obj, TEXT) == len(cells)
    splits = split_object(obj, TEXT, parts)
    assert len(splits) == parts
    own = range(parts // 3, parts - parts // 4)
    assert split_object(obj, TEXT, parts, own) == splits[own.start : own.stop]
    frames = [read(obj, TEXT, split=split) for split in splits]
    assert pl.concat(frames).rows() == whole.rows()
    assert [count_rows(obj, TEXT, split) for split in splits] == [frame.height for frame in frames]


def test_numbers_are_divided_by_looking_around_the_cuts(tmp_path: Path) -> None:
    obj = write(tmp_path, "x", b"".join(b"%d,%d.5\n" % (n, n) for n in range(10_000)))
    splits = split_object(obj, NUMBERS, 3)
    assert [split.end - split.start for split in splits] == pytest.approx([obj.size / 3] * 3, rel=0.01)
    assert sum(read(obj, NUMBERS, split=split).height for split in splits) == 10_000


def test_a_fault_in_a_later_piece_has_its_line_in_the_object(tmp_path: Path) -> None:
    obj = write(tmp_path, "x", b"a,b\n" + b"1,2\n" * 1000 + b"1,2,3\n")
    with pytest.raises(RowMismatchError) as caught:
        read(obj, NUMBERS, split=split_object(obj, NUMBERS, 2)[1])
    assert caught.value.problems[0].path == "x:1002"


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 20])
def test_parquet_is_divided_at_row_groups(tmp_path: Path, parts: int) -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"a": range(1000), "b": [0.5] * 1000}).write_parquet(buffer, row_group_size=100)
    obj = write(tmp_path, "x", buffer.getvalue())
    splits = split_object(obj, NUMBERS, parts)
    assert len(splits) == parts
    rows = [count_rows(obj, NUMBERS, split) for split in splits]
    assert max(rows) - min(rows) <= 100
    assert split_object(obj, NUMBERS, parts, range(parts // 2, parts)) == splits[parts // 2 :]
    frames = [read(obj, NUMBERS, split=split, batch_rows=64) for split in splits]
    assert pl.concat(frames).get_column("a").to_list() == list(range(1000))
    assert rows == [frame.height for frame in frames]
    assert count_rows(obj, NUMBERS) == count_rows(obj, NUMBERS, Split(0, obj.size)) == 1000


@pytest.mark.parametrize(
    "data",
    [
        squeeze(b"a,b\n1,2\n3,4\n"),
        squeeze(b'{"a":1}\n{"a":2}\n\n'),
        b'{"a":1}\n{"a":2}',
        recordio.pack(b"1,2") + recordio.pack(b"a,b\n3,4\n"),
    ],
)
def test_other_formats_are_counted_and_kept_whole_where_they_must(tmp_path: Path, data: bytes) -> None:
    obj = write(tmp_path, "x", data)
    assert count_rows(obj, NUMBERS) == read(obj, NUMBERS).height == 2
    splits = split_object(obj, NUMBERS, 4)
    assert sum(read(obj, NUMBERS, split=split).height for split in splits) == 2
    if data[:1] != b"{":
        assert splits == (Split(0, 0), Split(0, 0), Split(0, obj.size), Split(0, 0))


def test_an_object_that_is_not_divided_is_not_opened(tmp_path: Path) -> None:
    obj = write(tmp_path, "x", b"1,2\n")
    obj.path.unlink()
    assert split_object(obj, TEXT, 1) == (Split(0, 4),)


def test_an_empty_object_has_empty_splits(tmp_path: Path) -> None:
    obj = write(tmp_path, "x", b"")
    assert split_object(obj, TEXT, 4) == (Split(0, 0),) * 4
    assert count_rows(obj, TEXT) == 0
