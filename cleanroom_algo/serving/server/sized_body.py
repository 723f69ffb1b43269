"""A body of known length, read from its socket without the copies that gunicorn makes."""

from __future__ import annotations

import io
import socket
import time
from typing import TYPE_CHECKING

from cleanroom_algo.serving.scoring.body import READ_BYTES, READ_SECONDS

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class SizedBody(io.RawIOBase):
    """A body of known length, read directly from its socket.

    gunicorn's own reader copies each byte about six times, which takes a tenth of the time of a request of 5 MB
    (measured). This one waits for all wanted bytes without the interpreter lock: taking the lock again and again would
    interrupt a prediction in another thread.

    Args:
        connection: its socket, which waits for `READ_SECONDS` at most (SO_RCVTIMEO).
        begun: the bytes of it that have already been read, at most `length`.
        length: of the whole body, in bytes.
    """

    def __init__(self, connection: socket.socket, begun: bytes, length: int) -> None:
        self._connection = connection
        self._begun = memoryview(begun)
        self._left = length - len(begun)

    @property
    def is_read(self) -> bool:
        """Whether all of it has been read from the socket."""
        return self._left == 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read into a buffer; return the number of bytes: fewer than fit if the client ends or is slow.

        Raises:
            TimeoutError: less than `READ_BYTES` came in `READ_SECONDS`.
        """
        into = memoryview(buffer)[: len(self._begun) or self._left]
        if self._begun:
            into[:] = self._begun[: len(into)]
            self._begun = self._begun[len(into) :]
            return len(into)
        start = time.monotonic()
        try:
            count = self._connection.recv_into(into, len(into), socket.MSG_WAITALL)
        except BlockingIOError:
            raise TimeoutError from None
        if count < min(len(into), READ_BYTES) and time.monotonic() - start > 0.99 * READ_SECONDS:
            raise TimeoutError  # the client may have ended at the last moment, which is also too late
        self._left -= count
        return count
