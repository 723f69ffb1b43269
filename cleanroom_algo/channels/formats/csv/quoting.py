"""Whether a place in a CSV object lies inside double quotes: seen from what is around it, else from all before it.

Two things make what follows a place tell: quotes that a field begins or ends with stand beside a comma or a line break,
and no row is longer than `MAX_ROW_BYTES`. Where neither decides, the quotes before the place are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

import numpy as np

from cleanroom_algo.channels.formats.blocks import MAX_ROW_BYTES
from cleanroom_algo.channels.objects import Object

_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_BREAK: Final = ord("\n")  # what the end of an object stands for
_QUOTES = re.compile(rb'"+')
_BESIDE: Final = frozenset(b",\r\n")
_BEFORE_BYTES: Final = 4096  # a longer run of quotes is left to counting
_STEP_BYTES: Final = 1 << 20  # of a buffer that the processor's cache holds: thrice the rate of larger ones
_ENOUGH: Final = 16  # signs that agree: a field may hold text that looks like one


def inside_quotes(obj: Object, offsets: Sequence[int]) -> list[bool]:
    """Return for each offset, in ascending order, whether it lies inside double quotes; whatever the others are.

    Read are a few kilobytes after each offset where fields are quoted, 64 MiB where there are no quotes, and never more
    than twice what lies before the last offset.

    Args:
        obj: in CSV; a quote inside of quotes is written twice (RFC 4180).
        offsets: in ascending order.
    """
    result: list[bool] = []
    counted, inside = 0, False
    with obj.path.open("rb", buffering=0) as file:
        for offset in offsets:
            found = _from_what_follows(file, obj.size, offset) if offset > _STEP_BYTES else None
            if found is None:
                inside ^= _quotes_between(file, counted, offset) % 2 == 1
                counted, found = offset, inside
            result.append(found)
    return result


def _quotes_between(file: BinaryIO, start: int, end: int) -> int:
    buffer = bytearray(_STEP_BYTES)
    data, equal = np.frombuffer(buffer, np.uint8), np.empty(_STEP_BYTES, np.bool_)
    quotes = 0
    file.seek(start)
    while start < end and (count := file.readinto(memoryview(buffer)[: end - start])):  # type: ignore[attr-defined]
        np.equal(data[:count], _QUOTE, out=equal[:count])
        quotes += int(np.count_nonzero(equal[:count]))
        start += count
    return quotes


def _from_what_follows(file: BinaryIO, size: int, offset: int) -> bool | None:
    """Return whether an offset is inside quotes; None where what follows does not tell."""
    start = max(offset - _BEFORE_BYTES, 0)
    file.seek(start)
    before = file.read(offset - start)
    in_run = len(before) - len(before.rstrip(b'"'))  # the offset may lie in the middle of a run
    if in_run == len(before):
        return None
    end = min(offset + (MAX_ROW_BYTES if offset > MAX_ROW_BYTES else _STEP_BYTES), size)
    quotes = seen = 0
    signs: set[bool] = set()  # whether what precedes the first run is inside, by each run that tells
    for left, length, right in _runs(file, before[-in_run - 1 :], end - offset, at_end=end == size):
        if left == _BACKSLASH:  # it may be Spark's way to write a quote, which then counts for nothing
            if signs:
                break
            return None
        outside, inside = _possible(left, length, right)
        if not (outside or inside):
            return None
        if outside != inside:
            signs.add(inside ^ (quotes % 2 == 1))
            seen += 1
        quotes += length
        if seen == _ENOUGH:
            break
    if signs:
        return None if len(signs) == 2 else signs.pop() ^ (in_run % 2 == 1)
    if end == size:  # outside of quotes
        return (quotes + in_run) % 2 == 1
    return False if quotes == 0 and end - offset == MAX_ROW_BYTES else None  # or a row would be longer than any may be


def _possible(left: int, length: int, right: int) -> tuple[bool, bool]:
    """Return whether what precedes a run of quotes may be outside of quotes, and whether it may be inside.

    Outside, the first quote of a run begins a field, and a run of even length is a whole field. Inside, quotes in pairs
    stand for one each, and a quote that is left ends the field.
    """
    begins, ends = left in _BESIDE, right in _BESIDE
    if length % 2:
        return begins, ends
    return begins and ends, True


def _runs(file: BinaryIO, data: bytes, left: int, *, at_end: bool) -> Iterator[tuple[int, int, int]]:
    """Yield the runs of quotes in `left` bytes: the byte before, the length, and the byte after.

    Args:
        file: read from where it is.
        data: what precedes, its first byte no part of a run.
        left: how many bytes to read.
        at_end: whether the file ends then.
    """
    while left > 0 and (step := file.read(min(left, _STEP_BYTES))):
        left -= len(step)
        data += step
        if _QUOTE not in step and data[-len(step) - 1] != _QUOTE:
            data = step[-1:]  # as in most objects
            continue
        kept = len(data) - 1
        for run in _QUOTES.finditer(data, 1):
            if run.end() < len(data):
                yield data[run.start() - 1], len(run[0]), data[run.end()]
            else:
                kept = run.start() - 1  # it may go on
        data = data[kept:]
    if at_end and len(data) > 1:
        yield data[0], len(data) - 1, _BREAK
