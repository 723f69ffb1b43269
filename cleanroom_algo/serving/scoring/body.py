"""Reading a request's body: the complete body or an error, in limited memory.

Two behaviors of WSGI servers and frameworks would silently lose records: a body that is shorter than its Content-Length
is passed on as if it were complete (benoitc/gunicorn issue 3234), and Werkzeug's `get_data` with a limit truncates a
chunked body at the limit and continues. So this module counts every byte itself, read directly from `wsgi.input`.
"""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from cleanroom_algo.channels.formats.gzip import GZIP_MAGIC, gunzip
from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.errors import (
    BodyIncompleteError,
    BodyTimeoutError,
    BodyTooLargeError,
    ContentTypeError,
    CorruptObjectError,
)

MAX_BODY_BYTES = 100 << 20
"""The most that a batch transform job may send at once (SageMaker API, CreateTransformJob: MaxPayloadInMB up to 100),
with the larger meaning of "MB": refusing what the platform sends would be the worse error."""

WHOLE_BYTES = 6 << 20  # the platform's default of MaxPayloadInMB, from the same page; a longer body comes in pieces
READ_BYTES = 1 << 18  # bytes that must arrive within READ_SECONDS
READ_SECONDS = 60  # as in nginx, the time without any data


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def declared_length(environ: dict[str, Any]) -> int | None:
    """Return the Content-Length in bytes; None for a chunked body, whose length is not known.

    Raises:
        BodyIncompleteError: the header is not a number, so the end of the body is unknown.
    """
    text = environ.get("CONTENT_LENGTH") or ""
    if text:
        if not (text.isascii() and text.isdigit()):
            raise _incomplete("the Content-Length is not a number")
        return int(text)
    return None if environ.get("wsgi.input_terminated") and _is_chunked(environ) else 0


def read_chunks(environ: dict[str, Any], *, limit: int | None) -> Iterator[bytes]:
    """Yield the body as it arrives, in pieces of up to `READ_BYTES`, or in one of a known length up to `WHOLE_BYTES`.

    Args:
        environ: of the WSGI request; reading its `wsgi.input` raises TimeoutError if the client is too slow.
        limit: bytes that the body may have; None for no limit on a chunked body.

    Raises:
        BodyTooLargeError: the declared length is above the limit, or the body grows beyond it.
        BodyIncompleteError: it ended before its declared end.
        BodyTimeoutError: it arrived too slowly.
    """
    stream: _Readable = environ["wsgi.input"]
    length = declared_length(environ)
    if limit is not None and length is not None and length > limit:
        raise _too_large(f"the body is declared with {format_bytes(length)}", limit)
    if length is not None:
        yield from _pieces_of(stream, length)
        return
    taken = 0
    while piece := _read(stream, READ_BYTES):
        taken += len(piece)
        if limit is not None and taken > limit:
            raise _too_large(f"the chunked body does not end within {format_bytes(limit)}", limit)
        yield piece


def decoded(
    chunks: Iterable[bytes], *, encoding: str, charset: str, limit: int | None, text: bool = True
) -> Iterator[bytes]:
    """Yield the body as plain UTF-8 bytes.

    Args:
        chunks: of the body.
        encoding: its Content-Encoding: `identity` or `gzip`.
        charset: of its text, any that Python knows; `utf-8` for formats that are not text.
        limit: maximum size of the unpacked body in bytes; None for no limit.
        text: whether its format is text.

    Raises:
        ContentTypeError: the encoding or the charset is unknown, or the first bytes of the body show another one.
        BodyIncompleteError: the body is not in its encoding, or ends within it.
        BodyTooLargeError: it unpacks to more than the limit.
    """
    if encoding in {"gzip", "x-gzip"}:
        chunks = _gunzip(chunks, limit)
    elif encoding not in {"", "identity"}:
        raise ContentTypeError(
            "the Content-Encoding of the request is not supported",
            expected="gzip, or no Content-Encoding",
            fix="compress the body with gzip, or do not compress it",
        )
    if not _names_utf8(charset):
        return _recode(chunks, charset)
    return _as_named(chunks, text=text)


