"""Heads of requests that have come before: a client repeats its own, and parsing one takes as long as predicting a row.

Nothing but the length of the body is parsed here: of the other bytes, what gunicorn made of the same is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gunicorn.http.body import LengthReader

from cleanroom_algo.errors import CleanroomError
from cleanroom_algo.serving.codecs.media_types import Format, request_type, response_format
from cleanroom_algo.serving.merging import MERGE_BYTES
from cleanroom_algo.serving.scoring.body import is_utf8, names_utf8
from cleanroom_algo.serving.server.sizing import WHOLE_BYTES

_BEGINS: Final = b"POST /invocations HTTP/1.1\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: ?([0-9]{1,18})\r\n", re.IGNORECASE)
_ENDS: Final = b"\r\n\r\n"
_MOST: Final = 256  # heads that are remembered
_BYTES: Final = 4096  # of a head


@dataclass(frozen=True, slots=True)
class Head:
    """What gunicorn made of a head.

    Attributes:
        environ: its headers but for the Content-Length, by the names of WSGI.
        lines: the format of the answer, where both bodies are plain lines and the request's are CSV; else None.
    """

    environ: Mapping[str, str]
    lines: Format | None


@dataclass(frozen=True, slots=True)
class KnownRequest:
    """A request whose head is known.

    Attributes:
        head: what is known.
        length: of the body, in bytes.
        body: what has arrived of it.
    """

    head: Head
    length: int
    body: bytes

    @property
    def is_whole(self) -> bool:
        """Whether the body has arrived."""
        return len(self.body) == self.length

    @property
    def together(self) -> Format | None:
        """The format of the answer, where the request may be answered together with others; else None."""
        small = self.is_whole and 0 < self.length <= MERGE_BYTES
        return self.head.lines if small and self.head.lines and is_utf8(self.body) else None

    def environ(self, stream: Any, **further: Any) -> dict[str, Any]:
        """Return the environment of WSGI, as far as `invoke` looks at it.

        Args:
            stream: gives the body.
            further: variables.
        """
        return {**self.head.environ, "CONTENT_LENGTH": str(self.length), "wsgi.input": stream, **further}


class Heads:
    """Remembers the heads of predictions that ask for nothing but an answer on the same connection."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def find(self, received: bytes) -> KnownRequest | None:
        """Return a request of at most `WHOLE_BYTES`; None where its head is not whole or new, or another follows it.

        Args:
            received: from a connection on which no other request is under way.
        """
        end = received.find(_ENDS) + len(_ENDS)
        parted = _without_length(received[:end])
        head = parted and self._known.get(parted[0])
        if not parted or not head or not len(received) - end <= parted[1] <= WHOLE_BYTES:
            return None
        return KnownRequest(head, parted[1], received[end:])

    def remember(self, received: bytes, request: Any) -> None:
        """Remember the head with which `received` begins.

        Args:
            received: from a connection.
            request: gunicorn's, made of these bytes.
        """
        end = received.find(_ENDS) + len(_ENDS)
        names = [name for name, _ in request.headers]
        usual = received.startswith(_BEGINS) and end <= _BYTES and isinstance(request.body.reader, LengthReader)
        parted = _without_length(received[:end])
        if not (usual and parted) or request.should_close() or "EXPECT" in names or len(names) > len(set(names)):
            return
        if len(self._known) >= _MOST:
            self._known.clear()  # somebody's heads are all different
        environ = {_variable(name): value for name, value in request.headers if name != "CONTENT-LENGTH"}
        self._known[parted[0]] = Head(environ, _lines(environ))


def _without_length(head: bytes) -> tuple[bytes, int] | None:
    """Return a head without the number in its Content-Length, and the number; None where there is none."""
    found = _LENGTH.search(head)
    return (head[: found.start(1)] + head[found.end(1) :], int(found[1])) if found else None


def _lines(environ: Mapping[str, str]) -> Format | None:
    try:
        asked = request_type(environ.get("CONTENT_TYPE"))
        given = response_format(environ.get("HTTP_ACCEPT"), asked.format)
        plain = names_utf8(asked.charset) and "HTTP_CONTENT_ENCODING" not in environ
    except CleanroomError:
        return None  # the request will be refused
    return given if plain and asked.format is Format.CSV and given.value.lines else None


def _variable(header: str) -> str:
    variable = header.replace("-", "_")
    return variable if variable == "CONTENT_TYPE" else f"HTTP_{variable}"
