"""Reading one object in ranges: the right bytes whatever is asked for, each once, and little more than is wanted."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom_algo.errors import ObjectLostError
from cleanroom_algo.local.objects.ranges import AHEAD, FIRST_BYTES, RANGE_BYTES, RangeReader, Ranges, RangeStream
from cleanroom_algo.local.objects.s3 import S3Object

PLACE = S3Object("bucket", "key", '"etag"')
SIZE = 60 * FIRST_BYTES + 12_345
PIECE = 128 << 10  # what the kernel asks a file system for


def content(start: int, end: int) -> bytes:
    """Return bytes that tell where they are, every eighth of a MiB."""
    first = start // PIECE
    whole = b"".join(number.to_bytes(4, "little") * (PIECE // 4) for number in range(first, end // PIECE + 1))
    return whole[start - first * PIECE : end - first * PIECE]


class Service:
    """Gives ranges, and remembers which."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()

    def get(self, place: S3Object, start: int, end: int) -> bytes:
        with self._lock:
            self.asked.append((start, end))
        assert self.gate.wait(60)
        return content(start, end)

    @property
    def bytes(self) -> int:
        return sum(end - start for start, end in self.asked)

    def reader(self, size: int = SIZE) -> RangeReader:
        return Ranges(self.get).open(PLACE, size)


def test_front_to_back_each_byte_is_asked_for_once_in_growing_ranges() -> None:
    service = Service()
    reader = service.reader()
    for offset in range(0, SIZE, PIECE):
        assert reader.read(offset, PIECE) == content(offset, min(offset + PIECE, SIZE))

    ranges = sorted(service.asked)
    assert ranges[0][0] == 0
    assert [end for _, end in ranges] == [*(start for start, _ in ranges[1:]), SIZE]
    assert ranges[0][1] == FIRST_BYTES
    assert max(end - start for start, end in ranges) == RANGE_BYTES


def test_who_wants_a_header_gets_little_more() -> None:
    service = Service()
    reader = service.reader()
    reader.read(0, 4096)
    reader.read(0, PIECE)
    reader.read(PIECE, PIECE)
    assert service.asked == [(0, FIRST_BYTES)]

    reader.read(SIZE - 8, 8)  # a footer
    assert service.bytes <= 2 * FIRST_BYTES


def test_memory_is_bounded_while_a_reader_is_slow() -> None:
    service = Service()
    reader = service.reader(1 << 40)
    offset = 0
    for _ in range(1000):
        reader.read(offset, PIECE)
        offset += PIECE
    kept = sum(end - start for start, end in service.asked if end > offset - FIRST_BYTES)
    assert kept <= (AHEAD + 2) * RANGE_BYTES


def test_readers_at_several_places_do_not_get_in_each_others_way() -> None:
    service = Service()
    reader = service.reader()
    starts = [number * 15 * FIRST_BYTES for number in range(4)]

    def column(start: int) -> bytes:
        return b"".join(reader.read(start + offset, PIECE) for offset in range(0, 4 * FIRST_BYTES, PIECE))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(column, starts))
    assert found == [content(start, start + 4 * FIRST_BYTES) for start in starts]
    assert service.bytes < 4 * 16 * FIRST_BYTES  # a column is followed by as much again, and a range


@given(
    st.integers(0, 5 * FIRST_BYTES),
    st.lists(st.tuples(st.integers(0, 5 * FIRST_BYTES), st.integers(0, 2 * FIRST_BYTES)), max_size=12),
)
@settings(max_examples=60)
def test_any_reads_return_what_is_there(size: int, reads: list[tuple[int, int]]) -> None:
    reader = Service().reader(size)
    for offset, length in reads:
        there = content(offset, min(offset + length, size)) if offset < size else b""
        assert reader.read(offset, length) == there
    reader.close()


def test_a_stream_is_a_file() -> None:
    with RangeStream(Service().reader(300)) as stream:
        assert stream.readall() == content(0, 300)
        assert stream.read(1) == b""


def test_closing_frees_whoever_waits() -> None:
    service = Service()
    reader = service.reader()
    service.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.read, 0, 1)
        while not service.asked:
            pass
        reader.close()
        with pytest.raises(ValueError, match="closed"):
            waiting.result(60)
    service.gate.set()
    with pytest.raises(ValueError, match="closed"):
        reader.read(0, 1)


def test_what_went_wrong_reaches_whoever_reads() -> None:
    def get(place: S3Object, start: int, end: int) -> bytes:
        raise ObjectLostError("gone", expected="there", fix="put it back")

    with pytest.raises(ObjectLostError, match="gone"):
        Ranges(get).open(PLACE, 10).read(0, 10)
