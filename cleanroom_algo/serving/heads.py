"""Heads of requests that have come before: a client repeats its own, and parsing one takes as long as predicting a row.

Nothing is parsed here: what gunicorn made of the same bytes is remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gunicorn.http.body import LengthReader

from cleanroom_algo.errors import CleanroomError
from cleanroom_algo.serving.body import names_utf8
from cleanroom_algo.serving.formats import Format, request_type, response_format
from cleanroom_algo.serving.merging import MERGE_BYTES

_BEGINS: Final = b"POST /invocations HTTP/1.1\r\n"
_ENDS: Final = b"\r\n\r\n"
_MOST: Final = 256  # heads; those of a client differ in the length of its bodies
_BYTES: Final = 4096  # of a head


@dataclass(frozen=True, slots=True)
class Head:
    """What gunicorn made of a head.

    Attributes:
        environ: its headers, by the names of WSGI.
        length: of the body that follows it, in bytes.
        together: the format of the answer, where the request may be answered together with others; else None.
    """

    environ: Mapping[str, str]
    length: int
    together: Format | None


class Heads:
    """Remembers the heads of predictions that ask for nothing but an answer on the same connection."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def find(self, received: bytes) -> tuple[Head, bytes] | None:
        """Return the head and the body of a whole request; None where it is not whole, or its head is new.

        Args:
            received: from a connection on which no other request is under way.
        """
        end = received.find(_ENDS) + len(_ENDS)
        head = self._known.get(received[:end])
        return (head, received[end:]) if head is not None and len(received) - end == head.length else None

    def remember(self, received: bytes, request: Any) -> None:
        """Remember the head with which `received` begins.

        Args:
            received: from a connection.
            request: gunicorn's, made of these bytes.
        """
        end = received.find(_ENDS) + len(_ENDS)
        names = [name for name, _ in request.headers]
        usual = received.startswith(_BEGINS) and end <= _BYTES and isinstance(request.body.reader, LengthReader)
        if not usual or request.should_close() or "EXPECT" in names or len(names) > len(set(names)):
            return
        if len(self._known) >= _MOST:
            self._known.clear()  # somebody's heads are all different
        environ = {_variable(name): value for name, value in request.headers}
        length = request.body.reader.length
        self._known[received[:end]] = Head(environ, length, _together(environ, length))


def _together(environ: Mapping[str, str], length: int) -> Format | None:
    try:
        asked = request_type(environ.get("CONTENT_TYPE"))
        given = response_format(environ.get("HTTP_ACCEPT"), asked.format)
        plain = names_utf8(asked.charset) and "HTTP_CONTENT_ENCODING" not in environ
    except CleanroomError:
        return None  # the request will be refused
    few = asked.format is Format.CSV and given.value.lines and 0 < length <= MERGE_BYTES
    return given if plain and few else None


def _variable(header: str) -> str:
    variable = header.replace("-", "_")
    return variable if variable in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{variable}"
