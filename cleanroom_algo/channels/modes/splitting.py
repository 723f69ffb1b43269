"""Dividing objects among ranks, and counting their rows without parsing them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from cleanroom_algo.channels.files import file_chunks, probe, readable
from cleanroom_algo.channels.formats.blocks import (
    MAX_ROW_BYTES,
    RowRules,
    count_byte,
    count_outside_quotes,
    cut_rows,
    gunzip,
    row_too_long,
    without_escaped,
)
from cleanroom_algo.channels.formats.csv.decoder import CsvDecoder
from cleanroom_algo.channels.formats.csv.quoting import inside_quotes
from cleanroom_algo.channels.formats.parquet.reader import footer_of
from cleanroom_algo.channels.formats.registry import Format, sniff
from cleanroom_algo.channels.modes.file import read_object, row_rules
from cleanroom_algo.channels.objects import Object
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.channels.splits import Split
from cleanroom_algo.errors import RowTooLongError

_STEP: Final = 64 << 10
"""Bytes looked at for the end of a row: a row is rarely longer."""


def split_object(obj: Object, schema: Schema, parts: int, own: range | None = None) -> tuple[Split, ...]:
    """Divide an object into splits of about equal size that together hold each row once.

    Parquet is divided at row groups; CSV and JSON Lines at line breaks that end a row, of which only the surroundings
    of the cuts are read. In CSV with string columns a line break may lie inside quotes: there a little more of what
    follows a cut is read, or what precedes it, without parsing (see `quoting`). gzip and RecordIO cannot be divided:
    the split in the middle is the whole object. With one part the object is not even opened.

    Args:
        obj: an object of `list_objects`.
        schema: the declared columns.
        parts: at least 1.
        own: which of the parts are wanted, all by default; only their ends are looked for.

    Returns:
        A split for each wanted part, in the order of the rows; a split may be empty.

    Raises: what `read_object` raises for objects that cannot be read.
    """
    wanted = range(parts) if own is None else own
    if parts == 1:
        return (Split(0, obj.size),) if wanted else ()
    with readable(obj):
        found, _ = probe(obj)
        if found is Format.PARQUET:
            rows = [group.rows for group in footer_of(obj.path, source=obj.name).groups]
            cuts = _group_cuts(rows, parts)[wanted.start : wanted.stop + 1]
            return tuple(Split(start, end, "row_groups") for start, end in pairwise(cuts))
        if found in (Format.GZIP, Format.RECORD_IO):
            return tuple(Split(0, obj.size if part == parts // 2 else 0) for part in wanted)
        quoted = found is Format.CSV and any(column.dtype == "string" for column in schema.columns)
        return tuple(Split(start, end) for start, end in pairwise(_byte_cuts(obj, parts, wanted, quoted)))


def count_rows(obj: Object, schema: Schema, split: Split | None = None) -> int:
    """Return how many rows `read_object` yields for an object or a split of it, without parsing it.

    Parquet: from the footer. CSV and JSON Lines: by the line breaks that end a row, at about the raw rate of reading;
    gzip is decompressed for it, and blocks of CSV with a quote behind a backslash are parsed, as only the whole field
    tells whether it is escaped. RecordIO: by reading it.

    Raises: what `read_object` raises for objects that cannot be read.
    """
    with readable(obj):
        found, head = probe(obj)
        if found is Format.PARQUET:
            groups = footer_of(obj.path, source=obj.name).groups
            divided = split is not None and split.unit == "row_groups"
            first, last = (split.start, split.end) if split is not None and divided else (0, len(groups))
            return sum(group.rows for group in groups[first:last])
        chunks: Iterator[bytes] = file_chunks(obj, split.start, split.end) if split else file_chunks(obj)
        if found is Format.GZIP:
            head = next(gunzip(iter([head]), source=obj.name), b"") if obj.size else b""
            found = sniff(head, source=obj.name)
            chunks = gunzip(chunks, source=obj.name)
        if found not in (Format.CSV, Format.JSON_LINES):
            return sum(frame.height for frame in read_object(obj, schema, batch_rows=1 << 20, columns=schema.names[:1]))
        rules = row_rules(found, schema)
        decoder = CsvDecoder(schema, source=obj.name, columns=schema.names[:1])
        if found is Format.CSV:
            decoder.start(head[: head.find(b"\n") + 1 or len(head)])
        rows = sum(_rows_in(block, rules, decoder) for block in cut_rows(chunks, source=obj.name, rules=rules))
    return rows - (decoder.header_lines if split is None or not split.start else 0)


def _group_cuts(rows: Sequence[int], parts: int) -> list[int]:
    """Return where parts begin and end: a row group belongs to the part in whose span its middle lies."""
    ends = np.cumsum(np.asarray(rows, dtype=np.int64))
    middles = ends - np.asarray(rows, dtype=np.int64) / 2
    total = float(ends[-1]) if len(ends) else 0.0
    inner = np.searchsorted(middles, [total * part / parts for part in range(1, parts)], side="left")
    return [0, *inner.tolist(), len(rows)]


def _byte_cuts(obj: Object, parts: int, wanted: range, quoted: bool) -> list[int]:
    """Return where the wanted parts begin, and where the last one ends.

    A part in which no row ends is empty: its cut is that of the next one. So cuts ascend, and are the same to everyone
    who asks, also where quotes are not those of RFC 4180 and whether a place is inside of them is guessed wrongly.
    """
    # One byte before the even division: where a row ends exactly there, that is the cut.
    targets = [0, *(max(obj.size * part // parts - 1, 0) for part in range(1, parts)), obj.size]
    inner = [part for part in range(wanted.start, wanted.stop + 1) if 0 < part < parts]
    inside = dict(zip(inner, _inside(obj, [targets[part] for part in inner], quoted), strict=True))

    def cut(part: int) -> int:
        while 0 < part < parts:
            if part not in inside:
                (inside[part],) = _inside(obj, [targets[part]], quoted)
            end = _row_end(obj, targets[part], targets[part + 1], inside=inside[part], quoted=quoted)
            if end is not None:
                return end
            part += 1
        return targets[part]

    return [cut(part) for part in range(wanted.start, wanted.stop + 1)]


def _inside(obj: Object, offsets: Sequence[int], quoted: bool) -> list[bool]:
    return inside_quotes(obj, offsets) if quoted and offsets else [False] * len(offsets)


def _row_end(obj: Object, offset: int, limit: int, *, inside: bool, quoted: bool) -> int | None:
    """Return the offset after the first line break outside of quotes from `offset` on, None where `limit` comes first.

    Where no row would end, quotes after a backslash are taken for Spark's, which count for nothing; then those before
    the offset may have been counted wrongly, too.
    """
    for as_told, escaped in ((True, False), (True, True), (False, True)):
        try:
            return _first_row_end(obj, offset, limit, inside=inside == as_told, quoted=quoted, escaped=escaped)
        except RowTooLongError:
            if not quoted:
                break
    raise row_too_long(obj.name, 1)


def _first_row_end(obj: Object, offset: int, limit: int, *, inside: bool, quoted: bool, escaped: bool) -> int | None:
    with obj.path.open("rb") as file:
        file.seek(offset)
        position = offset
        while position < limit and (read := file.read(_STEP)):
            step = without_escaped(read) if escaped else read
            start = 0
            while (found := step.find(b"\n", start, limit - position)) >= 0:
                inside ^= quoted and step.count(b'"', start, found) % 2 == 1
                start = found + 1
                if not inside:
                    return position + start
            inside ^= quoted and step.count(b'"', start) % 2 == 1
            position += len(step)
            if position - offset > MAX_ROW_BYTES:
                raise row_too_long(obj.name, 1)
    return None


def _rows_in(block: bytes, rules: RowRules, decoder: CsvDecoder) -> int:
    if rules.quotes and b"\\" in block and b'\\"' in block:  # one byte is found five times as fast as two
        rejected: list[int] = []
        return decoder.decode(block, rejected=rejected).height + len(rejected)
    breaks = count_outside_quotes(block, b"\n") if rules.quotes else count_byte(block, b"\n")
    return breaks + (not block.endswith(b"\n"))
