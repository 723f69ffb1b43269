"""The footer of a Parquet file: how many rows, in which row groups, at which bytes.

polars reads the data; it does not tell where row groups lie, which dividing a file and telling the objects of a stream
apart need. The footer is Thrift's compact protocol (parquet-format, parquet.thrift): a small reader of any such
structure, and the few fields that are used.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

MAGIC: Final = b"PAR1"
TAIL_BYTES: Final = 8
"""The footer's length (uint32, little-endian) and the magic end a file."""
MAX_FOOTER_BYTES: Final = 256 << 20


class NotParquetError(ValueError):
    """The bytes are not a Parquet footer."""


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group: its rows, the end of its pages in the file, and the end of its indexes and filters (0: none)."""

    rows: int
    end: int
    indexes_end: int


@dataclass(frozen=True, slots=True)
class Footer:
    """What a footer says: rows of the file, its row groups in order, and the byte of the file where it lies itself."""

    rows: int
    groups: tuple[RowGroup, ...]
    start: int

    @property
    def follows_its_data(self) -> bool:
        """Whether what it describes reaches up to it, as in every whole file.

        It does not where the footer is that of a file inside the data of another one: the offsets are then too small.
        """
        return self.start == max((max(g.end, g.indexes_end) for g in self.groups), default=len(MAGIC))


def read_footer(file: BinaryIO, size: int) -> Footer:
    """Return the footer of a file of `size` bytes; two reads near its end.

    Raises:
        NotParquetError: there is no footer, or it does not fit the file.
    """
    if size < len(MAGIC) + TAIL_BYTES:
        raise NotParquetError("shorter than a Parquet file can be")
    file.seek(size - TAIL_BYTES)
    length = footer_length(file.read(TAIL_BYTES))
    if length is None or length > size - len(MAGIC) - TAIL_BYTES:
        raise NotParquetError("no footer at its end")
    file.seek(size - TAIL_BYTES - length)
    return parse_footer(file.read(length), size - TAIL_BYTES - length)


def footer_length(tail: bytes) -> int | None:
    """Return the length that the last 8 bytes of a file announce, or None where they are no tail."""
    if len(tail) != TAIL_BYTES or tail[4:] != MAGIC:
        return None
    length = int(struct.unpack("<I", tail[:4])[0])
    return length if 0 < length <= MAX_FOOTER_BYTES else None


def parse_footer(data: bytes, start: int) -> Footer:
    """Return the footer that lies at the byte `start` of its file.

    Raises:
        NotParquetError: not a footer, or its row groups do not lie before it.
    """
    reader = _Compact(data)
    try:
        meta = reader.struct()
        groups = tuple(_row_group(group) for group in meta[4])
        footer = Footer(int(meta[3]), groups, start)
    except (KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
        raise NotParquetError("its footer cannot be parsed") from error
    if reader.position != len(data) or footer.rows != sum(group.rows for group in groups):
        raise NotParquetError("its footer contradicts itself")
    if any(not len(MAGIC) <= group.end <= start for group in groups if group.rows):
        raise NotParquetError("its footer points outside of it")
    return footer


def _row_group(fields: dict[int, Any]) -> RowGroup:
    end = len(MAGIC)
    indexes_end = 0
    for chunk in fields[1]:
        meta = chunk[3]
        # The dictionary page, where there is one, comes before the data pages (ColumnMetaData 9, 11, 7).
        # A chunk without rows may have an offset of 0 for the page that it lacks.
        first = min((offset for offset in (meta[9], meta.get(11)) if offset), default=end)
        end = max(end, first + meta[7])
        # Offset index, column index and Bloom filter (ColumnChunk 4 to 7, ColumnMetaData 14 and 15) follow the pages.
        ranges = ((chunk.get(4), chunk.get(5)), (chunk.get(6), chunk.get(7)), (meta.get(14), meta.get(15)))
        indexes_end = max(indexes_end, *(offset + length for offset, length in ranges if offset and length), 0)
    return RowGroup(int(fields[3]), end, indexes_end)


class _Compact:
    """Thrift's compact protocol, as far as a structure without sets and maps goes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while kind := self._byte():
            number = number + (kind >> 4) if kind >> 4 else self._zigzag()
            fields[number] = self._value(kind & 15, in_list=False)
        return fields

    def _value(self, kind: int, *, in_list: bool) -> Any:
        if kind in (1, 2):
            return self._byte() == 1 if in_list else kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 7:
            return struct.unpack("<d", self._bytes(8))[0]
        if kind == 8:
            return self._bytes(self._varint())
        if kind == 9:
            head = self._byte()
            count = self._varint() if head >> 4 == 15 else head >> 4
            if count > len(self.data):
                raise ValueError("longer than its data")
            return [self._value(head & 15, in_list=True) for _ in range(count)]
        if kind == 12:
            return self.struct()
        raise ValueError(f"type {kind} does not occur in Parquet's metadata")

    def _byte(self) -> int:
        self.position += 1
        return self.data[self.position - 1]

    def _bytes(self, count: int) -> bytes:
        if self.position + count > len(self.data):
            raise ValueError("longer than its data")
        self.position += count
        return self.data[self.position - count : self.position]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 70:
                raise ValueError("not a number")
        return value | byte << shift

    def _zigzag(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
