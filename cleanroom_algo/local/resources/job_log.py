"""The log of a job: the output of its containers, a JSON object per line."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from cleanroom_algo.contract.sizes import GB, format_bytes

PROGRESS_SECONDS: Final = 10.0
"""Between two lines about the progress of an inference job."""
MOST_BYTES: Final = GB
"""Maximum size of a log: a container must not fill the disk of this machine with its output."""

_FOLLOW_SECONDS: Final = 0.2  # between two checks of a growing log

log = logging.getLogger("cleanroom_algo.local")


class JobLog:
    """Writes a log from several threads; a listener of a job, and a context manager.

    If the disk is full, the log ends with its last complete line, and a message reports it; at its maximum size, it
    ends with a line that reports it. The job continues, because a container whose output is not read would block.

    Args:
        path: of the file; an existing file is replaced.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=0)
        self._lock = threading.Lock()
        self._progress_due = time.monotonic() + PROGRESS_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._file.close()

    def line(self, host: str, stream: str, text: str) -> None:
        """Write a line; no effect after the log has ended."""
        data = _encoded(host, stream, text)
        with self._lock:
            if self._file.closed:
                return
            if self._file.tell() + len(data) > MOST_BYTES:
                self._write(_encoded("job", "job", f"the log ends here, with {format_bytes(MOST_BYTES)}"))
                self._file.close()
            else:
                self._write(data)

    def progress(self, progress: Any) -> None:
        """Write the progress of the job from time to time."""
        with self._lock:
            if time.monotonic() < self._progress_due:
                return
            self._progress_due = time.monotonic() + PROGRESS_SECONDS
        self.line("job", "job", str(progress))

    def _write(self, data: bytes) -> None:
        whole = self._file.tell()
        try:
            written = 0
            while written < len(data):
                written += self._file.write(data[written:]) or 0
        except OSError as error:
            log.warning("%s ends before its job does: %s", self._path, error.strerror)
            self._file.truncate(whole)
            self._file.close()


def _encoded(host: str, stream: str, text: str) -> bytes:
    entry = {"time": datetime.now(UTC).isoformat(), "host": host, "stream": stream, "text": text}
    return json.dumps(entry).encode() + b"\n"


def read_lines(path: Path, *, last_bytes: int | None = None) -> list[dict[str, Any]]:
    """Return the lines of a job's log or usage file; the last line of a running job may be incomplete.

    Args:
        path: of the file.
        last_bytes: read at most this many bytes, and only the lines that begin within them.
    """
    with path.open("rb") as file:
        if last_bytes is not None and file.seek(0, os.SEEK_END) > last_bytes:
            file.seek(-last_bytes - 1, os.SEEK_END)
            file.readline()
        else:
            file.seek(0)
        return [json.loads(line) for line in file if line.endswith(b"\n")]


def follow_lines(path: Path, is_over: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """Yield the lines of a job's log when they are written, until the job is over.

    Args:
        path: of the file, which may not exist yet.
        is_over: whether the job has stopped writing.
    """
    part, at, over = b"", 0, False
    while not over:
        over = is_over()
        if path.exists():
            with path.open("rb") as file:
                file.seek(at)
                *whole, part = (part + file.read()).split(b"\n")
                at = file.tell()
            yield from map(json.loads, whole)
        if not over:
            time.sleep(_FOLLOW_SECONDS)
