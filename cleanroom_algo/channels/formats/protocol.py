"""The protocol of the readers of formats."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from cleanroom_algo.channels.objects import Object, file_chunks
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.channels.splits import Split


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read of an object or a stream.

    Attributes:
        schema: the declared columns.
        batch_rows: the most rows of a table, at least 1.
        columns: those to return, in this order; all by default.
    """

    schema: Schema
    batch_rows: int
    columns: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """Bytes that can be read once, front to back.

    Attributes:
        chunks: the bytes in order.
        source: what to call the stream in messages.
        concatenated: whether several objects may follow each other with nothing between them.
        cancel: makes `chunks` end if it waits for its source; see `decode_prefetched`.
    """

    chunks: Iterator[bytes]
    source: str
    concatenated: bool = False
    cancel: Callable[[], None] | None = None


class FormatReader(Protocol):
    """The reader of one format. Adding a format takes a module with one of these and a line of `registry.READERS`."""

    @property
    def name(self) -> str:
        """What messages call the format."""

    @property
    def seeks(self) -> bool:
        """Whether a file is read out of order, unlike a stream."""

    def sniff(self, head: bytes) -> bool:
        """Return whether an object that begins like this is in the format; the readers before have returned False."""

    def split(self, obj: Object, schema: Schema, parts: int, own: range) -> tuple[Split, ...]:
        """Divide an object into parts that together contain each row once, and return the wanted ones."""

    def count(self, obj: Object, schema: Schema, split: Split | None) -> int:
        """Return the number of rows of an object or a part of it, if possible without parsing it."""

    def read(self, obj: Object, wanted: Wanted, split: Split | None) -> Iterator[pl.DataFrame]:
        """Yield the rows of an object or a part of it, in order."""

    def join(self, stream: Stream, wanted: Wanted) -> Iterator[pl.DataFrame]:
        """Yield the rows of a stream: of one object, or of several that are concatenated."""


Opener = Callable[[Stream], tuple[FormatReader, Stream]]
"""Returns the reader for the first bytes of a stream, and the stream to pass to it."""


class WrapperReader(ABC):
    """The reader of a format that wraps objects of other formats.

    Args:
        opened: returns the reader of a stream, and the stream to pass to it.
    """

    seeks = False

    def __init__(self, opened: Opener) -> None:
        self._opened = opened

    def split(self, obj: Object, schema: Schema, parts: int, own: range) -> tuple[Split, ...]:  # noqa: ARG002
        """Return the wanted parts: the middle one is the whole object, because it cannot be divided."""
        return tuple(Split(0, obj.size if part == parts // 2 else 0) for part in own)

    def read(self, obj: Object, wanted: Wanted, split: Split | None) -> Iterator[pl.DataFrame]:
        """Yield the rows of an object."""
        with file_stream(obj, split) as stream:
            yield from self.join(stream, wanted)

    @abstractmethod
    def join(self, stream: Stream, wanted: Wanted) -> Iterator[pl.DataFrame]:
        """Yield the rows of a stream."""


@contextlib.contextmanager
def file_stream(obj: Object, split: Split | None) -> Iterator[Stream]:
    """Open an object, or a part of it, as a stream."""
    start, end = (split.start, split.end) if split is not None else (0, obj.size)
    with contextlib.closing(file_chunks(obj, start, end)) as chunks:
        yield Stream(chunks, obj.name)
