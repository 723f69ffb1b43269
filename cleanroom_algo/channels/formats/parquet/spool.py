"""Parquet on the temporary disk: objects of a stream, separated by their footers, and parts of files that may stream.

A Parquet file begins and ends with the magic PAR1, so two adjacent files meet at `PAR1PAR1`. Pages may contain these
bytes, too: a place is a boundary only if the bytes before it end in a footer that can be parsed, whose rows add up and
whose data ends exactly there. One object at a time is written to an unnamed temporary file, because the footer comes
last.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from cleanroom_algo.channels.formats.parquet.footer import MAGIC, Footer, NotParquetError, damaged, read_footer
from cleanroom_algo.channels.objects import BLOCK_BYTES
from cleanroom_algo.contract.sizes import DISK_FULL, format_bytes
from cleanroom_algo.errors import SpoolLimitError

MAX_SPOOL_BYTES: Final = 32 << 30
"""The largest object: the objects of a channel are far smaller, and most hosts have more disk space than this."""
_JOINT: Final = MAGIC + MAGIC
_DESCRIPTORS: Final = Path("/proc/self/fd")


def spool_objects(
    chunks: Iterator[bytes], *, source: str, max_bytes: int = MAX_SPOOL_BYTES
) -> Iterator[tuple[str, Path]]:
    """Yield each Parquet object of a stream as its name and a file that exists until the next one is requested.

    Args:
        chunks: the bytes of one object or of several concatenated ones.
        source: what to call the stream in messages.
        max_bytes: the largest object.

    Disk: the largest object and one chunk. Memory: one chunk and the footer.

    Raises:
        CorruptObjectError: CR-CHN-005, the stream ends in an object without a footer.
        SpoolLimitError: CR-CHN-010, an object is larger than `max_bytes`, or the disk is full.
    """
    carried = b""
    number = 0
    ended = False
    while not ended or carried:
        name = f"{source}[object {number}]"
        with _spool_file() as (file, path):
            carried, ended = _spool_one(file, carried, chunks, name, max_bytes)
            if file.tell():
                yield name, path
        number += 1


@contextmanager
def spool_groups(path: Path, footer: Footer, groups: slice | None, *, source: str) -> Iterator[Path]:
    """Copy row groups of a file, and its end, to a sparse file at the same offsets; the gaps use no disk space.

    Args:
        path: of the file.
        footer: of the file.
        groups: the row groups, all by default.
        source: what to call it in messages.

    Yields:
        A file that exists as long as the context.

    Raises:
        SpoolLimitError: CR-CHN-010, the disk is full.
    """
    ends = [len(MAGIC), *(group.end for group in footer.groups)]
    first, last, _ = (groups or slice(None)).indices(len(footer.groups))
    with path.open("rb", buffering=0) as original, _spool_file() as (file, copy):
        for start, end in ((0, len(MAGIC)), (ends[first], ends[max(last, first)]), (max(ends), None)):
            original.seek(start)
            file.seek(start)
            left = os.fstat(original.fileno()).st_size - start if end is None else end - start
            while left > 0 and (chunk := original.read(min(left, BLOCK_BYTES))):
                _write(file, chunk, source)
                left -= len(chunk)
        yield copy


def _spool_one(
    file: BinaryIO, carried: bytes, chunks: Iterator[bytes], name: str, max_bytes: int
) -> tuple[bytes, bool]:
    """Write one object; return the bytes after it, and whether the stream has ended."""
    written = 0
    tail = b""
    chunk: bytes | None = carried or next(chunks, None)
    while chunk is not None:
        window = tail + chunk
        offset = window.find(_JOINT)
        while offset >= 0:
            end = written - len(tail) + offset + len(MAGIC)
            _write(file, chunk[: max(0, end - written)], name)
            if _is_object(file, end):
                file.truncate(end)
                file.seek(end)
                return window[offset + len(MAGIC) :], False
            # Not a boundary: remove the bytes of this chunk again.
            file.truncate(written)
            file.seek(written)
            offset = window.find(_JOINT, offset + 1)
        _write(file, chunk, name)
        written += len(chunk)
        if written > max_bytes:
            raise _over_limit(name, f"is larger than {format_bytes(max_bytes)}")
        tail = window[-(len(_JOINT) - 1) :]
        chunk = next(chunks, None)
    if written and not _is_object(file, written):
        raise damaged(name, f"the stream ends after {written} bytes of it without a footer")
    file.seek(0, os.SEEK_END)
    return b"", True


def _is_object(file: BinaryIO, size: int) -> bool:
    file.flush()
    try:
        return read_footer(file, size).follows_its_data
    except NotParquetError:
        return False


def _write(file: BinaryIO, data: bytes, name: str) -> None:
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        if error.errno in DISK_FULL:
            raise _over_limit(name, "does not fit on the disk of the temporary directory") from error
        raise


def _over_limit(name: str, what: str) -> SpoolLimitError:
    return SpoolLimitError(
        f"{name}: {what}",
        expected="Parquet objects that each fit on the temporary disk, because the footer at their end is read first",
        fix="use more and smaller objects, File or FastFile mode, or resultFormat CSV; or set TMPDIR to a larger disk",
    )


@contextmanager
def _spool_file() -> Iterator[tuple[BinaryIO, Path]]:
    """Open a temporary file that has a path while it is open and, where possible, no name that could remain."""
    if _DESCRIPTORS.is_dir():
        with tempfile.TemporaryFile() as unnamed:
            yield unnamed, _DESCRIPTORS / str(unnamed.fileno())
    else:
        with tempfile.NamedTemporaryFile(suffix=".parquet") as named:
            yield named, Path(named.name)  # type: ignore[misc]
