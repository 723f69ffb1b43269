"""The server's worker process: gunicorn's threads, with an end to everything a client or a model can draw out."""

from __future__ import annotations

import io
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn.http.body import LengthReader
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import TConn, ThreadWorker

from cleanroom_algo.serving.heads import Heads
from cleanroom_algo.serving.scoring.body import READ_SECONDS
from cleanroom_algo.serving.server.malformed import refuse_malformed
from cleanroom_algo.serving.server.sized_body import BodyOfLength, Deadlines

if TYPE_CHECKING:
    from cleanroom_algo.serving.heads import KnownRequest
    from cleanroom_algo.serving.server.admission import Admission
    from cleanroom_algo.serving.server.connection_counts import Share
    from cleanroom_algo.serving.server.invocation import Reply

HEADER_SECONDS = 10.0  # for the head of a request; a job's client sends it in one packet
HEAD_BYTES = 1 << 16  # of a head; gunicorn refuses longer ones
SEND_SECONDS = 60  # without any progress in sending an answer
LEAVE_SECONDS = 0.05  # that a connection is left to a worker which has fewer; one that is busy may take so long
MOVE_SECONDS = 0.05  # between two looks at whether a connection shall go to a worker which has fewer
YIELD_SECONDS = 0.0003  # between two looks at whether it has been taken
CHECK_SECONDS = 0.25
STOPPING_SECONDS = 1.0  # for a request that is on its way while the worker ends
FOLLOW_SECONDS = 0.002  # a client that sends one request after the other needs less


class BoundedWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, in which no client holds a thread for ever.

    Attributes:
        share: of the connections; the server sets it before the fork.
        invoke: answers a prediction, given its WSGI environment; the server sets it before the first request.
        invoke_together: answers several small ones; so does this.
        admission: of predictions; `watch` sets it.
        how_ended: as a part of a sentence; the master sets it when the process has.
    """

    share: Share
    invoke: Callable[[dict[str, Any]], Reply]
    invoke_together: Callable[[Sequence[KnownRequest]], list[Reply]]
    admission: Admission
    how_ended = "ended"

    def init_process(self) -> None:
        """Prepare the process, as gunicorn does."""
        self.deadlines = Deadlines()
        self._heads = Heads()
        self._together: list[tuple[TConn, KnownRequest]] = []  # small requests that nobody works on yet
        self._answering = False  # whether a thread works on such
        self._leave_until = 0.0
        self._look_at = 0.0
        super().init_process()

    def watch(self, admission: Admission, limit_seconds: float) -> None:
        """Start the thread that keeps the deadlines, those of clients and that of predictions."""
        self.admission = admission
        watch = partial(self._watch, limit_seconds)
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
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", READ_SECONDS, 0))
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
        if not self._takes_along(conn):
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

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Do one turn of the loop; small requests that it found are answered together.

        A thread for each of them costs two changes of thread, as much as predicting a row.
        """
        super().wait_for_and_dispatch_events(timeout)
        if not self._together or self._answering:
            return  # what comes while some are answered is answered together next
        requests, self._together = self._together, []
        self._answering = True
        future = self.tpool.submit(self._answer_together, requests)
        future.add_done_callback(partial(self.method_queue.defer, self._take_back))

    def _takes_along(self, conn: TConn) -> bool:
        """Keep a request for the end of the turn, if it can be answered together with others; return whether."""
        known = self._heads.find(conn.received) if self.nr_conns > 1 else None
        if known is None or known.together is None:
            return False
        if self.admission.admitted + len(self._together) >= self.admission.capacity:
            return False  # it will be refused
        self._together.append((conn, known))
        return True

    def _answer_together(self, requests: Sequence[tuple[TConn, KnownRequest]]) -> list[tuple[TConn, bool]]:
        """Answer small requests; return the connections, and of each whether it is kept."""
        replies = self.invoke_together([request for _, request in requests])
        connections = [conn for conn, _ in requests]
        return [each for each in map(self._send_at_once, connections, replies) if each is not None]

    def _send_at_once(self, conn: TConn, reply: Reply) -> tuple[TConn, bool] | None:
        """Send an answer and return its connection, and whether it is kept; None where another thread goes on with it.

        A client that does not read must not keep others waiting.
        """
        last = self._is_last()
        message = reply.message(last=last)
        try:
            sent = conn.sock.send(message, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:
            return conn, False  # the client has gone
        if sent == len(message):
            return conn, not last
        future = self.tpool.submit(self._send_all, conn, message[sent:], last=last)
        future.add_done_callback(partial(self.method_queue.defer, self.finish_request, conn))
        return None

    def _take_back(self, answered: Future[list[tuple[TConn, bool]]]) -> None:
        """Give connections back to the poller, or end them."""
        self._answering = False
        for conn, is_kept in answered.result():
            kept: Future[bool] = Future()
            kept.set_result(is_kept)
            self.finish_request(conn, kept)

    def handle(self, conn: TConn) -> Any:
        """Handle a request, and those that follow at once on its connection.

        Going back to the poller between two of them costs two changes of thread, as much as predicting a row.
        """
        kept = self._handle_one(conn)
        while kept is True and self._follows_at_once(conn):
            kept = self._handle_one(conn)
        return kept

    def _handle_one(self, conn: TConn) -> Any:
        received, conn.received = conn.received, b""
        known = self._heads.find(received)
        if known is not None:
            return self._answer(conn, known)
        conn.begun = received
        conn.parser.unreader.unread(received)
        conn.head_deadline = self.deadlines.arm(conn.sock, HEADER_SECONDS)
        try:
            return super().handle(conn)
        finally:
            self.deadlines.disarm(conn.head_deadline)

    def _answer(self, conn: TConn, request: KnownRequest) -> bool:
        """Answer a request past gunicorn; return whether the connection is kept."""
        conn.sock.setblocking(True)
        body = BodyOfLength(conn.sock, request.body, request.length)
        stream = io.BytesIO(request.body) if request.is_whole else io.BufferedReader(body)
        reply = self.invoke(request.environ(stream, **{"gunicorn.socket": conn.sock}))
        last = self._is_last() or (body.left > 0)
        return self._send_all(conn, reply.message(last=last), last=last)

    def _send_all(self, conn: TConn, message: bytes, *, last: bool) -> bool:
        try:
            conn.sock.setblocking(True)
            conn.sock.sendall(message)
        except OSError:
            return False  # the client has gone
        return not last

    def _is_last(self) -> bool:
        """Whether a connection shall end with its next answer."""
        return not self.alive or len(self.keepalived_conns) >= self.max_keepalived or self._moves_to_another()

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
            req.body = io.BufferedReader(BodyOfLength(conn.sock, arrived[:length], length))
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

    def _watch(self, limit_seconds: float) -> None:
        while True:
            time.sleep(CHECK_SECONDS)
            self.deadlines.check()
            if self.admission.longest_running() > limit_seconds:
                self.log.error(
                    "a prediction has been running for more than %g s (CLEANROOM_ALGO_SERVE_TIMEOUT_SECONDS): "
                    "this process ends, and another takes its place",
                    limit_seconds,
                )
                os._exit(1)  # a thread inside native code cannot be stopped any other way
