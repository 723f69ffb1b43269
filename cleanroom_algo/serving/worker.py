"""The server's worker process: gunicorn's threads, with an end to everything a client or a model can draw out."""

from __future__ import annotations

import io
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn.http.body import LengthReader
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import TConn, ThreadWorker

from cleanroom_algo.serving.heads import Heads
from cleanroom_algo.serving.malformed import refuse_malformed

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from cleanroom_algo.serving.admission import Admission
    from cleanroom_algo.serving.heads import Head
    from cleanroom_algo.serving.invocation import Reply
    from cleanroom_algo.serving.shares import Share

HEADER_SECONDS = 10.0  # for the head of a request; a job's client sends it in one packet
HEAD_BYTES = 1 << 16  # of a head; gunicorn refuses longer ones
SEND_SECONDS = 60  # without any progress in sending an answer
LEAVE_SECONDS = 0.05  # that a connection is left to a worker which has fewer; one that is busy may take so long
MOVE_SECONDS = 0.05  # between two looks at whether a connection shall go to a worker which has fewer
YIELD_SECONDS = 0.0003  # between two looks at whether it has been taken
CHECK_SECONDS = 0.25
STOPPING_SECONDS = 1.0  # for a request that is on its way while the worker ends
FOLLOW_SECONDS = 0.002  # a client that sends one request after the other needs less


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


class _BodyOfLength(io.RawIOBase):
    """A body of known length, straight from its socket.

    gunicorn's own reader copies each byte about six times: a tenth of the time of a request of 5 MB (measured).

    Args:
        connection: its socket.
        begun: what has been read of it already, at most `length` bytes.
        length: of the whole body, in bytes.
    """

    def __init__(self, connection: socket.socket, begun: bytes, length: int) -> None:
        self._connection = connection
        self._begun = memoryview(begun)
        self._left = length - len(begun)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read what has arrived, into a buffer; return how many bytes, 0 at the body's end or where the client ends."""
        into = memoryview(buffer)
        if self._begun:
            count = min(len(into), len(self._begun))
            into[:count] = self._begun[:count]
            self._begun = self._begun[count:]
            return count
        if not self._left:
            return 0
        count = self._connection.recv_into(into, min(len(into), self._left))
        self._left -= count
        return count


class BoundedWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, in which no client holds a thread for ever.

    Attributes:
        share: of the connections; the server sets it before the fork.
        invoke: answers a prediction, given its WSGI environment; the server sets it before the first request.
        how_ended: as a part of a sentence; the master sets it when the process has.
    """

    share: Share
    invoke: Callable[[dict[str, Any]], Reply]
    how_ended = "ended"

    def init_process(self) -> None:
        """Prepare the process, as gunicorn does."""
        self.deadlines = Deadlines()
        self._heads = Heads()
        self._waiting = 0  # requests that no thread has taken yet
        self._leave_until = 0.0
        self._look_at = 0.0
        super().init_process()

    def watch(self, admission: Admission, limit_seconds: float) -> None:
        """Start the thread that keeps the deadlines, those of clients and that of predictions."""
        watch = partial(self._watch, admission, limit_seconds)
        threading.Thread(target=watch, name="deadlines", daemon=True).start()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection and wait for its first request in the poller.

        gunicorn gives a thread to each new connection, and to each request whose head has begun: a few idle or slow
        clients would keep /ping from its 2 s (SageMaker developer guide).
        """
        if self._leaves_it_to_another():
            time.sleep(YIELD_SECONDS)  # the poller comes back to it as long as nobody has taken it
            return
        try:
            client, address = listener.accept()
        except OSError:
            return  # another worker was faster, or the client has gone
        self.nr_conns += 1
        self.share.publish(self.nr_conns)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0))
        connection = TConn(self.cfg, client, address, listener.getsockname())
        self._await_head(connection)
        self.poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, connection))

    def _leaves_it_to_another(self) -> bool:
        """Whether another worker shall take a new connection, as it has fewer.

        All workers wake up for one. The connections of a job stay where they begin: with three of four on one worker
        the other waits half of the time.
        """
        fewest = self.share.fewest_elsewhere()
        if fewest is None or self.nr_conns <= fewest:
            return False
        now = time.monotonic()
        if now > self._leave_until + LEAVE_SECONDS:
            self._leave_until = now + LEAVE_SECONDS
        return now < self._leave_until

    def _moves_to_another(self) -> bool:
        """Whether a connection shall end with its answer, so that the client opens one to a worker that has fewer.

        A job opens its connections as soon as one worker serves; those that warm up meanwhile would stay idle. Only one
        moves at a time: all that saw the same difference would go to and fro.
        """
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + MOVE_SECONDS
        fewest = self.share.fewest_elsewhere()
        return fewest is not None and self.nr_conns > fewest + 1

    def on_client_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        """Take the first bytes of a further request on a connection."""
        self.keepalived_conns.remove(conn)
        self._await_head(conn)
        self.poller.modify(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))
        self.on_pending_socket_readable(conn, client)

    def on_pending_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        """Collect the head of a request; only when it is whole, a thread takes over."""
        try:
            piece = client.recv(HEAD_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        searched = max(0, len(conn.received) - 3)
        conn.received += piece
        whole = conn.received.find(b"\r\n\r\n", searched) >= 0
        if piece and not whole and len(conn.received) < HEAD_BYTES:
            return
        self.poller.unregister(client)
        self.pending_conns.remove(conn)
        if not piece:
            self.nr_conns -= 1
            conn.close()
            return
        conn.init()
        conn.data_ready = True
        self.enqueue_req(conn)

    def _await_head(self, conn: TConn) -> None:
        conn.received = b""
        conn.timeout = time.monotonic() + HEADER_SECONDS
        self.pending_conns.append(conn)

    def murder_pending(self) -> None:
        """Close connections whose requests do not come; soon, once the worker shall end."""
        if not self.alive:
            latest = time.monotonic() + STOPPING_SECONDS
            for conn in self.pending_conns:
                conn.timeout = min(conn.timeout, latest)
        super().murder_pending()
        self.share.publish(self.nr_conns)  # the last step of each turn of the loop

    def enqueue_req(self, conn: TConn) -> None:
        """Let a thread handle a request."""
        self._waiting += 1
        super().enqueue_req(conn)

    def handle(self, conn: TConn) -> Any:
        """Handle a request, and those that follow at once on its connection.

        Going back to the poller between two of them costs two changes of thread, as much as predicting a row.
        """
        self._waiting -= 1
        kept = self._handle_one(conn)
        while kept is True and self._follows_at_once(conn):
            kept = self._handle_one(conn)
        return kept

    def _handle_one(self, conn: TConn) -> Any:
        received, conn.received = conn.received, b""
        known = self._heads.find(received)
        if known is not None:
            return self._answer(conn, *known)
        conn.begun = received
        conn.parser.unreader.unread(received)
        conn.head_deadline = self.deadlines.arm(conn.sock, HEADER_SECONDS)
        try:
            return super().handle(conn)
        finally:
            self.deadlines.disarm(conn.head_deadline)

    def _answer(self, conn: TConn, head: Head, body: bytes) -> bool:
        """Answer a request that is whole, past gunicorn; return whether the connection is kept."""
        reply = self.invoke({**head.environ, "wsgi.input": io.BytesIO(body)})
        last = not self.alive or len(self.keepalived_conns) >= self.max_keepalived or self._moves_to_another()
        try:
            conn.sock.setblocking(True)
            conn.sock.sendall(reply.message(last=last))
        except OSError:
            return False  # the client has gone
        return not last

    def _follows_at_once(self, conn: TConn) -> bool:
        if self.nr_conns > 1 or not self.alive or conn.parser.unreader.buf.getvalue():
            return False
        try:
            conn.sock.settimeout(FOLLOW_SECONDS)
            if b"\r\n\r\n" not in conn.sock.recv(HEAD_BYTES, socket.MSG_PEEK):
                return False
            conn.received = conn.sock.recv(HEAD_BYTES)
        except OSError:
            return False
        return True

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Handle a request whose head has arrived."""
        self.deadlines.disarm(conn.head_deadline)
        self._heads.remember(conn.begun, req)
        if self._moves_to_another():
            req.force_close()
        if isinstance(req.body.reader, LengthReader):
            length = req.body.reader.length
            arrived = conn.parser.unreader.take_buffered()
            conn.parser.unreader.unread(arrived[length:])  # of the next request
            req.body = io.BufferedReader(_BodyOfLength(conn.sock, arrived[:length], length))
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer a request that cannot be handled."""
        if isinstance(exc, ParseException):
            refuse_malformed(client, exc)
        else:
            super().handle_error(req, client, addr, exc)

    @contextmanager
    def reading(self, connection: socket.socket, seconds: float) -> Iterator[None]:
        """Bound the time of a read from a request's body.

        Raises:
            TimeoutError: the time was over.
        """
        token = self.deadlines.arm(connection, seconds)
        try:
            yield
        except Exception:
            if self.deadlines.disarm(token):
                raise TimeoutError from None
            raise
        if self.deadlines.disarm(token):
            raise TimeoutError

    def _watch(self, admission: Admission, limit_seconds: float) -> None:
        while True:
            time.sleep(CHECK_SECONDS)
            self.deadlines.check()
            if admission.longest_running() > limit_seconds:
                self.log.error(
                    "a prediction has been running for more than %g s (CLEANROOM_ALGO_SERVE_TIMEOUT_SECONDS): "
                    "this process ends, and another takes its place",
                    limit_seconds,
                )
                os._exit(1)  # a thread inside native code cannot be stopped any other way
