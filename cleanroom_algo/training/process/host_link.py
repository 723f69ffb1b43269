"""What the launchers of a job tell each other: why a host failed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cleanroom_algo.data.exchange import Stream, connect
from cleanroom_algo.errors import RendezvousError
from cleanroom_algo.training.process.exchange_server import Cause

_CONNECT_SECONDS = 30.0  # for a first host that starts a little later
_ANSWER_SECONDS = 5.0


class HostLink:
    """One launcher's connection to the server on the first host, which it makes in a thread.

    Args:
        address: host and port of the server.
        host: the name of this host.
        first_host: the name of the host with the server.
        act: is called in the thread when another host has failed: an engine may not notice it for minutes.
    """

    def __init__(self, address: tuple[str, int], *, host: str, first_host: str, act: Callable[[], None]) -> None:
        self._address = address
        self._host = host
        self._first_host = first_host
        self._act = act
        self._stream: Stream | None = None
        self._cause: Cause | None = None
        self._connected = threading.Event()
        self._told = threading.Event()
        self._left = False
        threading.Thread(target=self._listen, name="hosts", daemon=True).start()

    def publish(self, cause: Cause) -> Cause:
        """Tell the other hosts why this one failed; return the first cause that any host told."""
        self._connected.wait(_CONNECT_SECONDS)
        if self._stream is None or not self._stream.write(cause.to_frame()):
            return cause
        return self.cause(_ANSWER_SECONDS) or cause

    def cause(self, seconds: float) -> Cause | None:
        """Return the first cause that a host told, waiting for it; None where none comes."""
        self._told.wait(seconds)
        return self._cause

    def leave(self) -> None:
        """Say that this host has nothing more to tell."""
        self._left = True
        if self._stream is not None:
            self._stream.write(b"")
            self._stream.close()

    def _listen(self) -> None:
        try:
            self._stream = connect(self._address, {"host": self._host})
        except RendezvousError:
            return  # the ranks say it
        finally:
            self._connected.set()
        frame = self._stream.read()
        if self._left or frame == b"":  # the first host has ended well
            return
        self._cause = Cause.lost(self._first_host) if frame is None else Cause.from_frame(frame)
        self._told.set()
        self._act()
