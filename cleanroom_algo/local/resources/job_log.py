"""The log of a job: what its containers wrote, a JSON object a line."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

PROGRESS_SECONDS: Final = 10.0
"""Between two lines that say how far an inference job is."""

log = logging.getLogger("cleanroom_algo.local")


class JobLog:
    """Written from several threads; a listener of a job, and a context manager.

    Where the disk takes no more, the log ends with its last whole line, and that is told. The job goes on: whoever
    stops reading what a container writes brings the container to a stand.

    Args:
        path: of the file; one that is there is replaced.
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
        """Write a line; without effect once the log has ended."""
        entry = {"time": datetime.now(UTC).isoformat(), "host": host, "stream": stream, "text": text}
        with self._lock:
            if not self._file.closed:
                self._write(json.dumps(entry).encode() + b"\n")

    def progress(self, progress: Any) -> None:
        """Write how far the job is, now and then."""
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


def read_lines(path: Path, *, last_bytes: int | None = None) -> list[dict[str, Any]]:
    """Return the lines of a job's log, or of what its hosts took; the last of a running job may be half written.

    Args:
        path: of the file.
        last_bytes: read no more than these, and only the lines that begin within them.
    """
    with path.open("rb") as file:
        if last_bytes is not None and file.seek(0, os.SEEK_END) > last_bytes:
            file.seek(-last_bytes - 1, os.SEEK_END)
            file.readline()
        else:
            file.seek(0)
        return [json.loads(line) for line in file if line.endswith(b"\n")]
