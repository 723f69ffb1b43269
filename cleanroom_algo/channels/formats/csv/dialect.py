"""The dialects of CSV: where a quoted field ends, and so where a row ends.

In both dialects, a quote opens a field if it is its first character; elsewhere outside of quotes it is text. Inside
quotes, RFC 4180 doubles a quote. Spark puts a backslash before a quote and before a backslash; a backslash before any
other character is text (recorded from Spark 4.3 with its default options).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cleanroom_algo.channels.formats.blocks import RegularBlock, count_byte
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import DialectError, Problem

_QUOTE: Final = ord('"')
_BREAK: Final = ord("\n")
_ESCAPE: Final = re.compile(rb'\\(["\\])')
_UNENCLOSED: Final = r'(?<![^{d}\n])[^"{d}\n][^"{d}\n]*"[^{d}\n]*?(?={d}|\r?\n|\r?\Z)'
"""A field that contains quotes but is not enclosed by them."""


class Dialect(ABC):
    """How quotes are written inside quotes.

    Data given to a dialect begins where a row begins. Its `edges` are the offsets of the quotes that alternately open
    and close fields: a position with an odd number of edges before it is inside quotes.

    Args:
        content: the pattern of the text between the quotes of a field.
        delimiter: what separates fields, an ASCII character.

    Attributes:
        delimiter: the same.
        text: a whole quoted field in a text; the group is its content.
        plain: a field that is not enclosed by quotes.
    """

    _doubles = False  # whether two quotes inside quotes mean one

    def __init__(self, content: str, delimiter: str) -> None:
        self.delimiter = delimiter
        d = re.escape(delimiter)
        self.text = re.compile(rf'"({content})"(?={d}|\r?\n|\r?\Z)', re.DOTALL)
        self.plain = re.compile(rf"[^{d}\n]*")
        # The quote comes first, so that `re` searches only for this byte. The data may end within the field.
        quoted = rf'"(?<![^{d}\n]"){content}("|\\?\Z)'.encode()
        self._quoted = re.compile(quoted, re.DOTALL)
        self._fields = re.compile(b"(" + quoted + b")|" + _UNENCLOSED.format(d=d).encode(), re.DOTALL)
        self._before_field = np.isin(np.arange(256), list(f"{delimiter}\n".encode()))
        self._after_field = np.isin(np.arange(256), list(f"{delimiter}\r\n".encode()))

    @abstractmethod
    def unescaped(self, content: str) -> str:
        """Return the value of the text between the quotes of a field."""

    def last_end(self, data: bytes) -> tuple[int, bytes, bool]:
        """Return the offset after the last line break that ends a row (0: none), a state, and whether it is regular.

        See `blocks.Quoting`.
        """
        regular = self._regular_edges(data)
        edges = self._searched(data) if regular is None else regular
        end = data.rfind(b"\n") + 1
        while end and (before := int(np.searchsorted(edges, end))) % 2:
            end = data.rfind(b"\n", 0, int(edges[before - 1])) + 1
        return end, self._state(data, edges), regular is not None

    def first_end(self, data: bytes, start: int) -> int:
        """Return the offset after the first line break from `start` on that ends a row, 0 where none does."""
        edges = self._edges(data)
        end = data.find(b"\n", start) + 1
        while end and (before := int(np.searchsorted(edges, end))) % 2:
            end = data.find(b"\n", int(edges[before])) + 1 if before < len(edges) else 0
        return end

    def count_rows(self, block: bytes) -> int:
        """Return the number of rows of a block: line breaks that end a row, and a last row without one."""
        if b'"' not in block:
            breaks = count_byte(block, b"\n")
        elif isinstance(block, RegularBlock):
            array = np.frombuffer(self._blanked(block), np.uint8)
            lines = np.append(0, np.flatnonzero(array == _BREAK))
            # For each line, whether it has an odd number of quotes; the text after the last line break is not a line.
            odd = np.bitwise_xor.reduceat((array == _QUOTE).view(np.uint8), lines)[:-1]
            breaks = int(np.count_nonzero(np.bitwise_xor.accumulate(odd) == 0))
        else:
            breaks = self._count_outside(block, _BREAK)
        return breaks + (not block.endswith(b"\n"))

    def count_delimiters(self, block: bytes) -> int:
        """Return the number of delimiters outside of quotes."""
        if b'"' in block:
            return self._count_outside(block, ord(self.delimiter))
        return count_byte(block, self.delimiter.encode())

    def is_malformed(self, data: bytes, *, at_end: bool = False) -> bool:
        """Whether text follows the closing quote of a field, or the object ends inside quotes."""
        for match in self._quoted.finditer(data):
            if match.end() < len(data):
                if not self._after_field[data[match.end()]]:
                    return True
            elif at_end and len(_edges_of(match)) == 1:
                return True
        return False

    def as_rfc4180(self, block: bytes) -> bytes | None:
        """Return a block whose only quotes inside quotes are doubled ones; None if a row is malformed."""
        if b'"' not in block:
            return block
        regular = isinstance(block, RegularBlock) or _is_closed(self._regular_edges(block))
        if regular and not self._escapes(block):
            return block
        if not regular and self.is_malformed(block, at_end=True):
            return None
        written = self._fields.sub(self._in_quotes, block)
        return written if _is_closed(_dialect(None, self.delimiter)._regular_edges(written)) else None

    def _escapes(self, block: bytes) -> bool:  # noqa: ARG002 (a dialect may)
        return False

    def _in_quotes(self, match: re.Match[bytes]) -> bytes:
        return match[0] if match[1] else b'"' + match[0].replace(b'"', b'""') + b'"'

    def _count_outside(self, block: bytes, byte: int) -> int:
        found = np.flatnonzero(np.frombuffer(block, np.uint8) == byte)
        return int(np.count_nonzero(np.searchsorted(self._edges(block), found) % 2 == 0))

    def _edges(self, data: bytes) -> NDArray[np.int64]:
        if b'"' not in data:
            return np.empty(0, dtype=np.int64)
        edges = self._regular_edges(data)
        return self._searched(data) if edges is None else edges

    def _searched(self, data: bytes) -> NDArray[np.int64]:
        return np.array([at for match in self._quoted.finditer(data) for at in _edges_of(match)], dtype=np.int64)

    def _blanked(self, data: bytes) -> bytes:
        """Return the data with escaped quotes replaced by blanks."""
        return data

    def _regular_edges(self, data: bytes) -> NDArray[np.int64] | None:
        """Return the edges if no quote is text outside of quotes, as in most data; else None."""
        array = np.frombuffer(self._blanked(data), dtype=np.uint8)
        quotes = np.flatnonzero(array == _QUOTE)
        if not len(quotes):
            return quotes
        opening, closing = quotes[::2], quotes[1::2]
        begins = self._before_field[array[opening - 1]]
        begins[0] |= opening[0] == 0
        ends = self._after_field[array[np.minimum(closing + 1, len(data) - 1)]]
        ends |= closing == len(data) - 1
        if self._doubles:
            doubled = closing[: len(opening) - 1] + 1 == opening[1:]
            begins[1:] |= doubled
            ends[: len(doubled)] |= doubled
        return quotes if begins.all() and ends.all() else None

    def _state(self, data: bytes, edges: NDArray[np.int64]) -> bytes:
        if len(edges) % 2:
            return b'"'
        if len(edges) and edges[-1] == len(data) - 1:
            return b'""'  # the second half of a doubled quote, or the end of the field
        return b"" if not data or self._before_field[data[-1]] else b"x"


class _Rfc4180(Dialect):
    _doubles = True

    def unescaped(self, content: str) -> str:
        return content.replace('""', '"')


class _Spark(Dialect):
    def unescaped(self, content: str) -> str:
        return re.sub(r'\\(["\\])', r"\1", content) if "\\" in content else content

    def _escapes(self, block: bytes) -> bool:
        return b"\\" in block and _ESCAPE.search(block) is not None

    def _in_quotes(self, match: re.Match[bytes]) -> bytes:
        if not match[1] or b"\\" not in match[0]:
            return super()._in_quotes(match)
        return b'"' + _ESCAPE.sub(lambda escape: b'""' if escape[1] == b'"' else b"\\", match[0][1:-1]) + b'"'

    def _blanked(self, data: bytes) -> bytes:
        # Outside of quotes, where these are text, they are not edges either.
        return data.replace(b"\\\\", b"  ").replace(b'\\"', b"  ") if b"\\" in data else data

    def _state(self, data: bytes, edges: NDArray[np.int64]) -> bytes:
        escaping = (len(data) - len(data.rstrip(b"\\"))) % 2
        return super()._state(data, edges) + b"\\" * escaping


@cache
def _dialect(name: str | None, delimiter: str) -> Dialect:
    if name == "spark":
        return _Spark(r'[^"\\]*(?:\\.[^"\\]*)*', delimiter)
    return _Rfc4180(r'[^"]*(?:""[^"]*)*', delimiter)


def dialect_of(schema: Schema) -> Dialect:
    """Return the dialect that a schema declares, RFC 4180 by default."""
    return _dialect(schema.csv.dialect, schema.csv.delimiter)


def check_dialect(block: bytes, schema: Schema, *, source: str, line: int) -> None:
    """Check that the dialects read a block of an object in the same way if no dialect is declared.

    Args:
        block: whole rows of an object that is read as RFC 4180.
        schema: the declared one.
        source: what to call the object in messages.
        line: the number of the block's first line.

    Raises:
        DialectError: CR-SCH-005, Spark may have written a field that it would read differently; with its line.
    """
    if schema.csv.dialect is not None or b"\\" not in block or b'"' not in block or not _ESCAPE.search(block):
        return
    for match in dialect_of(schema)._quoted.finditer(block):
        if _ESCAPE.search(match[0]):
            at = line + block.count(b"\n", 0, match.start())
            raise DialectError(
                f"{source}: RFC 4180 and Spark read a backslash in quotes differently, and no dialect is declared",
                expected="a declared dialect, because a field depends on it",
                fix='declare the writer of the channel: Schema.of(..., csv=Csv(dialect="spark")), or dialect="rfc4180"',
                problems=[Problem(f"{source}:{at}", "has such a field; declare csv=Csv(dialect=...)")],
            )


def _is_closed(edges: NDArray[np.int64] | None) -> bool:
    return edges is not None and len(edges) % 2 == 0


def _edges_of(match: re.Match[bytes]) -> tuple[int, ...]:
    return (match.start(), match.end() - 1) if match[match.re.groups] == b'"' else (match.start(),)
