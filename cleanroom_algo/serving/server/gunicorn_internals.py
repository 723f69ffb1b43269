"""All uses of gunicorn beyond its documented interface: of version 27, to which `pyproject.toml` pins it.

`tests/serving/server/test_gunicorn_internals.py` fails if another version has changed it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import re
import selectors
import signal
import socket
import struct
import time
from collections import deque
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from gunicorn.arbiter import Arbiter
from gunicorn.http import errors
from gunicorn.http.body import LengthReader
from gunicorn.workers.gthread import TConn, ThreadWorker

from cleanroom_algo.contract.processes import how_ended
from cleanroom_algo.errors import MalformedRequestError
from cleanroom_algo.serving.scoring.body import READ_SECONDS
from cleanroom_algo.serving.server.connection_counts import Place
from cleanroom_algo.serving.server.refusal import refusal
from cleanroom_algo.serving.server.sized_body import SizedBody

log = logging.getLogger("cleanroom_algo.serving")

HEADER_SECONDS = 10.0  # for the head of a request; a job's client sends it in one packet
HEAD_BYTES = 1 << 16  # of a request's head; gunicorn refuses longer ones
SEND_SECONDS = 60  # without any progress while sending an answer
LEAVE_SECONDS = 0.05  # a connection is left for this time to a worker with fewer; a busy worker may need it
MOVE_SECONDS = 0.05  # between two checks whether a connection should move to a worker with fewer
YIELD_SECONDS = 0.0003  # between two checks whether it has been accepted
STOPPING_SECONDS = 1.0  # for a request that is arriving, or a client that has not closed, while the worker ends
LINGER_SECONDS = 5.0  # for the rest of a refused body: many clients read only after sending everything
LINGER_BYTES = 256 << 20  # maximum of that rest: a body that is too large is rarely far above the limit
END_SIGNALS: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
LINGERING = 64  # connections at once whose rest is read and dropped: with more, the oldest one is closed

_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_BARE_LINE_FEED: Final = re.compile(rb"(?<!\r)\n")
_STATUSES: Final[dict[type[errors.ParseException], HTTPStatus]] = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
}


class Master(Arbiter):  # type: ignore[misc]
    """gunicorn's master; it also knows how its workers ended when `child_exit` is called, and does not reload.

    Attributes:
        ending: whether it is ending its workers.
    """

    ending = False

    def spawn_worker(self) -> Any:
        """Fork a worker, as gunicorn does; signals that end it wait until it has its own handlers.

        A new process still has the handlers of the master, which would lose them. The master sends SIGTERM only once
        and then waits for the whole graceful timeout.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, END_SIGNALS)

    def stop(self, graceful: bool = True) -> None:
        """End the workers, as gunicorn does."""
        self.ending = True
        super().stop(graceful)

    def reap_workers(self) -> None:
        """Record how workers have ended, and then handle them as gunicorn does."""
        for pid, worker in self.WORKERS.items():
            if hasattr(os, "waitid"):  # missing on some versions of macOS
                ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is not None:
                    killed = ended.si_code != os.CLD_EXITED
                    worker.how_ended = how_ended(-ended.si_status if killed else ended.si_status)
        super().reap_workers()

    def handle_hup(self) -> None:
        """End as after SIGTERM: the model cannot be reloaded, and a closed terminal must not leave a server behind."""
        self.handle_term()


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker; no client can block a thread or the poller forever.

    Attributes:
        place: of this process among the others; the server sets it before the fork.
        how_ended: as part of a sentence; the master sets it when the process has ended.
    """

    place: Place
    how_ended = "ended"

    def init_process(self) -> None:
        """Prepare the process, as gunicorn does."""
        self._lingering: deque[_Connection] = deque()
        self._leave_until = 0.0
        self._look_at = 0.0
        super().init_process()

    def init_signals(self) -> None:
        """Set the handlers, as gunicorn does, and receive the signals that have waited since the fork."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, END_SIGNALS)

    # --- connections: each should be with the process that has the fewest ---------------------------------------------

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection and wait for its first request in the poller.

        gunicorn gives a thread to each new connection, and to each request whose head has begun: a few idle or slow
        clients would delay /ping beyond its limit of 2 s (SageMaker developer guide).
        """
        if self._leaves_it_to_another():
            time.sleep(YIELD_SECONDS)  # the poller returns to it as long as no worker has accepted it
            return
        try:
            client, address = listener.accept()
        except OSError:
            return  # another worker was faster, or the client has closed it
        self.nr_conns += 1
        self.place.publish(self.nr_conns)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", READ_SECONDS, 0))
        connection = _Connection(self, client, address, listener.getsockname())
        self._await_head(connection)
        self.poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, connection))

    def _leaves_it_to_another(self) -> bool:
        """Whether another worker should accept a new connection because it has fewer.

        A new connection wakes all workers. The connections of a job stay where they begin: if three of four are with
        one worker, the other worker is idle half of the time.
        """
        fewest = self.place.fewest_elsewhere()
        if fewest is None or self.nr_conns <= fewest:
            return False
        now = time.monotonic()
        if now > self._leave_until + LEAVE_SECONDS:
            self._leave_until = now + LEAVE_SECONDS
        return now < self._leave_until

    def _moves_to_another(self) -> bool:
        """Whether to close a connection after its answer, so that the client opens one to a worker with fewer.

        A job opens its connections as soon as one worker serves; workers that are still warming up would stay idle.
        Only one connection moves at a time, or all that see the same difference would move back and forth.
        """
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + MOVE_SECONDS
        fewest = self.place.fewest_elsewhere()
        return fewest is not None and self.nr_conns > fewest + 1

    # --- heads: a thread takes over only when the head is complete ----------------------------------------------------

    def on_client_socket_readable(self, conn: _Connection, client: socket.socket) -> None:
        """Read the first bytes of a further request on a connection."""
        self.keepalived_conns.remove(conn)
        self._await_head(conn)
        self.poller.modify(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))
        self.on_pending_socket_readable(conn, client)

    def on_pending_socket_readable(self, conn: _Connection, client: socket.socket) -> None:
        """Collect the head of a request; a thread takes over when it is complete."""
        piece = _receive(client, HEAD_BYTES)
        if piece is None:
            return
        searched = max(0, len(conn.received) - 3)
        conn.received += piece
        whole = _HEAD_END.search(conn.received, searched)
        if piece and not whole and len(conn.received) < HEAD_BYTES:
            return
        self.poller.unregister(client)
        self.pending_conns.remove(conn)
        if piece:
            conn.data_ready = True
            self.enqueue_req(conn)
        else:
            self.nr_conns -= 1
            conn.close()

    def _await_head(self, conn: _Connection) -> None:
        conn.received = b""
        conn.timeout = time.monotonic() + HEADER_SECONDS
        self.pending_conns.append(conn)

    def murder_pending(self) -> None:
        """Close connections whose requests or ends do not arrive in time, which is shorter while the worker ends."""
        now = time.monotonic()
        if not self.alive:
            for conn in (*self.pending_conns, *self._lingering):
                conn.timeout = min(conn.timeout, now + STOPPING_SECONDS)
        super().murder_pending()
        while self._lingering and self._lingering[0].timeout < now:
            self._end(self._lingering[0])
        self.place.publish(self.nr_conns)  # the last step of each turn of the loop

    # --- requests ----------------------------------------------------------------------------------------------------

    def handle(self, conn: _Connection) -> Any:
        """Handle a request whose head has arrived."""
        conn.init()
        conn.parser.unreader.unread(conn.received)
        conn.timed.settimeout(HEADER_SECONDS)
        conn.received = b""
        begun = conn.parser.unreader.buf.getvalue()
        end = _HEAD_END.search(begun)
        if end and _BARE_LINE_FEED.search(begun, 0, end.end()):
            self.handle_error(None, conn.sock, conn.client, errors.InvalidHeader("bare line feed"))
            return False
        return super().handle(conn)

    def handle_request(self, req: Any, conn: _Connection) -> Any:
        """Answer a request; close the connection if the body was not read completely or broke off."""
        source: SizedBody | _ChunkedBody
        if isinstance(req.body.reader, LengthReader):
            length = req.body.reader.length
            arrived = conn.parser.unreader.take_buffered()
            conn.parser.unreader.unread(arrived[length:])  # part of the next request
            source = SizedBody(conn.sock, arrived[:length], length)
            req.body = io.BufferedReader(source)
        else:
            req.body = source = _ChunkedBody(req.body, conn.timed)
        should_close = req.should_close
        req.should_close = lambda: should_close() or not source.is_read
        if self._moves_to_another():
            req.force_close()
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer and log input that is not a request; only the kind of fault is named.

        The bytes after a body that is longer than declared are read as the next request, so they may be rows. gunicorn
        would quote them in its answer and log.
        """
        if not isinstance(exc, errors.ParseException):
            super().handle_error(req, client, addr, exc)
            return
        error = MalformedRequestError(
            f"the client sent something that is not a valid HTTP/1.1 request ({type(exc).__name__})",
            expected="CRLF line ends, a correct Content-Length or chunks, at most 64 headers of 8 kB, a path of 4 kB",
            fix="correct the client; if a body is longer than declared, its rest is read as the next request",
        )
        answer = refusal(error)
        answer.status_code = _STATUSES.get(type(exc), HTTPStatus.BAD_REQUEST)
        log.warning("answered %d\n%s", answer.status_code, error)
        head = (
            f"HTTP/1.1 {answer.status}\r\n{answer.headers}".removesuffix("\r\n\r\n") + "\r\nConnection: close\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            client.send(head.encode("latin-1") + answer.data, socket.MSG_DONTWAIT)

    # --- ends --------------------------------------------------------------------------------------------------------

    def linger(self, conn: _Connection) -> None:
        """Close a connection after its client has closed it, or after some seconds; drop what still arrives.

        A socket that is closed with unread bytes is reset, and the client loses its answer (RFC 9112, section 9.6).
        gunicorn waits for this in its poller: 20 such clients delayed /ping by 40 s.
        """
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drop, conn))
        except OSError:
            conn.sock.close()
            return
        self.nr_conns += 1
        conn.timeout = time.monotonic() + LINGER_SECONDS
        self._lingering.append(conn)
        if len(self._lingering) > LINGERING:
            self._end(self._lingering[0])

    def _drop(self, conn: _Connection, client: socket.socket) -> None:
        piece = _receive(client, HEAD_BYTES)
        if piece is None:
            return
        conn.dropped += len(piece)
        if not piece or conn.dropped > LINGER_BYTES:
            self._end(conn)

    def _end(self, conn: _Connection) -> None:
        self._lingering.remove(conn)
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()


