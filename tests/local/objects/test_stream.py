"""Reading one object of S3 from front to back: each byte once, little more than is wanted, memory bounded."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom_algo.errors import ObjectLostError
from cleanroom_algo.local.objects.s3 import S3Object
from cleanroom_algo.local.objects.stream import AHEAD, FIRST_BYTES, RANGE_BYTES, S3Stream

PLACE = S3Object("bucket", "key", '"etag"')
SIZE = 60 * FIRST_BYTES + 12_345
PIECE = 128 << 10


def content(start: int, end: int) -> bytes:
    """Return bytes that tell where they are, every eighth of a MiB."""
    first = start // PIECE
    whole = b"".join(number.to_bytes(4, "little") * (PIECE // 4) for number in range(first, end // PIECE + 1))
    return whole[start - first * PIECE : end - first * PIECE]


class Service:
    """Gives ranges, and remembers which."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self._lock = threading.Lock()

    def get(self, place: S3Object, start: int, end: int) -> bytes:
        with self._lock:
            self.asked.append((start, end))
        return content(start, end)


def test_each_byte_is_asked_for_once_in_growing_ranges() -> None:
    service = Service()
    with S3Stream(PLACE, SIZE, service.get) as stream:
        for offset in range(0, SIZE, PIECE):
            assert stream.read(PIECE) == content(offset, min(offset + PIECE, SIZE))
        assert stream.read(1) == b""

    ranges = sorted(service.asked)
    assert ranges[0] == (0, FIRST_BYTES)
    assert [end for _, end in ranges] == [*(start for start, _ in ranges[1:]), SIZE]
    assert max(end - start for start, end in ranges) == RANGE_BYTES


def test_who_wants_a_header_gets_little_more() -> None:
    service = Service()
    with S3Stream(PLACE, SIZE, service.get) as stream:
        stream.prepare()
        stream.prepare()
        stream.read(2 * PIECE)

    assert service.asked == [(0, FIRST_BYTES)]


def test_memory_is_bounded_while_a_reader_is_slow() -> None:
    service = Service()
    with S3Stream(PLACE, 1 << 40, service.get) as stream:
        for _ in range(1000):
            stream.read(PIECE)
        kept = max(end for _, end in service.asked) - 1000 * PIECE

    assert kept <= (AHEAD + 1) * RANGE_BYTES


def test_many_streams_share_the_memory() -> None:
    service = Service()
    others = [S3Stream(PLACE, SIZE, service.get) for _ in range(200)]
    with S3Stream(PLACE, SIZE, service.get) as stream:
        stream.read(1)
        stream.readinto(bytearray(FIRST_BYTES))
        while stream.read(FIRST_BYTES):
            pass
    for each in others:
        each.close()

    assert max(end - start for start, end in service.asked) == FIRST_BYTES


@given(st.integers(0, 3 * FIRST_BYTES), st.lists(st.integers(1, 2 * FIRST_BYTES), max_size=6))
@settings(deadline=None)
def test_any_reads_return_what_is_there(size: int, reads: list[int]) -> None:
    position = 0
    with S3Stream(PLACE, size, Service().get) as stream:
        for length in reads:
            got = stream.read(length) or b""
            assert got == content(position, position + len(got))
            assert got or position == size
            position += len(got)


def test_what_went_wrong_reaches_whoever_reads() -> None:
    def get(place: S3Object, start: int, end: int) -> bytes:
        raise ObjectLostError("gone", expected="", fix="")

    with S3Stream(PLACE, SIZE, get) as stream, pytest.raises(ObjectLostError):
        stream.read(1)
