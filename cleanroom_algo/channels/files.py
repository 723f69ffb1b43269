"""The bytes of an object in File and FastFile mode: opened once, read front to back in large blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import Final

from cleanroom_algo.channels.formats.blocks import BLOCK_BYTES
from cleanroom_algo.channels.formats.registry import Format, sniff
from cleanroom_algo.channels.objects import Object
from cleanroom_algo.errors import ObjectUnreadableError

PROBE_BYTES: Final = 4096
"""What is read to tell a format, and Parquet from the rest before more is read in vain."""


def probe(obj: Object) -> tuple[Format, bytes]:
    """Return the format of an object and its first bytes: enough for a header."""
    with obj.path.open("rb", buffering=0) as file:
        head = file.read(PROBE_BYTES)
        if b"\n" not in head:
            head += file.read(BLOCK_BYTES)
    return sniff(head, source=obj.name), head


def lines_before(obj: Object, offset: int) -> int:
    """Return the number of line breaks before an offset; only asked for when an error needs a line number."""
    return sum(chunk.count(b"\n") for chunk in file_chunks(obj, 0, offset))


def file_chunks(obj: Object, start: int = 0, end: int | None = None, *, first: int = BLOCK_BYTES) -> Generator[bytes]:
    """Yield the bytes of an object from `start` to `end`, front to back in blocks of 4 MiB, the first one of `first`.

    Raises:
        ObjectUnreadableError: CR-CHN-003, it has fewer bytes than when it was listed.
    """
    left = (obj.size if end is None else end) - start
    with obj.path.open("rb", buffering=0) as file:
        if start:
            file.seek(start)
        while left > 0:
            chunk = file.read(min(left, first))
            first = BLOCK_BYTES
            if not chunk:
                raise ObjectUnreadableError(
                    f"{obj.name}: ends {left} bytes before the {obj.size} it had when it was listed",
                    expected="objects that do not change while the job runs",
                    fix="do not write to a channel; list the objects again in a new job",
                )
            left -= len(chunk)
            yield chunk


@contextlib.contextmanager
def readable(obj: Object) -> Iterator[None]:
    """Turn what the operating system says about an object into our words.

    Raises:
        ObjectUnreadableError: CR-CHN-003, the object cannot be opened or read.
    """
    try:
        yield
    except OSError as error:
        raise ObjectUnreadableError(
            f"{obj.name}: cannot be read ({error.strerror or type(error).__name__})",
            expected="an object that stays readable from its listing to the end of the job",
            fix="check that nothing removes or replaces files of a channel while the job runs",
        ) from error