class _Connection(TConn):  # type: ignore[misc]
    """A connection of a worker.

    Attributes:
        received: the bytes of an incomplete head.
        timed: reads from the socket until a deadline.
        dropped: the number of bytes that came after its end.
    """

    def __init__(self, worker: Worker, client: socket.socket, address: Any, server: Any) -> None:
        super().__init__(worker.cfg, client, address, server)
        self._worker = worker
        self.received = b""
        self.dropped = 0
        self.timed = TimedSocket(client)

    def init(self) -> None:
        """Prepare for reading, as gunicorn does, with deadlines."""
        super().init()
        self.parser.unreader.sock = self.timed

    def close(self, graceful: bool = False) -> None:
        """Close it, or wait for the client to close it."""
        if graceful:
            self._worker.linger(self)
        else:
            super().close()


class TimedSocket:
    """Reads from a socket until a deadline, even if only a few bytes come at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._deadline = math.inf

    def settimeout(self, seconds: float | None) -> None:
        """Set the deadline, counted from now; None for no deadline."""
        self._deadline = math.inf if seconds is None else time.monotonic() + seconds

    def gettimeout(self) -> None:
        """Return None: a single read has no limit."""

    def recv(self, size: int) -> bytes:
        """Return the first bytes that arrive.

        Raises:
            TimeoutError: the deadline has passed.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(None if math.isinf(left) else left)
        try:
            return self._connection.recv(size)
        finally:
            self._connection.setblocking(True)


class _ChunkedBody:
    """A chunked body, as gunicorn reads it, with a deadline for each read; its errors are plain OSErrors."""

    def __init__(self, body: Any, timed: TimedSocket) -> None:
        self._body = body
        self._timed = timed
        self._is_read = False

    @property
    def is_read(self) -> bool:
        """Whether all of it has been read."""
        return self._is_read

    def read(self, size: int) -> bytes:
        """Return the next bytes; b"" at the end.

        Raises:
            TimeoutError: they came too slowly.
            OSError: the body broke off, or is not chunked as HTTP/1.1 says.
        """
        self._timed.settimeout(READ_SECONDS)
        try:
            piece: bytes = self._body.read(size)
        except errors.ParseException:
            raise ConnectionAbortedError from None
        self._is_read = not piece
        return piece


def _receive(client: socket.socket, size: int) -> bytes | None:
    """Return the available bytes; b"" at the end, None if there are none."""
    try:
        return client.recv(size)
    except BlockingIOError:
        return None
    except OSError:
        return b""
