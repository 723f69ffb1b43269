"""Reading from a connection: with an end in time, and without the copies that gunicorn makes."""

from __future__ import annotations

import io
import socket
import threading
import time
from typing import TYPE_CHECKING

from cleanroom_algo.serving.scoring.body import READ_BYTES, READ_SECONDS

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Deadlines:
    """Ends the reading from sockets whose clients are too slow, whatever a thread is waiting for there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: dict[int, tuple[float, socket.socket]] = {}
        self._expired: set[int] = set()

    def arm(self, connection: socket.socket, seconds: float) -> int:
        """Start a deadline; return what `disarm` takes."""
        entry = (time.monotonic() + seconds, connection)
        with self._lock:
            self._armed[id(entry)] = entry
        return id(entry)

    def disarm(self, token: int) -> bool:
        """End a deadline; return whether it had passed."""
        with self._lock:
            self._armed.pop(token, None)
            passed = token in self._expired
            self._expired.discard(token)
            return passed

    def check(self) -> None:
        """Shut the sockets whose deadlines have passed: a blocked read of theirs returns as if the client had gone."""
        now = time.monotonic()
        with self._lock:
            late = [token for token, (deadline, _) in self._armed.items() if deadline < now]
            for token in late:
                _, connection = self._armed.pop(token)
                self._expired.add(token)
                try:
                    connection.shutdown(socket.SHUT_RD)
                except OSError:
                    continue  # the connection has ended by itself


class BodyOfLength(io.RawIOBase):
    """A body of known length, straight from its socket.

    gunicorn's own reader copies each byte about six times: a tenth of the time of a request of 5 MB (measured). This
    one waits for all that is wanted without the interpreter: a prediction in another thread would stop each time that
    it took that back.

    Args:
        connection: its socket, which waits for `READ_SECONDS` at most (SO_RCVTIMEO).
        begun: what has been read of it already, at most `length` bytes.
        length: of the whole body, in bytes.

    Attributes:
        left: bytes that have not been read from the socket.
    """

    def __init__(self, connection: socket.socket, begun: bytes, length: int) -> None:
        self._connection = connection
        self._begun = memoryview(begun)
        self.left = length - len(begun)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read into a buffer; return how many bytes, fewer than it holds where the client ends or is slow.

        Raises:
            TimeoutError: less than `READ_BYTES` came in `READ_SECONDS`.
        """
        into = memoryview(buffer)[: len(self._begun) or self.left]
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
            raise TimeoutError  # the client may have ended in the last moment: too late as well
        self.left -= count
        return count
