"""How ranks exchange small values without torch: through a server, which runs beside the first rank.

All ranks connect to one server, which gathers what each sends and answers with all of it. Values are pickled, as
torch's `all_gather_object` does it; the server only passes the bytes on.
"""

from __future__ import annotations

import contextlib
import json
import math
import pickle
import socket
import struct
import time
from typing import Any, BinaryIO, TypeVar, cast

from cleanroom_algo.errors import RankLostError, RendezvousError

MEETING_SECONDS = 600.0  # instances of one job may start minutes apart
_ATTEMPT_SECONDS = 10.0
_RETRY_SECONDS = 0.1
_LENGTH = struct.Struct(">Q")

T = TypeVar("T")


class Stream:
    """Frames of bytes over a connection.

    Args:
        connection: it is closed with the stream.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._file = cast("BinaryIO", connection.makefile("rwb"))

    def write(self, *frames: bytes) -> bool:
        """Send frames; return False where the other side has gone."""
        try:
            for frame in frames:
                self._file.write(_LENGTH.pack(len(frame)))
                self._file.write(frame)
            self._file.flush()
        except (OSError, ValueError):  # ValueError: closed by another thread
            return False
        return True

    def read(self, limit: float = math.inf) -> bytes | None:
        """Return the next frame; None where the other side has gone, or sends one of more bytes than the limit."""
        try:
            head = self._file.read(_LENGTH.size)
            if len(head) < _LENGTH.size:
                return None
            (length,) = _LENGTH.unpack(head)
            if length > limit:
                return None
            frame = self._file.read(length)
        except (OSError, ValueError):  # ValueError: closed by another thread
            return None
        return frame if len(frame) == length else None

    def close(self) -> None:
        """End the connection; a thread that reads gets None."""
        with contextlib.suppress(OSError):  # the other side has closed it
            self._connection.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._file.close()
        self._connection.close()


def connect(address: tuple[str, int], greeting: dict[str, Any]) -> Stream:
    """Return a connection to the server, waiting for it to start.

    Args:
        address: host and port.
        greeting: says who connects.

    Raises:
        RendezvousError: CR-TRN-004. There was no server for 600 s.
    """
    deadline = time.monotonic() + MEETING_SECONDS
    while True:
        with contextlib.suppress(OSError):
            connection = socket.create_connection(address, timeout=_ATTEMPT_SECONDS)
            # Without a server, a local connection to a port may meet itself there.
            if connection.getsockname() != connection.getpeername():
                connection.settimeout(None)
                stream = Stream(connection)
                if stream.write(json.dumps(greeting).encode()):
                    return stream
            connection.close()
        if time.monotonic() > deadline:
            raise not_met(f"the first host did not answer at {address[0]}:{address[1]}")
        time.sleep(_RETRY_SECONDS)


def not_met(what: str) -> RendezvousError:
    """Return the error of hosts that do not meet."""
    return RendezvousError(
        what,
        expected=f"every host of resourceconfig.json within {MEETING_SECONDS:g} s, on a free port",
        fix="find the host that failed earlier, or set another address in CLEANROOM_ALGO_RENDEZVOUS",
    )


def rank_lost() -> RankLostError:
    """Return the error of a rank whose peers are gone."""
    return RankLostError(
        "another rank ended while this rank was waiting for it, and no host reported a reason",
        expected="ranks that run until the end",
        fix="read the log of the other hosts; one of them ended, was stopped, or ran out of memory",
    )


class Exchange:
    """One rank's connection to the server.

    Args:
        address: host and port of the server.
        rank: of this process.

    Raises:
        RendezvousError: CR-TRN-004.
    """

    def __init__(self, address: tuple[str, int], rank: int) -> None:
        self._stream = connect(address, {"rank": rank})
        self._met = False

    def gather(self, value: T, size: int) -> list[T]:
        """Return every rank's value, in the order of the ranks; a collective, which all ranks must run.

        Args:
            value: of this rank.
            size: the number of ranks.

        Raises:
            RankLostError: CR-TRN-003. Another rank has ended.
            RendezvousError: CR-TRN-004. Another rank did not start within 600 s.
        """
        self._stream.write(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
        values = []
        for _ in range(size):
            frame = self._stream.read()
            if not frame:  # the value could not be sent, or a rank is lost
                raise rank_lost() if self._met else not_met("not every host came to the meeting point")
            values.append(pickle.loads(frame))  # noqa: S301 (of the other ranks of this job)
        self._met = True
        return values

    def close(self) -> None:
        """End the connection; ranks that wait for this one learn that it has gone."""
        self._stream.close()
