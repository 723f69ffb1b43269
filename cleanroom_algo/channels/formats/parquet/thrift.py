"""Thrift's compact protocol, as far as a Parquet footer uses it: structures become dicts of values by field number.

(thrift-compact-protocol.md of Apache Thrift.)
"""

from __future__ import annotations

from typing import Any, Final

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _STRUCT = 1, 2, 3, 7, 8, 9, 12
_INTEGERS: Final = (4, 5, 6)
_LONG_LIST = 15  # instead of a length that does not fit beside the type

Fields = dict[int, Any]


def read_struct(data: bytes) -> Fields:
    """Return the fields of the structure that `data` consists of.

    Raises:
        ValueError, IndexError: it is not a structure.
    """
    reader = _Reader(data)
    fields = reader.struct()
    if reader.position != len(data):
        raise ValueError("something follows the structure")
    return fields


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
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind)
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

    def _list(self) -> list[Any]:
        head = self._byte()
        count = self._varint() if head >> 4 == _LONG_LIST else head >> 4
        if count > len(self.data):
            raise ValueError("longer than its data")
        return [self._value(head & 15) for _ in range(count)]

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
