"""gzip: members that each hold an object or a part of one."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import polars as pl

from cleanroom_algo.channels.formats.protocol import Stream, Wanted, WrapperReader, file_stream
from cleanroom_algo.channels.formats.text import TextReader
from cleanroom_algo.channels.objects import BLOCK_BYTES, Object
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.channels.splits import Split
from cleanroom_algo.errors import CorruptObjectError

GZIP_MAGIC: Final = b"\x1f\x8b"
MEMBER: Final = GZIP_MAGIC + b"\x08"  # and deflate, the only compression method
_NO_TEXT: Final = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_LEAST_TEXT: Final = 16


class GzipReader(WrapperReader):
    """The reader of objects that are compressed with gzip."""

    name = "gzip"

    def sniff(self, head: bytes) -> bool:
        """Return whether a gzip member begins."""
        return head.startswith(GZIP_MAGIC)

    def count(self, obj: Object, schema: Schema, split: Split | None) -> int:
        """Count the rows of an object by decompressing it."""
        with file_stream(obj, split) as stream:
            reader, plain = self._opened(_decompressed(stream))
            if isinstance(reader, TextReader):
                return reader.count_stream(plain, schema)
            return sum(frame.height for frame in reader.join(plain, Wanted(schema, 1 << 20, schema.names[:1])))

    def join(self, stream: Stream, wanted: Wanted) -> Iterator[pl.DataFrame]:
        """Yield the rows of a stream."""
        reader, plain = self._opened(_decompressed(stream))
        yield from reader.join(plain, wanted)


def gunzip(chunks: Iterator[bytes], *, source: str) -> Iterator[bytes]:
    """Decompress a stream of gzip members (RFC 1952), in pieces of at most 4 MiB whatever the ratio.

    Raises:
        CorruptObjectError: CR-CHN-005, the stream ends inside a member or is damaged.
    """
    member = zlib.decompressobj(wbits=31)
    started = False
    position = 0
    for chunk in chunks:
        data = chunk
        while data:
            if member.eof:
                # gzip itself allows padding with zeros after the last member.
                data = data.lstrip(b"\0")
                if not data:
                    break
                member, started = zlib.decompressobj(wbits=31), False
            try:
                out = member.decompress(data, BLOCK_BYTES)
            except zlib.error as error:
                raise _bad_gzip(source, f"damaged within the bytes {position} to {position + len(chunk)}") from error
            started = True
            data = member.unconsumed_tail or member.unused_data
            if out:
                yield out
        position += len(chunk)
    while out := member.decompress(b"", BLOCK_BYTES):  # output that the limit above held back
        yield out
    if started and not member.eof:
        raise _bad_gzip(source, f"it ends inside a member, after {position} bytes")


def plain_text(chunks: Iterator[bytes], *, source: str) -> Iterator[bytes]:
    """Yield the text of objects that are concatenated, of which some are compressed and some are not.

    No text can continue where a gzip member begins: the first bytes of a member are not valid UTF-8.

    Raises:
        CorruptObjectError: CR-CHN-005, the stream ends inside a member, a member is damaged, or something other than
            text follows it.
    """
    members = _Members(source)
    for chunk in chunks:
        yield from members.texts(chunk)
    yield from members.rest()


class _Members:
    """Separates members from the text between them."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._member: zlib._Decompress | None = None
        self._held = b""  # what may be the beginning of a member
        self._begins = False  # whether a member has ended just now

    def texts(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the text of the next chunk."""
        data, self._held = self._held + chunk, b""
        while data:
            text, data = self._plain(data) if self._member is None else self._inflated(self._member, data)
            if text:
                yield text

    def rest(self) -> Iterator[bytes]:
        """Yield what is left at the end."""
        while self._member is not None and (text := self._member.decompress(b"", BLOCK_BYTES)):
            yield text  # output that the limit held back
        if self._member is not None and not self._member.eof:
            raise _bad_gzip(self._source, "it ends inside a member")
        if self._held:
            yield self._held

    def _plain(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the text before a member, and what follows it."""
        if self._begins:
            data = data.lstrip(b"\0")  # gzip allows them after a member
            self._begins = not data
            if not MEMBER.startswith(data[:3]) and _NO_TEXT.search(data.partition(MEMBER)[0][:_LEAST_TEXT]):
                raise _bad_gzip(self._source, "what follows a member is neither another one nor text")
        start = data.find(MEMBER) if MEMBER[0] in data else -1
        if start >= 0:
            self._member = zlib.decompressobj(wbits=31)
            return data[:start], data[start:]
        kept = next((size for size in (2, 1) if data.endswith(MEMBER[:size])), 0)
        self._held = data[len(data) - kept :]
        return data[: len(data) - kept], b""

    def _inflated(self, member: zlib._Decompress, data: bytes) -> tuple[bytes, bytes]:
        """Return the text that a member yields next, and what is left of the data."""
        try:
            text = member.decompress(data, BLOCK_BYTES)
        except zlib.error as error:
            raise _bad_gzip(self._source, "a member is damaged") from error
        if not member.eof:
            return text, member.unconsumed_tail
        self._member, self._begins = None, True
        return text, member.unused_data


def _decompressed(stream: Stream) -> Stream:
    unpack = plain_text if stream.concatenated else gunzip
    return replace(stream, chunks=unpack(stream.chunks, source=stream.source))


def _bad_gzip(source: str, what: str) -> CorruptObjectError:
    return CorruptObjectError(
        f"{source}: the gzip data is truncated or damaged: {what}",
        expected="complete gzip members",
        fix="write the object again; a partial upload is the usual cause",
    )
