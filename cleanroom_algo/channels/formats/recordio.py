"""RecordIO: the framing of Pipe mode's RecordWrapperType, and of MXNet's data files.

A record is a little-endian uint32 magic 0xCED7230A, a uint32 that holds a flag (3 bits) and the length (29 bits), the
payload, and zeros up to a multiple of 4. Flag 0 is a whole record; 1, 2 and 3 are its first, middle and last parts,
joined by the magic, because the writer (dmlc-core, recordio.h) splits a payload where the aligned magic occurs in it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cleanroom_algo.channels.formats.protocol import Stream, Wanted, WrapperReader
from cleanroom_algo.channels.objects import Object
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.channels.splits import Split
from cleanroom_algo.errors import CorruptObjectError

MAGIC: Final = 0xCED7230A
MAGIC_BYTES: Final = struct.pack("<I", MAGIC)
MAX_PAYLOAD: Final = (1 << 29) - 1
"""The longest part; a record may have several parts."""
_HEADER: Final = struct.Struct("<II")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


def pack(payload: bytes) -> bytes:
    """Return a payload as one record, split where the aligned magic occurs in it."""
    starts = [0]
    offset = payload.find(MAGIC_BYTES)
    while offset >= 0:
        if offset % 4 == 0:
            starts.append(offset + 4)
            offset += 4
        else:
            offset += 1
        offset = payload.find(MAGIC_BYTES, offset)
    ends = [start - 4 for start in starts[1:]] + [len(payload)]
    flags = [_WHOLE] if len(starts) == 1 else [_FIRST, *[_MIDDLE] * (len(starts) - 2), _LAST]
    parts = []
    for flag, start, end in zip(flags, starts, ends, strict=True):
        if end - start > MAX_PAYLOAD:
            raise ValueError(f"a part of {end - start} bytes is longer than {MAX_PAYLOAD}")
        parts += [_HEADER.pack(MAGIC, flag << 29 | (end - start)), payload[start:end], b"\0" * (-(end - start) % 4)]
    return b"".join(parts)


class RecordReader:
    """Splits a stream into records.

    Memory: the longest record and one chunk.
    """

    def __init__(self, chunks: Iterator[bytes], *, source: str) -> None:
        """Read records from chunks of any size; `source` names the stream in messages."""
        self._chunks = chunks
        self._source = source
        self._held = b""
        self._at = 0  # into _held
        self._before = 0  # bytes of the stream before _held
        self._next = b""  # a chunk that contains the end of the record that began in _held
        self._next_at = 0
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        """Yield the payloads.

        Raises:
            CorruptObjectError: CR-CHN-005, no magic where a record should start, a record that ends early, or
                parts out of order.
        """
        while (part := self._part()) is not None:
            yield self._record(*part)

    def fixed(self) -> Iterator[NDArray[np.uint8]]:
        """Yield runs of whole records of one length as arrays with the axes (record, byte).

        Many records of one length are taken at a time; a new array begins where the length changes. Arrays are views of
        the bytes read: copy what you keep. Raises what `__iter__` raises.
        """
        while self._fill(_HEADER.size):
            flag, length = self._header()
            padded = _HEADER.size + length + -length % 4
            self._fill(padded)
            count = self._run(padded)
            if flag != _WHOLE or not count:
                part = self._part()
                assert part is not None
                yield np.frombuffer(self._record(*part), dtype=np.uint8).reshape(1, -1)
                continue
            records = np.frombuffer(self._held, np.uint8, count * padded, self._at).reshape(count, padded)
            self._at += count * padded
            yield records[:, _HEADER.size : _HEADER.size + length]

    def _run(self, padded: int) -> int:
        """Return how many whole records with the same header follow each other."""
        count = (len(self._held) - self._at) // padded
        if count < 1:
            return 0
        records = np.frombuffer(self._held, np.uint8, count * padded, self._at).reshape(count, padded)
        headers = np.ascontiguousarray(records[:, : _HEADER.size]).view(np.uint64)[:, 0]
        differs = headers != headers[0]
        return int(differs.argmax()) if differs.any() else count

    def _record(self, flag: int, payload: bytes) -> bytes:
        """Return the record that starts with the given part."""
        if flag == _WHOLE:
            return payload
        if flag != _FIRST:
            raise self._damaged(f"part flag {flag} without a first part")
        parts = [payload]
        while True:
            part = self._part()
            if part is None:
                raise self._damaged("the stream ends between the parts of a record")
            if part[0] not in (_MIDDLE, _LAST):
                raise self._damaged(f"part flag {part[0]} inside a record")
            parts.append(part[1])
            if part[0] == _LAST:
                return MAGIC_BYTES.join(parts)

    def _part(self) -> tuple[int, bytes] | None:
        if not self._fill(_HEADER.size):
            return None
        flag, length = self._header()
        padded = _HEADER.size + length + -length % 4
        if not self._fill(padded):
            raise self._damaged(f"a record of {length} bytes ends after {len(self._held) - self._at - _HEADER.size}")
        start = self._at + _HEADER.size
        self._at += padded
        return flag, self._held[start : start + length]

    def _header(self) -> tuple[int, int]:
        magic, word = _HEADER.unpack_from(self._held, self._at)
        if magic != MAGIC:
            raise self._damaged("no record starts here: the magic is missing")
        return word >> 29, word & MAX_PAYLOAD

    def _fill(self, size: int) -> bool:
        """Hold at least `size` bytes; False at the end of the stream.

        Raises:
            CorruptObjectError: the stream ends inside a header.
        """
        if len(self._held) == self._at:
            self._turn()
        if len(self._held) - self._at >= size:
            return True
        parts = [self._held[self._at :]]
        held = len(parts[0])
        self._before += self._at
        while held < size and not self._ended:
            if not self._next:
                self._next, self._next_at = next(self._chunks, b""), 0
                self._ended = not self._next
            # Only the bytes that complete the record are copied; the rest of the chunk is used in place.
            part = self._next[self._next_at : self._next_at + size - held]
            parts.append(part)
            held += len(part)
            self._next_at += len(part)
            if self._next_at == len(self._next):
                self._next = b""
        self._held, self._at = b"".join(parts), 0
        if self._ended and 0 < held < _HEADER.size:
            raise self._damaged("the stream ends inside a record's header")
        return held >= size

    def _turn(self) -> None:
        """Continue with the chunk into which the last record reached, or with a new one."""
        chunk, start = (self._next, self._next_at) if self._next else (next(self._chunks, b""), 0)
        self._before += self._at - start
        self._held, self._at, self._next = chunk, start, b""
        self._ended = self._ended or not chunk

    def _damaged(self, what: str) -> CorruptObjectError:
        return CorruptObjectError(
            f"{self._source}: the RecordIO data is damaged at byte {self._before + self._at}: {what}",
            expected="whole records, each starting with the magic 0xCED7230A",
            fix="write the data again; check RecordWrapperType, which frames whole objects",
        )


class RecordIoReader(WrapperReader):
    """RecordIO whose records each hold one object of another format.

    Memory: the longest record and its table.
    """

    name = "RecordIO"

    def sniff(self, head: bytes) -> bool:
        """Return whether a record begins."""
        return head.startswith(MAGIC_BYTES)

    def count(self, obj: Object, schema: Schema, split: Split | None) -> int:
        """Count the rows of an object by reading it."""
        return sum(frame.height for frame in self.read(obj, Wanted(schema, 1 << 20, schema.names[:1]), split))

    def join(self, stream: Stream, wanted: Wanted) -> Iterator[pl.DataFrame]:
        """Yield the rows of all records of a stream."""
        for number, record in enumerate(RecordReader(stream.chunks, source=stream.source)):
            reader, plain = self._opened(Stream(iter([record]), f"{stream.source}[record {number}]"))
            yield from reader.join(plain, wanted)
