from __future__ import annotations

import gzip
import io
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cleanroom_algo.channels.formats.gzip import GZIP_MAGIC
from cleanroom_algo.errors import BodyIncompleteError, BodyTimeoutError, BodyTooLargeError, ContentTypeError
from cleanroom_algo.serving.scoring.body import READ_BYTES, WHOLE_BYTES, declared_length, decoded, gather, read_chunks

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def environ(body: bytes, *, length: int | None = None, chunked: bool = False) -> dict[str, object]:
    values: dict[str, object] = {"wsgi.input": io.BytesIO(body)}
    if chunked:
        values |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    else:
        values["CONTENT_LENGTH"] = str(len(body) if length is None else length)
    return values


def test_a_body_without_length_is_empty() -> None:
    assert declared_length({}) == 0
    assert b"".join(read_chunks({"wsgi.input": io.BytesIO(b"left")}, limit=10)) == b""


@pytest.mark.parametrize("text", ["-1", "1e3", "ten", "٣"])
def test_a_length_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(BodyIncompleteError):
        declared_length({"CONTENT_LENGTH": text})


@given(st.binary(max_size=2000), st.integers(1, 500))
def test_a_short_body_is_refused(body: bytes, missing: int) -> None:
    with pytest.raises(BodyIncompleteError):
        list(read_chunks(environ(body, length=len(body) + missing), limit=None))


@given(st.binary(min_size=1, max_size=2000), st.booleans())
def test_the_limit_is_exact(body: bytes, chunked: bool) -> None:
    fitting = read_chunks(environ(body, chunked=chunked), limit=len(body))
    assert b"".join(fitting) == body
    with pytest.raises(BodyTooLargeError):
        list(read_chunks(environ(body, chunked=chunked), limit=len(body) - 1))


def test_a_chunked_body_may_be_unlimited() -> None:
    body = b"x" * 3_000_000
    assert sum(map(len, read_chunks(environ(body, chunked=True), limit=None))) == len(body)


def test_bytes_after_the_declared_end_are_left_alone() -> None:
    assert b"".join(read_chunks(environ(b"abcdef", length=3), limit=10)) == b"abc"


class Arriving(io.RawIOBase):
    """A body that arrives in packets, of which an empty one stands for the end of the connection."""

    def __init__(self, *packets: bytes) -> None:
        self._packets = list(packets)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        into = memoryview(buffer)
        packet = self._packets.pop(0) if self._packets else b""
        taken = packet[: len(into)]
        into[: len(taken)] = taken
        if packet[len(taken) :]:
            self._packets.insert(0, packet[len(taken) :])
        return len(taken)


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=20))
def test_a_body_of_usual_length_is_one_piece_however_it_arrives(packets: list[bytes]) -> None:
    body = b"".join(packets)
    arriving = {"wsgi.input": io.BufferedReader(Arriving(*packets)), "CONTENT_LENGTH": str(len(body))}
    assert list(read_chunks(arriving, limit=None)) == [body]


def test_a_longer_body_comes_in_pieces() -> None:
    body = b"0123456789" * (WHOLE_BYTES // 10 + 1)
    found = list(read_chunks(environ(body), limit=None))
    assert b"".join(found) == body
    assert max(map(len, found)) <= READ_BYTES


@pytest.mark.parametrize("length", [5, WHOLE_BYTES + 1])
def test_a_broken_transfer_is_told_as_such(length: int) -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _buffer: WriteableBuffer, /) -> int:
            raise ConnectionResetError

    with pytest.raises(BodyIncompleteError, match="broke off"):
        list(read_chunks({"wsgi.input": Broken(), "CONTENT_LENGTH": str(length)}, limit=None))


def test_a_slow_body_is_told_as_such() -> None:
    class Late(io.RawIOBase):
        def read(self, _size: int = -1, /) -> bytes:
            raise TimeoutError

    with pytest.raises(BodyTimeoutError):
        list(read_chunks(environ(b"", chunked=True) | {"wsgi.input": Late()}, limit=10))


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


