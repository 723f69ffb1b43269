"""Pipe mode: the named pipe of a channel and an epoch, read by one process in a way that signals can interrupt.

The platform makes one pipe per channel and epoch, `<channel>_0`, `<channel>_1`, ...; it may not exist yet when the
container looks for it, and closing it early ends the epoch (SageMaker developer guide, "How Amazon SageMaker provides
training information", Pipe mode). A pipe does not mark the end of data: a writer that dies looks like one that has
finished. Some formats detect the difference: gzip, RecordIO, Parquet and a truncated row are errors.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import stat
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import polars as pl

from cleanroom_algo.channels.formats.protocol import Stream, Wanted
from cleanroom_algo.channels.formats.registry import read_stream
from cleanroom_algo.channels.objects import BLOCK_BYTES
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.errors import NotFilesError, PipeInUseError, PipeTimeoutError

PIPE_BYTES: Final = 1 << 20
"""The most that Linux grants any process (pipe-max-size); with the default of 64 KiB, reading is half as fast."""
_LOOK_SECONDS: Final = 0.02
"""Between two checks for a pipe that does not exist yet: there is nothing to wait for."""
_GATHER_SECONDS: Final = 0.02
"""How long a block that is not full waits for more bytes: the rows of a slow writer are passed on, not kept."""


def read_pipe(
    pipe: Pipe, schema: Schema, *, batch_rows: int, columns: Sequence[str] | None = None
) -> Generator[pl.DataFrame]:
    """Yield the rows that an open pipe delivers, as tables of at most `batch_rows` rows.

    The objects of the channel follow each other with nothing between them; CSV, JSON Lines, RecordIO (of objects),
    gzip and Parquet are understood.

    Memory: as `modes.file` states it for a file. Disk: the largest object of a channel in Parquet.

    Args:
        pipe: the pipe, which the caller closes; closing it early ends the epoch for the writer.
        schema: the declared columns.
        batch_rows: the most rows of a table, at least 1.
        columns: the columns to return; all by default.

    Raises:
        PipeTimeoutError: CR-CHN-007; JoinedRowsError: CR-CHN-009; SpoolLimitError: CR-CHN-010; and what `read_object`
            raises.
    """
    with contextlib.closing(pipe.chunks()) as chunks:
        stream = Stream(chunks, pipe.name, concatenated=True, cancel=pipe.cancel)
        yield from read_stream(stream, Wanted(schema, batch_rows, columns))


class Pipe:
    """The pipe of one channel and epoch, open for reading; a context manager.

    Attributes:
        name: `<channel>_<epoch>`, as the pipe is called.
    """

    def __init__(self, channel: Channel, epoch: int, *, timeout: float = 600.0) -> None:
        """Wait until the pipe exists and open it; it may have no writer yet.

        Args:
            channel: in Pipe mode.
            epoch: 0, 1, ...
            timeout: seconds that the pipe may take to appear, and may deliver nothing.

        Raises:
            PipeTimeoutError: CR-CHN-007, no such pipe appeared, or the platform has gone on to a later one.
            PipeInUseError: CR-CHN-008, another reader has it.
            NotFilesError: CR-CHN-002, the name belongs to a file or directory that is not a pipe.
        """
        self.name = channel.fifo(epoch).name
        self._timeout = timeout
        self._seen_data = False
        self._process = os.getpid()
        self._wake_lock = threading.RLock()  # a signal handler may run while this thread holds it
        self._wake_reader, self._wake_writer = os.pipe()
        try:
            self._descriptor = self._open(channel.fifo(epoch))
        except BaseException:
            self._close_wake()
            raise
        self._events = select.poll()
        self._events.register(self._descriptor, select.POLLIN)
        self._events.register(self._wake_reader, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the pipe; a writer that has not finished gets EPIPE, which ends the epoch."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._close_wake()

    def cancel(self) -> None:
        """End the reading now, as at the end of data; can be called from a signal handler or another thread."""
        with self._wake_lock, contextlib.suppress(OSError):
            os.write(self._wake_writer, b"x")

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer with the available bytes, waiting for at least one; return 0 at the end of data.

        Raises:
            PipeTimeoutError: CR-CHN-007, the pipe delivered nothing for too long.
            PipeInUseError: CR-CHN-008, called in a process forked from the one that opened the pipe.
        """
        if os.getpid() != self._process:
            raise _in_use(self.name, "it was opened by the process that this one was forked from")
        while True:
            count = self._read_now(buffer)
            if count is not None:
                return count
            if not self._wait(self._timeout):
                raise self._silent()

    def chunks(self, size: int = BLOCK_BYTES) -> Generator[bytes]:
        """Yield the bytes up to the end of data, in blocks of up to `size` bytes; raises what `readinto` raises."""
        buffer = memoryview(bytearray(size))
        ended = False
        while not ended:
            filled = self.readinto(buffer)
            ended = filled == 0
            while not ended and filled < size:
                count = self._read_now(buffer[filled:])
                if count is None and not self._wait(_GATHER_SECONDS):
                    break
                ended = count == 0
                filled += count or 0
            if filled:
                yield bytes(buffer[:filled])

    def _read_now(self, buffer: memoryview) -> int | None:
        """Return the number of bytes read, 0 at the end of data, None if there is nothing yet."""
        try:
            count = os.readv(self._descriptor, [buffer])
        except BlockingIOError:
            self._seen_data = True  # there is a writer
            return None
        if count:
            self._seen_data = True
        elif not self._seen_data and not self._writer_left():
            return None  # no writer has opened the other end yet
        return count

    def _writer_left(self) -> bool:
        """Whether a writer came and left without writing; Linux reports a hang-up only after there was a writer."""
        return any(event & select.POLLHUP for fd, event in self._events.poll(0) if fd == self._descriptor)

    def _wait(self, seconds: float) -> bool:
        """Wait until there is something to read, a writer has left, or `cancel` was called; False at a timeout."""
        events = dict(self._events.poll(seconds * 1000))
        if self._wake_reader in events:
            os.close(self._descriptor)
            self._descriptor = os.open(os.devnull, os.O_RDONLY)  # from now on, reading returns the end of data
            self._seen_data = True
        return bool(events)

    def _open(self, path: Path) -> int:
        deadline = time.monotonic() + self._timeout
        passed = False
        while True:
            try:
                # Non-blocking: a blocking open waits for a writer and is restarted after every signal.
                descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                break
            except FileNotFoundError:
                if passed or time.monotonic() > deadline:
                    raise self._absent(passed=passed) from None
                passed = _has_later(path)  # if both were made just now, the next check finds this one
                if passed:
                    continue
                if select.select([self._wake_reader], [], [], _LOOK_SECONDS)[0]:
                    return os.open(os.devnull, os.O_RDONLY)
        try:
            self._claim(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _claim(self, descriptor: int, path: Path) -> None:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            raise NotFilesError(
                f"{path} is not a pipe",
                expected="a named pipe per epoch in Pipe mode",
                fix="read the channel's files, or start the job in Pipe mode",
            )
        try:
            # The kernel releases the lock when the process ends, in whatever way.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise _in_use(self.name, "another reader of this container has it open") from None
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # systems that cannot lock pipes do without a lock
                raise
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):  # this user's limit is lower: reading is slower, but correct
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def _absent(self, *, passed: bool) -> PipeTimeoutError:
        why = "is over: there is a later one" if passed else f"did not appear within {self._timeout:g} s"
        return PipeTimeoutError(
            f"the pipe {self.name} {why}",
            expected="one pipe per channel and epoch, which the platform creates when the previous one has ended",
            fix="read each epoch to its end or close it, in order and by one dataset; check the channel's name",
        )

    def _silent(self) -> PipeTimeoutError:
        what = "went silent" if self._seen_data else "has no writer"
        return PipeTimeoutError(
            f"the pipe {self.name} {what} for {self._timeout:g} s",
            expected="a writer that sends the channel's objects and closes the pipe",
            fix="check that this epoch was not read before, and that the writer of the pipe is running",
        )

    def _close_wake(self) -> None:
        with self._wake_lock:
            os.close(self._wake_reader)
            os.close(self._wake_writer)
            self._wake_reader = self._wake_writer = -1  # the descriptors may soon belong to other files


def _has_later(path: Path) -> bool:
    """Whether there is a pipe of a later epoch of the channel, as if another dataset has read this one."""
    channel, _, epoch = path.name.rpartition("_")
    others = (other.name.removeprefix(f"{channel}_") for other in path.parent.glob(f"{channel}_*"))
    return any(other.isdecimal() and int(other) > int(epoch) for other in others)


def _in_use(name: str, why: str) -> PipeInUseError:
    return PipeInUseError(
        f"the pipe {name} cannot be read here: {why}",
        expected="one reader per pipe; each of two readers would get only some of the bytes",
        fix="read a channel in one process and pass complete batches to the others; do not use DataLoader workers "
        "on a pipe",
    )
