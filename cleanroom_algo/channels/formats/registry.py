"""The supported formats, recognized by their first bytes and never by a file name.

Clean Rooms ML does not document the names of a channel's objects, so an extension proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Final

import polars as pl

from cleanroom_algo.channels.formats.blocks import head_of
from cleanroom_algo.channels.formats.csv.reader import CsvReader
from cleanroom_algo.channels.formats.gzip import MEMBER, GzipReader, plain_text
from cleanroom_algo.channels.formats.json_lines import JsonLinesReader
from cleanroom_algo.channels.formats.parquet.reader import ParquetReader
from cleanroom_algo.channels.formats.protocol import FormatReader, Stream, Wanted
from cleanroom_algo.channels.formats.recordio import RecordIoReader
from cleanroom_algo.channels.formats.text import TextReader
from cleanroom_algo.errors import UnknownFormatError

LEAST_BYTES: Final = 16
"""Enough bytes to recognize a format. More are not read: the writer of a stream may be slow, and in a file the bytes
of a later object must not count."""
_UTF_16: Final = "UTF-16 text"
_ZIP: Final = "a ZIP archive or an Excel workbook (.xlsx)"
_FOREIGN: Final = {
    b"PARE": "encrypted Parquet",
    b"ARROW1": "Arrow IPC",
    b"ORC": "ORC",
    b"Obj\x01": "Avro",
    b"PK\x03\x04": _ZIP,
    **{b"BZh%d1AY&SY" % level: "bzip2" for level in range(1, 10)},
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\xff\x06\x00\x00sNaPpY": "Snappy",
    b"\xfd7zXZ": "xz",
    b"\xff\xfe": _UTF_16,
    b"\xfe\xff": _UTF_16,
}
_FIXES: Final = {
    _UTF_16: "write the text in UTF-8",
    _ZIP: "save a workbook as CSV in UTF-8; decompress an archive",
    **dict.fromkeys(
        ("bzip2", "Zstandard", "Snappy", "xz"),
        "decompress it, or compress it with gzip, object by object",
    ),
}
_NO_TEXT: Final = re.compile(rb"[\x00-\x08\x0e-\x1f]")


def find_reader(head: bytes, *, source: str) -> FormatReader:
    """Return the reader of an object by its first bytes; an empty object is CSV without rows.

    Args:
        head: the first bytes of the object, at least `LEAST_BYTES` unless it is shorter.
        source: what to call the object in messages.

    Raises:
        UnknownFormatError: CR-CHN-004, a format that is not read, or bytes that are not text.
    """
    head = head[:LEAST_BYTES]
    for magic, name in _FOREIGN.items():
        # Text may begin with the same letters; the other formats soon have bytes that plain text does not have.
        if head.startswith(magic) and (not magic.isalnum() or _NO_TEXT.search(head)):
            raise _unknown(source, name)
    for reader in READERS:
        if reader.sniff(head):
            return reader
    raise _unknown(source, None if any(head[::2]) and any(head[1::2]) else _UTF_16)


def open_stream(stream: Stream) -> tuple[FormatReader, Stream]:
    """Return the reader for the first bytes of a stream, and the stream to pass to it."""
    head = head_of(stream.chunks, LEAST_BYTES)
    chunks: Iterator[bytes] = chain([head], stream.chunks)
    # The first object may be so short that its first bytes contain the beginning of a compressed one.
    first = (head[:LEAST_BYTES].partition(MEMBER)[0] or head) if stream.concatenated else head
    reader = find_reader(first, source=stream.source)
    if stream.concatenated and isinstance(reader, TextReader):
        chunks = plain_text(chunks, source=stream.source)
    return reader, replace(stream, chunks=chunks)


def read_stream(stream: Stream, wanted: Wanted) -> Iterator[pl.DataFrame]:
    """Yield the rows of a stream, in order; raises what `read_object` raises."""
    reader, stream = open_stream(stream)
    yield from reader.join(stream, wanted)


READERS: Final[tuple[FormatReader, ...]] = (
    ParquetReader(),
    GzipReader(open_stream),
    RecordIoReader(open_stream),
    JsonLinesReader(),
    CsvReader(),
)
"""In the order in which they are tried: text in no other format is CSV."""


def _unknown(source: str, name: str | None) -> UnknownFormatError:
    what = "it is neither text nor one of the binary formats" if name is None else f"it looks like {name}"
    return UnknownFormatError(
        f"{source}: its format is not supported: {what}",
        expected="CSV, Parquet, JSON Lines or RecordIO, plain or compressed with gzip; text in UTF-8",
        fix=_FIXES.get(name or "", "choose resultFormat CSV or PARQUET for the ML input channel"),
    )
