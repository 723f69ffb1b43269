"""Which format the bytes of an object are in: seen from their beginning, never from a name.

Clean Rooms ML does not document the names of a channel's objects, so an extension proves nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from cleanroom_algo.channels.blocks import GZIP_MAGIC
from cleanroom_algo.channels.csv_decoder import BOM
from cleanroom_algo.channels.parquet_footer import MAGIC as PARQUET_MAGIC
from cleanroom_algo.channels.recordio import MAGIC_BYTES as RECORD_IO_MAGIC
from cleanroom_algo.errors import UnknownFormatError

PROBE_BYTES: Final = 4096
LEAST_BYTES: Final = 16
"""Enough for every magic; a stream does not wait for more, as its writer may be slow."""
_FOREIGN: Final = {
    b"PARE": "encrypted Parquet",
    b"ARROW1": "Arrow IPC",
    b"ORC": "ORC",
    b"Obj\x01": "Avro",
    b"PK\x03\x04": "a ZIP archive",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\xff\x06\x00\x00sNaPpY": "Snappy",
    b"\xfd7zXZ": "xz",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


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
        head: the first bytes of the object, at least `LEAST_BYTES` unless it is shorter; up to `PROBE_BYTES` help.
        source: what to call the object in messages.

    Raises:
        UnknownFormatError: CR-CHN-004, a format that is not read, or bytes that are no text.
    """
    if head.startswith(PARQUET_MAGIC):
        return Format.PARQUET
    if head.startswith(GZIP_MAGIC):
        return Format.GZIP
    if head.startswith(RECORD_IO_MAGIC):
        return Format.RECORD_IO
    for magic, name in _FOREIGN.items():
        # Text may begin with such letters too; the other formats have bytes in their first lines that no text has.
        if head.startswith(magic) and (b"\0" in head[:PROBE_BYTES] or not magic.isalnum()):
            raise _unknown(source, f"it looks like {name}")
    if head.removeprefix(BOM).lstrip(b" \t\r\n").startswith(b"{"):
        return Format.JSON_LINES
    if b"\0" in head[:PROBE_BYTES]:
        raise _unknown(source, "it is neither text nor one of the binary formats")
    return Format.CSV


def _unknown(source: str, what: str) -> UnknownFormatError:
    return UnknownFormatError(
        f"{source}: its format is not read: {what}",
        expected="CSV, Parquet, JSON Lines or RecordIO, plain or compressed with gzip",
        fix="choose resultFormat CSV or PARQUET for the ML input channel",
    )
