"""Where the ranks and the launchers of a job meet: a server in the first host's launcher.

Ranks send values, and get those of all ranks. Launchers send why their host failed, and get the first such cause.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from cleanroom_algo.data.exchange import MEETING_SECONDS, Stream
from cleanroom_algo.errors import RankLostError

_LINGER_SECONDS = 10.0
_GREETING_BYTES = 4096  # what connects need not be of this job


class Cause(NamedTuple):
    """Why a host failed.

    Attributes:
        text: of the failure file.
        exit_code: of its processes.
    """

    text: str
    exit_code: int

    def to_frame(self) -> bytes:
        """Return what launchers and the server send each other."""
        return json.dumps(self).encode()

    @classmethod
    def from_frame(cls, frame: bytes) -> Self:
        """Return what was sent."""
        return cls(*json.loads(frame))

    @classmethod
    def lost(cls, host: str) -> Self:
        """Return the cause of a host that disappeared without a message."""
        error = RankLostError(
            f"the connection to host {host} was lost",
            expected="hosts that run until the end of the job",
            fix="read the log of this host; it was stopped, or ran out of memory",
        )
        return cls(str(error), error.exit_code)


class ExchangeServer:
    """The server.

    Args:
        host: the address to listen on; empty: all.
        port: to listen on; 0: any that is free.
        ranks: of the job.

    Attributes:
        port: where it listens.

    Raises:
        OSError: the port cannot be opened.
    """

    def __init__(self, host: str, port: int, *, ranks: int) -> None:
        self._socket = socket.create_server((host, port), backlog=1024)
        self.port: int = self._socket.getsockname()[1]
        self._ranks = ranks
        self._changed = threading.Condition()
        self._rounds: dict[int, dict[int, bytes]] = {}
        self._is_rank_lost = False
        self._launchers: list[Stream] = []
        self._cause: Cause | None = None

    def start(self) -> None:
        """Serve, in threads."""
        self._thread(self._accept)

    def close(self, *, failed: bool) -> None:
        """End: the launchers of other hosts learn that this host has ended well, or have time to read the cause."""
        with self._changed:
            if failed:
                self._changed.wait_for(lambda: not self._launchers, _LINGER_SECONDS)
            for stream in self._launchers:
                stream.write(b"")
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # or a thread would wait in accept forever
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed
                return
            self._thread(self._serve, Stream(connection))

    @staticmethod
    def _thread(target: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=target, args=arguments, name="exchange", daemon=True).start()

    def _serve(self, stream: Stream) -> None:
        greeting = json.loads(stream.read(_GREETING_BYTES) or b"{}")
        if "rank" in greeting:
            self._serve_rank(stream, greeting["rank"])
        elif "host" in greeting:
            self._serve_launcher(stream, greeting["host"])
        stream.close()

    def _serve_rank(self, stream: Stream, rank: int) -> None:
        number = 0
        while (value := stream.read()) is not None:
            answer = self._gathered(number, rank, value)
            if not stream.write(*answer):
                break
            number += 1
        with self._changed:
            self._is_rank_lost = True
            self._changed.notify_all()

    def _gathered(self, number: int, rank: int, value: bytes) -> list[bytes]:
        """Return every rank's value of a round, or an empty one where a rank has gone or never came."""
        with self._changed:
            values = self._rounds.setdefault(number, {})
            self._rounds.pop(number - 2, None)  # who sends for a round has read the round before
            values[rank] = value
            self._changed.notify_all()
            seconds = None if number else MEETING_SECONDS
            self._changed.wait_for(lambda: len(values) == self._ranks or self._is_rank_lost, seconds)
            return [values[each] for each in range(self._ranks)] if len(values) == self._ranks else [b""]

    def _serve_launcher(self, stream: Stream, host: str) -> None:
        with self._changed:
            self._launchers.append(stream)
            if self._cause is not None:
                stream.write(self._cause.to_frame())
        while frame := stream.read():
            self._tell(Cause.from_frame(frame))
        if frame is None:
            self._tell(Cause.lost(host))
        with self._changed:
            self._launchers.remove(stream)
            self._changed.notify_all()

    def _tell(self, cause: Cause) -> None:
        """Tell all launchers the first cause."""
        with self._changed:
            if self._cause is None:
                self._cause = cause
                for stream in self._launchers:
                    stream.write(cause.to_frame())
