"""Thrift's compact protocol, as far as a Parquet footer uses it: structures as fields by number, read and written.

What is read keeps its types, so that a structure of which a few fields are known can be written again with all others.
(thrift-compact-protocol.md of Apache Thrift.)
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _STRUCT = 1, 2, 3, 7, 8, 9, 12
_INTEGERS: Final = (4, 5, 6)
_LONG_LIST = 15  # in the place of a length that has no room beside the kind


class Field(NamedTuple):
    """A value and its kind, as the protocol numbers kinds; a double is its 8 bytes."""

    kind: int
    value: Any


class Items(NamedTuple):
    """A list: the kind of its values, and these."""

    kind: int
    values: list[Any]


Fields = dict[int, Field]


def integer(value: int) -> Field:
    """Return a field of 64 bits."""
    return Field(6, value)


def read_struct(data: bytes) -> Fields:
    """Return the fields of the structure that is the whole of `data`.

    Raises:
        ValueError, IndexError: it is none.
    """
    reader = _Reader(data)
    fields = reader.struct()
    if reader.position != len(data):
        raise ValueError("something follows the structure")
    return fields


def write_struct(fields: Fields) -> bytes:
    """Return the bytes of a structure."""
    parts: list[bytes] = []
    last = 0
    for number, (kind, value) in sorted(fields.items()):
        short = 0 < number - last < 16
        parts.append(bytes([(number - last) << 4 | kind]) if short else bytes([kind]) + _zigzag(number))
        if kind not in (_TRUE, _FALSE):
            parts.append(_written(kind, value))
        last = number
    return b"".join(parts) + b"\0"


def _written(kind: int, value: Any) -> bytes:
    if kind in _INTEGERS:
        return _zigzag(value)
    if kind == _STRUCT:
        return write_struct(value)
    if kind == _BINARY:
        return _varint(len(value)) + bytes(value)
    if kind == _DOUBLE:
        return bytes(value)
    if kind == _LIST:
        count = len(value.values)
        head = bytes([count << 4 | value.kind]) if count < _LONG_LIST else bytes([0xF0 | value.kind]) + _varint(count)
        return head + b"".join(_written(value.kind, each) for each in value.values)
    return bytes([value])  # a byte, or a truth value in a list


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def struct(self) -> Fields:
        fields: Fields = {}
        number = 0
        while kind := self._byte():
            number = number + (kind >> 4) if kind >> 4 else self._zigzag()
            kind &= 15
            fields[number] = Field(kind, kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind))
        return fields

    def _value(self, kind: int) -> Any:
        if kind in _INTEGERS:
            return self._zigzag()
        if kind == _STRUCT:
            return self.struct()
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind == _LIST:
            return self._list()
        if kind == _DOUBLE:
            return self._bytes(8)
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        raise ValueError(f"type {kind} does not occur in Parquet's metadata")

    def _list(self) -> Items:
        head = self._byte()
        count = self._varint() if head >> 4 == _LONG_LIST else head >> 4
        if count > len(self.data):
            raise ValueError("longer than its data")
        return Items(head & 15, [self._value(head & 15) for _ in range(count)])

    def _byte(self) -> int:
        self.position += 1
        return self.data[self.position - 1]

    def _bytes(self, count: int) -> bytes:
        if self.position + count > len(self.data):
            raise ValueError("longer than its data")
        self.position += count
        return self.data[self.position - count : self.position]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 70:
                raise ValueError("not a number")
        return value | byte << shift

    def _zigzag(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
