"""The footer of a Parquet file: how many rows, in which row groups, at which bytes.

polars reads the data, but it does not return the offsets of row groups. Dividing a file, copying a part of it and
separating the objects of a stream need them. The footer is a structure of Thrift (parquet-format, parquet.thrift); a
few of its fields are used.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO, Final

from cleanroom_algo.channels.formats.parquet.thrift import Fields, read_struct
from cleanroom_algo.errors import CorruptObjectError

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
    """The content of a footer.

    Attributes:
        rows: of the file.
        groups: its row groups, in order.
        start: the offset of the footer in the file.
        fields: all its fields (parquet.thrift: FileMetaData).
    """

    rows: int
    groups: tuple[RowGroup, ...]
    start: int
    fields: Fields

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, only the outermost of nested ones (FileMetaData.schema: a tree, parents first)."""
        elements = iter(self.fields[2])

        def names_below(parent: Fields) -> list[str]:
            names = []
            for _ in range(parent.get(5, 0)):  # SchemaElement.num_children
                child = next(elements)
                names.append(str(child[4], "utf-8"))
                names_below(child)
            return names

        return tuple(names_below(next(elements)))

    @property
    def follows_its_data(self) -> bool:
        """Whether the data that it describes ends where the footer begins, as in every complete file.

        It does not if the footer belongs to a file inside the data of another one: its offsets are then too small.
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
    """Return the length of the footer that the last 8 bytes of a file contain, or None if a file does not end so."""
    if len(tail) != TAIL_BYTES or tail[4:] != MAGIC:
        return None
    length = int(struct.unpack("<I", tail[:4])[0])
    return length if 0 < length <= MAX_FOOTER_BYTES else None


def parse_footer(data: bytes, start: int) -> Footer:
    """Return the footer that begins at the byte `start` of its file.

    Raises:
        NotParquetError: it is not a footer, or its row groups are not before it.
    """
    try:
        fields = read_struct(data)
        groups = tuple(_row_group(group) for group in fields[4])
        footer = Footer(int(fields[3]), groups, start, fields)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise NotParquetError("its footer cannot be parsed") from error
    if footer.rows != sum(group.rows for group in groups):
        raise NotParquetError("its footer contradicts itself")
    if any(not len(MAGIC) <= group.end <= start for group in groups if group.rows):
        raise NotParquetError("its footer points outside of it")
    return footer


def _row_group(fields: Fields) -> RowGroup:
    end = len(MAGIC)
    indexes_end = 0
    for chunk in fields[1]:
        meta = chunk[3]
        first, length = _pages(meta)
        end = max(end, (first or end) + length)
        # Offset index, column index and Bloom filter (ColumnChunk 4 to 7, ColumnMetaData 14 and 15) follow the pages.
        ranges = ((chunk, 4, 5), (chunk, 6, 7), (meta, 14, 15))
        reached = [held[at] + held[size] for held, at, size in ranges if held.get(at)]
        indexes_end = max(indexes_end, *reached, 0)
    return RowGroup(int(fields[3]), end, indexes_end)


def _pages(meta: Fields) -> tuple[int, int]:
    """Return where the pages of a column chunk begin (0: it has none), and the sum of their bytes.

    A dictionary page comes before the data pages (ColumnMetaData 9, 11, 7). A chunk without rows may have an offset of
    0 for the page that it does not have.
    """
    offsets = [meta[number] for number in (9, 11) if number in meta]
    return min(filter(None, offsets), default=0), meta[7]


def damaged(source: str, what: str) -> CorruptObjectError:
    """Return the error for a damaged Parquet object."""
    return CorruptObjectError(
        f"{source}: the Parquet file is damaged or truncated: {what}",
        expected="a complete Parquet file: PAR1, pages, footer, footer length, PAR1",
        fix="write the object again; a partial upload is the usual cause",
    )