def gather(chunks: Iterable[bytes], size: int = WHOLE_BYTES, *, end: bytes = b"") -> Iterator[bytes]:
    """Yield the same bytes in pieces of at least `size`, except the last; a single piece gets a missing `end`."""
    pending: list[bytes] = []
    held = 0
    for chunk in chunks:
        pending.append(chunk)
        held += len(chunk)
        if held >= size:
            yield b"".join(pending)
            pending, held, end = [], 0, b""
    if held:
        yield b"".join(pending if pending[-1].endswith(end) else [*pending, end])


def read_all(chunks: Iterable[bytes]) -> bytes:
    """Return the complete body; `bytes.join` would need twice the memory, for the pieces and for the result."""
    whole = io.BytesIO()
    for chunk in chunks:
        whole.write(chunk)
    return whole.getvalue()


def _pieces_of(stream: _Readable, length: int) -> Iterator[bytes]:
    size = length if length <= WHOLE_BYTES else READ_BYTES
    taken = 0
    while taken < length:
        piece = _read(stream, min(size, length - taken))
        if not piece:
            raise _incomplete(f"{taken} of {length} bytes arrived")
        taken += len(piece)
        yield piece


def _read(stream: _Readable, size: int) -> bytes:
    try:
        return stream.read(size)
    except TimeoutError:
        raise BodyTimeoutError(
            "the body of the request arrived too slowly",
            expected="a body that arrives at a rate of at least 4 kB/s",
            fix="send the request again over a faster connection",
        ) from None
    except (OSError, ValueError):
        # A broken chunk or a reset connection: the end of the body will not come.
        raise _incomplete("its transfer broke off") from None


def _gunzip(chunks: Iterable[bytes], limit: int | None) -> Iterator[bytes]:
    taken = 0
    try:
        for piece in gunzip(iter(chunks), source="body"):
            taken += len(piece)
            if limit is not None and taken > limit:
                raise _too_large(f"the unpacked body does not end within {format_bytes(limit)}", limit)
            yield piece
    except CorruptObjectError:
        raise _incomplete("it is not in gzip form, or breaks off within it") from None


def _as_named(chunks: Iterable[bytes], *, text: bool) -> Iterator[bytes]:
    """Pass on a body whose first bytes are neither gzip nor text in another Unicode encoding.

    A check after the records did not fit would be too late: placeholders for bad records would hide the cause, and
    polars would unpack gzip itself.
    """
    pieces = iter(chunks)
    first = next(pieces, b"")
    if first.startswith(GZIP_MAGIC):
        raise ContentTypeError(
            "the body is gzipped, and its Content-Encoding does not say so",
            expected="a body that is gzipped once, with Content-Encoding: gzip; or a body that is not compressed",
            fix="send the header Content-Encoding: gzip, or decompress the body",
        )
    encoding = json.detect_encoding(first[:4]) if text else "utf-8"
    if not encoding.startswith("utf-8"):
        raise ContentTypeError(
            f"the body is text in {encoding.upper()}, and its Content-Type does not say so",
            expected="UTF-8, or the charset named in the Content-Type",
            fix="send the text in UTF-8, or add `; charset=utf-16` (or what it is) to the Content-Type",
        )
    yield first
    yield from pieces


def _recode(chunks: Iterable[bytes], charset: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(charset)()
    try:
        for chunk in chunks:
            yield decoder.decode(chunk).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError:
        raise _incomplete(f"it is not text in {charset}") from None


def _names_utf8(charset: str) -> bool:
    """Return whether a charset is that of UTF-8, or a part of it.

    Raises:
        ContentTypeError: there is no such charset.
    """
    try:
        "".encode(charset)  # raises for codecs that are not text, such as base64
        return codecs.lookup(charset).name in {"utf-8", "ascii"}
    except (LookupError, ValueError):  # a codec may reject everything, and a name may contain a zero byte
        raise ContentTypeError(
            "the charset in the Content-Type is unknown",
            expected="utf-8, or another charset that Python knows",
            fix="send the text in UTF-8",
        ) from None


def _is_chunked(environ: dict[str, Any]) -> bool:
    return "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()


def _too_large(what: str, limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        what,
        expected=f"at most {format_bytes(limit)} in one request",
        fix="send fewer records per request; CSV and JSON Lines with chunked transfer encoding have no limit",
    )


def _incomplete(what: str) -> BodyIncompleteError:
    return BodyIncompleteError(
        f"the body of the request cannot be used: {what}",
        expected="a complete body, encoded as the headers say",
        fix="send the request again; no part of it was answered",
    )
