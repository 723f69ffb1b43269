"""Cuts streams of bytes into blocks of whole rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from cleanroom_algo.errors import RowTooLongError

BOM: Final = b"\xef\xbb\xbf"
MAX_ROW_BYTES: Final = 64 << 20
"""The longest row: it limits how many bytes are kept while the end of a row is not found."""
_FEW_BYTES: Final = 4096  # up to here, numpy's fixed cost is larger than its gain
_BLANK_LINE: Final = re.compile(rb"^\r?\n", re.MULTILINE)


class Quoting(Protocol):
    """Finds the line breaks that end a row: those inside double quotes do not."""

    def last_end(self, data: bytes) -> tuple[int, bytes, bool]:
        """Return the offset after the last line break that ends a row (0: none), a state, and whether it is regular.

        The state is a few bytes that stand for the data: bytes that follow the data are read as if they followed the
        state. The last value is whether the data may be part of a `RegularBlock`.
        """


class RegularBlock(bytes):
    """A block of CSV in which each quote encloses a field or is escaped, so that later steps need not check it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RowRules:
    """Where rows end.

    Attributes:
        quoting: of fields that may hold line breaks; None where every line break ends a row.
        blank_rows: whether a blank line is a row (a null, in a CSV table of one column). Otherwise, blank lines at the
            end are ignored, and the decoder refuses other blank lines.
    """

    quoting: Quoting | None
    blank_rows: bool


def cut_rows(chunks: Iterator[bytes], *, source: str, rules: RowRules) -> Iterator[bytes]:
    """Cut a stream into blocks of whole rows; none is empty.

    Args:
        chunks: the bytes in order.
        source: what to call the stream in messages.
        rules: where rows end.

    Raises:
        RowTooLongError: CR-CHN-006, no row ended within 64 MiB.
    """
    held: list[bytes] = []
    held_bytes = position = 0
    state, regular = b"", True  # of the rules' quoting, after the held bytes; and whether these may be a regular block
    for chunk in chunks:
        end, state, as_before = _last_end(rules.quoting, state, chunk)
        regular &= as_before
        if not end:
            held.append(chunk)
            held_bytes += len(chunk)
            if held_bytes > MAX_ROW_BYTES:
                raise row_too_long(source, position)
            continue
        # A slice of bytes would be copied twice.
        data = b"".join([*held, memoryview(chunk)[:end]]) if held or end < len(chunk) else chunk
        kept = len(data) if rules.blank_rows else without_blank_end(data)
        if kept:
            yield RegularBlock(data[:kept]) if regular and b'"' in data and rules.quoting else data[:kept]
            position += kept
        regular = as_before
        rest = chunk[end:]
        held = [part for part in (data[kept:], rest) if part]  # if nothing is held, the next part is not copied
        held_bytes = sum(map(len, held))
    rest = b"".join(held)
    if rest if rules.blank_rows else rest.strip(b"\r\n"):
        yield rest


def _last_end(quoting: Quoting | None, state: bytes, chunk: bytes) -> tuple[int, bytes, bool]:
    """Return the result of `Quoting.last_end` for a chunk that follows a state."""
    if quoting is None:
        return chunk.rfind(b"\n") + 1, b"", True
    if b'"' in state or b'"' in chunk:
        end, after, regular = quoting.last_end(state + chunk if state else chunk)
        return max(end - len(state), 0), after, regular
    return chunk.rfind(b"\n") + 1, b"" if chunk.endswith((b",", b"\n")) else b"x", True


def without_blank_end(data: bytes) -> int:
    """Return the length of the data without the blank lines at its end; the last row keeps its own line break."""
    if not data.endswith((b"\n\n", b"\n\r\n")) and data not in (b"\n", b"\r\n"):
        return len(data)
    length = len(data.rstrip(b"\r\n"))
    return data.index(b"\n", length) + 1 if length else 0


def without_blank_lines(data: bytes) -> bytes:
    """Return the data without its blank lines."""
    if b"\n\n" in data or b"\n\r\n" in data or data.startswith((b"\n", b"\r\n")):
        return _BLANK_LINE.sub(b"", data)
    return data


def without_marks(block: bytes) -> bytes:
    """Return a block without the byte order marks at the beginning of lines: objects may have begun there."""
    if BOM[0] not in block or BOM not in block:
        return block
    return block.removeprefix(BOM).replace(b"\n" + BOM, b"\n")


def head_of(chunks: Iterator[bytes], size: int) -> bytes:
    """Return the first bytes of a stream: whole chunks, at least `size` bytes unless the stream is shorter."""
    parts: list[bytes] = []
    while sum(map(len, parts)) < size and (chunk := next(chunks, None)) is not None:
        parts.append(chunk)
    return b"".join(parts)


def count_byte(data: bytes, byte: bytes) -> int:
    """Return how often a byte occurs; five times as fast as `bytes.count` alone (measured on 5 MB)."""
    if len(data) <= _FEW_BYTES:
        return data.count(byte)
    if byte not in data:  # faster than counting
        return 0
    return int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == byte[0]))


def row_too_long(source: str, offset: int) -> RowTooLongError:
    """Return the error for a row that has no end and begins at `offset` or later."""
    return RowTooLongError(
        f"{source}: no row ends within {MAX_ROW_BYTES >> 20} MiB after its first {offset} bytes",
        expected="rows that end in a line break outside of quotes",
        fix="look for a double quote that is never closed; declare the dialect: Schema.of(..., csv=Csv(dialect=...))",
    )
