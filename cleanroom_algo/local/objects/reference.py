"""One object of a channel, on disk or in S3."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from cleanroom_algo.channels.formats.parquet.footer import MAGIC as PARQUET_MAGIC
from cleanroom_algo.local.objects.s3 import S3Object
from cleanroom_algo.local.objects.stream import FIRST_BYTES, S3Stream


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One object of a channel: its key below the channel's prefix, its location, and its size in bytes."""

    key: str
    place: Path | S3Object
    size: int

    @property
    def state(self) -> str:
        """A text that changes with the content: the ETag in S3, or the time of the last change of a file."""
        return str(self.place.stat().st_mtime_ns) if isinstance(self.place, Path) else self.place.etag

    def open(self) -> io.BufferedReader:
        """Return the object as a file, to be read from front to back.

        Raises:
            OSError: it is a file that cannot be opened. For objects in S3, see the errors of `get_range`.
        """
        if isinstance(self.place, Path):
            return self.place.open("rb")
        return io.BufferedReader(S3Stream(self.place, self.size), FIRST_BYTES)


def is_parquet(reference: ObjectRef) -> bool:
    """Whether an object is a Parquet file, by its first bytes."""
    with reference.open() as file:
        return file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
