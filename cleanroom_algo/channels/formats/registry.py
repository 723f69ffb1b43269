"""Which format the bytes of an object are in: seen from their beginning, never from a name.

Clean Rooms ML does not document the names of a channel's objects, so an extension proves nothing.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from cleanroom_algo.channels.formats.blocks import GZIP_MAGIC
from cleanroom_algo.channels.formats.csv.decoder import BOM
from cleanroom_algo.channels.formats.parquet.footer import MAGIC as PARQUET_MAGIC
from cleanroom_algo.channels.formats.recordio import MAGIC_BYTES as RECORD_IO_MAGIC
from cleanroom_algo.errors import UnknownFormatError

LEAST_BYTES: Final = 16
"""Enough to tell a format. No more are looked at: a stream does not wait for more, as its writer may be slow, and in a
file an object must not be taken for another."""
_UTF_16: Final = "UTF-16 text"
_FOREIGN: Final = {
    b"PARE": "encrypted Parquet",
    b"ARROW1": "Arrow IPC",
    b"ORC": "ORC",
    b"Obj\x01": "Avro",
    b"PK\x03\x04": "a ZIP archive",
    **{b"BZh%d1AY&SY" % level: "bzip2" for level in range(1, 10)},
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\xff\x06\x00\x00sNaPpY": "Snappy",
    b"\xfd7zXZ": "xz",
    b"\xff\xfe": _UTF_16,
    b"\xfe\xff": _UTF_16,
}
_FIXES: Final = {
    _UTF_16: "write the text in UTF-8",
    **dict.fromkeys(
        ("a ZIP archive", "bzip2", "Zstandard", "Snappy", "xz"),
        "decompress it, or compress it with gzip, object by object",
    ),
}
_NO_TEXT: Final = re.compile(rb"[\x00-\x08\x0e-\x1f]")


class Format(StrEnum):
    """The formats that are read."""

    CSV = "CSV"
    PARQUET = "Parquet"
    JSON_LINES = "JSON Lines"
    RECORD_IO = "RecordIO"
    GZIP = "gzip"


def sniff(head: bytes, *, source: str) -> Format:
    """Return the format of an object by its first bytes; an empty object is CSV without rows.

    Args:
        head: the first bytes of the object, at least `LEAST_BYTES` unless it is shorter.
        source: what to call the object in messages.

    Raises:
        UnknownFormatError: CR-CHN-004, a format that is not read, or bytes that are no text.
    """
    head = head[:LEAST_BYTES]
    if head.startswith(PARQUET_MAGIC):
        return Format.PARQUET
    if head.startswith(GZIP_MAGIC):
        return Format.GZIP
    if head.startswith(RECORD_IO_MAGIC):
        return Format.RECORD_IO
    for magic, name in _FOREIGN.items():
        # Text may begin with such letters too; soon after them the other formats have bytes that plain text has not.
        if head.startswith(magic) and (not magic.isalnum() or _NO_TEXT.search(head)):
            raise _unknown(source, name)
    if head.removeprefix(BOM).lstrip(b" \t\r\n").startswith(b"{"):
        return Format.JSON_LINES
    if b"\0" in head:
        raise _unknown(source, None if any(head[::2]) and any(head[1::2]) else _UTF_16)
    return Format.CSV


def _unknown(source: str, name: str | None) -> UnknownFormatError:
    what = "it is neither text nor one of the binary formats" if name is None else f"it looks like {name}"
    return UnknownFormatError(
        f"{source}: its format is not read: {what}",
        expected="CSV, Parquet, JSON Lines or RecordIO, plain or compressed with gzip; text in UTF-8",
        fix=_FIXES.get(name or "", "choose resultFormat CSV or PARQUET for the ML input channel"),
    )
