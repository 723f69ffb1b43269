"""The requests of a batch transform job to one container."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NamedTuple

from cleanroom_algo.errors import InferenceRequestError
from cleanroom_algo.local.jobs.inference.answers import Answer
from cleanroom_algo.local.plans.inference_plan import ContainerParameters

PING_SECONDS = 2.0  # the platform's timeout of /ping (SageMaker developer guide)
SEND_BYTES = 1 << 18  # at a time, when a body is sent from a file
RETRY_SECONDS = 0.2  # before the first retry, then doubled: long enough for a worker to be replaced


NOBODY_LISTENS = "the port accepts no connections"
_SEE_LOG = "see the container's log; answer a record that cannot be predicted with a placeholder"
_TOO_LARGE = (
    "413 means that the request is larger than the server accepts: set "
    "containerExecutionParameters.maxPayloadInMB lower, or raise the server's own limit"
)

Connect = Callable[[float | None], socket.socket]


class _Failure(NamedTuple):
    """Why a request has no usable answer, and what to do about it."""

    reason: str
    fix: str = _SEE_LOG


class _Connection(http.client.HTTPConnection):
    """HTTP over a connection of the host, because this process may not be able to connect to the container."""

    def __init__(self, connect: Connect, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout, blocksize=SEND_BYTES)
        self._open = connect

    def connect(self) -> None:
        """Open the connection."""
        self.sock = self._open(self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def ping(connect: Connect) -> str:
    """Return why GET /ping does not answer with status 200; "" if it does."""
    connection = _Connection(connect, PING_SECONDS)
    try:
        connection.connect()
    except OSError:
        return NOBODY_LISTENS
    try:
        connection.request("GET", "/ping")
        status = connection.getresponse().status
    except TimeoutError:
        return f"it does not answer within {PING_SECONDS:g} s"
    except (OSError, http.client.HTTPException) as error:
        return f"the connection was closed early ({type(error).__name__})"
    finally:
        connection.close()
    return "" if status == HTTPStatus.OK else f"it answers {status}"


@dataclass(frozen=True, slots=True)
class Retries:
    """How requests are retried (SageMaker API, ModelClientConfig).

    Attributes:
        count: retries after the first attempt, 0 to 3.
        timeout_seconds: of one attempt, 1 to 3600.
    """

    count: int = 3
    timeout_seconds: float = 600.0


_BY_DEFAULT: Final = Retries()


class Client:
    """One container's HTTP interface, for use by several threads.

    Args:
        connect: returns a new connection to the container; its argument is the timeout in seconds.
        content_type: of the requests.
        accept: the Accept header of the job's request; None: no header.
        retries: of invocations.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        content_type: str,
        accept: str | None,
        retries: Retries = _BY_DEFAULT,
    ) -> None:
        self._connect = connect
        self.headers = {"Content-Type": content_type, **({"Accept": accept} if accept else {})}
        self.retries = retries
        self._cancelled = threading.Event()
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[http.client.HTTPConnection] = []

    def parameters(self) -> ContainerParameters:
        """Return the container's answer to GET /execution-parameters; a container need not answer.

        Raises:
            InferenceRequestError: it answers with something that the platform could not read.
        """
        connection = _Connection(self._connect, self.retries.timeout_seconds)
        try:
            connection.request("GET", "/execution-parameters")
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return ContainerParameters()
        finally:
            connection.close()
        if response.status != HTTPStatus.OK:
            return ContainerParameters()
        return _parse_parameters(body)

    def invoke(self, payload: bytes | Iterable[bytes]) -> Answer:
        """Return the answer to a payload.

        Lost connections, timeouts and answers with status 500 and above are retried; AWS does not document which ones
        it retries. A payload in pieces is sent chunked, and cannot be retried.

        Raises:
            InferenceRequestError: the last attempt failed too, or the container refused the payload.
        """
        attempts = 1 + (self.retries.count if isinstance(payload, bytes) else 0)
        for attempt in range(attempts):
            failure, answer, pause = self._attempt(payload, RETRY_SECONDS * 2**attempt)
            if answer is not None:
                return answer
            if pause is None or self._cancelled.wait(pause if attempt + 1 < attempts else 0):
                attempts = attempt + 1
                break
        raise InferenceRequestError(
            f"a request failed after {attempts} attempt(s): {failure.reason}",
            expected="status 200 and one line of predictions for each record",
            fix=failure.fix,
        )

    def cancel(self) -> None:
        """Cancel the requests in flight; no further ones are sent."""
        self._cancelled.set()
        with self._lock:
            for connection in self._connections:
                if connection.sock is not None:
                    # Closing the connection would not wake a thread that waits for the answer.
                    with contextlib.suppress(OSError):
                        connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close all connections; no thread may be using one."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def _attempt(self, payload: bytes | Iterable[bytes], pause: float) -> tuple[_Failure, Answer | None, float | None]:
        """Return why it failed, the answer if it did not, and the pause before another attempt (None: no attempt)."""
        connection = self._connection()
        try:
            if connection.sock is None:
                connection.connect()
            if self._cancelled.is_set():  # `cancel` closes existing connections, but not this new one
                return _Failure("the job has ended"), None, None
            chunked = not isinstance(payload, bytes)
            connection.request("POST", "/invocations", body=payload, headers=self.headers, encode_chunked=chunked)
            response = connection.getresponse()
            body = response.read()
        except TimeoutError:
            connection.close()
            return _Failure(f"no answer within {self.retries.timeout_seconds:g} s"), None, pause
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return _Failure(f"the connection was lost ({type(error).__name__})"), None, pause
        if response.status == HTTPStatus.OK:
            return _Failure(""), Answer(body, response.headers.get("Content-Type", "")), None
        failure = _failure(response.status, body)
        if response.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return failure, None, None
        return failure, None, max(pause, _retry_after(response))

    def _connection(self) -> http.client.HTTPConnection:
        # One per thread, kept alive between requests; http.client opens it again after it was closed.
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = _Connection(self._connect, self.retries.timeout_seconds)
            self._local.connection = connection
            with self._lock:
                self._connections.append(connection)
        return connection


def _parse_parameters(body: bytes) -> ContainerParameters:
    try:
        document = json.loads(body)
        concurrent, payload = document.get("MaxConcurrentTransforms"), document.get("MaxPayloadInMB")
        # The strategy is not read: the request of Clean Rooms ML sets it, and values of the request have precedence.
        return ContainerParameters(
            None if concurrent is None else int(concurrent), None if payload is None else int(payload)
        )
    except (ValueError, TypeError, AttributeError):
        raise InferenceRequestError(
            "the answer to GET /execution-parameters cannot be used",
            expected="a JSON object with the numbers MaxConcurrentTransforms and MaxPayloadInMB",
            fix="return such an object, or return 404 to use the platform's defaults",
        ) from None


def _failure(status: int, body: bytes) -> _Failure:
    """Return the meaning of an error answer; the body is used if it is from this library, which quotes no rows."""
    usual = _TOO_LARGE if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else _SEE_LOG
    try:
        document = json.loads(body)
        problems = "; ".join(f"{p['path']}: {p['message']}" for p in document.get("problems", [])[:3])
        text, fix = f"{document['code']} {document['what']}", str(document.get("fix", usual))
    except (ValueError, TypeError, KeyError, AttributeError):
        return _Failure(f"status {status}", usual)
    reason = f"status {status} {text} ({problems})" if problems else f"status {status} {text}"
    return _Failure(reason, usual if usual is _TOO_LARGE else fix)


def _retry_after(response: http.client.HTTPResponse) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), 60.0) if text.isdigit() else 0.0