@given(st.lists(st.binary(max_size=400), max_size=4), st.integers(1, 50))
def test_gzip_with_any_number_of_members(members: list[bytes], size: int) -> None:
    assume(not b"".join(members).startswith(GZIP_MAGIC))  # would be packed twice, which is refused
    packed = b"".join(gzip.compress(member) for member in members)
    plain = decoded(pieces(packed, size), encoding="gzip", charset="utf-8", limit=None, text=False)
    assert b"".join(plain) == b"".join(members)


@given(st.binary(min_size=1, max_size=400), st.data())
def test_gzip_that_breaks_off_is_refused(body: bytes, data: st.DataObject) -> None:
    assume(not body.startswith(GZIP_MAGIC))  # refused, but for being packed twice
    packed = gzip.compress(body)
    cut = data.draw(st.integers(1, len(packed) - 1))
    with pytest.raises(BodyIncompleteError):
        list(decoded([packed[:cut]], encoding="gzip", charset="utf-8", limit=None, text=False))


def test_a_gzip_bomb_is_stopped_at_the_limit() -> None:
    packed = zlib.compress(bytes(50_000_000), wbits=31)
    with pytest.raises(BodyTooLargeError):
        list(decoded([packed], encoding="gzip", charset="utf-8", limit=1_000_000, text=False))


def test_garbage_and_unknown_encodings() -> None:
    with pytest.raises(BodyIncompleteError):
        list(decoded([b"plain"], encoding="gzip", charset="utf-8", limit=None))
    with pytest.raises(ContentTypeError):
        decoded([b""], encoding="br", charset="utf-8", limit=None)
    for charset in ("klingon", "base64", "undefined", "utf\0"):
        with pytest.raises(ContentTypeError):
            decoded([b""], encoding="", charset=charset, limit=None)


@given(st.text(max_size=200), st.integers(1, 7))
def test_other_charsets_become_utf8(text: str, size: int) -> None:
    body = text.encode("utf-16")
    plain = decoded(pieces(body, size), encoding="identity", charset="UTF-16", limit=None)
    assert b"".join(plain) == text.encode()


def test_text_outside_its_charset_is_refused() -> None:
    with pytest.raises(BodyIncompleteError):
        list(decoded([b"\xff"], encoding="", charset="utf-16", limit=None))


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(1, 100))
def test_pieces_are_gathered(chunks: list[bytes], size: int) -> None:
    gathered = list(gather(chunks, size))
    assert b"".join(gathered) == b"".join(chunks)
    assert all(len(piece) >= size for piece in gathered[:-1])


def test_an_only_piece_gets_the_end_that_it_lacks() -> None:
    assert list(gather([b"1\n", b"2"], 2, end=b"\n")) == [b"1\n", b"2"]
    assert list(gather([b"1\n2"], end=b"\n")) == [b"1\n2\n"]
    assert list(gather([b"1\n2\n"], end=b"\n")) == [b"1\n2\n"]
    assert list(gather([], end=b"\n")) == []


@pytest.mark.parametrize("text", ['{"x": 1}\n', "1,2\n"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_text_in_another_encoding_than_it_is_said_to_be_is_refused(text: str, encoding: str) -> None:
    body = text.encode(encoding)
    with pytest.raises(ContentTypeError, match=encoding.upper()):
        list(decoded([body], encoding="", charset="utf-8", limit=None))
    assert b"".join(decoded([body], encoding="", charset=encoding, limit=None)).decode() == text


def test_a_gzipped_body_that_is_not_said_to_be_is_refused_with_the_header_to_send() -> None:
    packed = gzip.compress(b"1,2\n")
    for chunks, encoding in (([packed], ""), ([gzip.compress(packed)], "gzip")):
        for text in (True, False):
            with pytest.raises(ContentTypeError) as caught:
                list(decoded(chunks, encoding=encoding, charset="utf-8", limit=None, text=text))
            assert "Content-Encoding: gzip" in caught.value.fix


@pytest.mark.parametrize("body", [b"", b"\n", b"1", b"1,2", b"\xef\xbb\xbf1,2"])
def test_short_text_passes_as_it_is(body: bytes) -> None:
    assert b"".join(decoded([body], encoding="", charset="utf-8", limit=None)) == body


def test_zeros_at_the_start_of_what_is_no_text_are_no_encoding() -> None:
    body = b"\x10\0\0\0 of Arrow"
    assert b"".join(decoded([body], encoding="", charset="utf-8", limit=None, text=False)) == body
