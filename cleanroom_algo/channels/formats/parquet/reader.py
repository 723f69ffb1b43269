"""From Parquet objects to tables: polars decodes; columns are found by name, and cast only where no value is lost.

Memory: the row groups in flight, one for each thread of polars. polars maps a file into memory. On a mount of an object
store, which may stream, each page fault would be a separate read. So the wanted parts of such a file are first copied
to the temporary disk, front to back.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from cleanroom_algo.channels.conform import check_columns, conform
from cleanroom_algo.channels.formats.parquet.footer import MAGIC, Footer, NotParquetError, damaged, read_footer
from cleanroom_algo.channels.formats.parquet.spool import spool_groups, spool_objects
from cleanroom_algo.channels.formats.protocol import Stream, Wanted
from cleanroom_algo.channels.hints import ONE_NAME
from cleanroom_algo.channels.objects import Object
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.channels.splits import Split
from cleanroom_algo.errors import ColumnsMismatchError, Problem


class ParquetReader:
    """The reader of Parquet."""

    name = "Parquet"
    seeks = True

    def sniff(self, head: bytes) -> bool:
        """Return whether a Parquet file begins."""
        return head.startswith(MAGIC)

    def split(self, obj: Object, schema: Schema, parts: int, own: range) -> tuple[Split, ...]:  # noqa: ARG002
        """Divide an object at row groups."""
        rows = [group.rows for group in footer_of(obj.path, source=obj.name).groups]
        cuts = _group_cuts(rows, parts)[own.start : own.stop + 1]
        return tuple(Split(start, end, "row_groups") for start, end in pairwise(cuts))

    def count(self, obj: Object, schema: Schema, split: Split | None) -> int:  # noqa: ARG002
        """Return the number of rows that the footer contains."""
        groups = footer_of(obj.path, source=obj.name).groups
        return sum(group.rows for group in groups[_groups(split) or slice(None)])

    def read(self, obj: Object, wanted: Wanted, split: Split | None) -> Iterator[pl.DataFrame]:
        """Yield the rows of an object, or of some of its row groups."""
        streamed = is_streamed(obj.path)
        yield from read_parquet(obj.path, wanted, source=obj.name, groups=_groups(split), streamed=streamed)

    def join(self, stream: Stream, wanted: Wanted) -> Iterator[pl.DataFrame]:
        """Yield the rows of all objects of a stream."""
        for name, path in spool_objects(stream.chunks, source=stream.source):
            yield from read_parquet(path, wanted, source=name)


def footer_of(path: Path, *, source: str) -> Footer:
    """Return the footer of a Parquet file.

    Raises:
        CorruptObjectError: CR-CHN-005, the file has no footer, or one that does not fit the file.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        try:
            return read_footer(file, file.seek(0, 2))
        except NotParquetError as error:
            raise damaged(source, str(error)) from error


def is_streamed(path: Path) -> bool:
    """Whether a file is on a read-only mount, as in every FastFile channel: any such mount may stream."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def read_parquet(
    path: Path, wanted: Wanted, *, source: str, groups: slice | None = None, streamed: bool = False
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a Parquet file, in order; extra columns that may be there are not read.

    Args:
        path: where the file lies.
        wanted: of its rows.
        source: what to call the object in messages.
        groups: the row groups to read, all by default.
        streamed: whether the file may be a stream: only its footer is read out of order.

    Raises:
        CorruptObjectError: CR-CHN-005, no footer, or damaged pages.
        ColumnsMismatchError: CR-SCH-003, a column is missing, occurs twice or has another type.
        RowMismatchError: CR-SCH-002, what `conform` refuses.
        SpoolLimitError: CR-CHN-010, what is streamed does not fit onto the temporary disk.
    """
    if not streamed:
        yield from _tables(path, wanted, source, groups)
        return
    with spool_groups(path, footer_of(path, source=source), groups, source=source) as copy:
        yield from _tables(copy, wanted, source, groups)


def _tables(path: Path, wanted: Wanted, source: str, groups: slice | None) -> Iterator[pl.DataFrame]:
    schema = wanted.schema
    columns = [schema.column(name) for name in (wanted.columns if wanted.columns is not None else schema.names)]
    row, rows = _row_range(path, groups, source)
    with _polars_errors(path, source):
        # Otherwise, polars may expand a path as a pattern or a directory.
        scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        found = scan.collect_schema()
        check_columns(columns, found, source, extra=schema.extra_of(found))
        scan = scan.select([column.name for column in columns])
        if groups is not None:
            scan = scan.slice(row, rows)
        for table in scan.collect_batches(chunk_size=wanted.batch_rows, maintain_order=True, lazy=True):
            for part in table.iter_slices(wanted.batch_rows):
                yield conform(part, columns, source=source, row=row)
                row += part.height


def _groups(split: Split | None) -> slice | None:
    return slice(split.start, split.end) if split is not None and split.unit == "row_groups" else None


def _row_range(path: Path, groups: slice | None, source: str) -> tuple[int, int | None]:
    """Return the first row of some row groups and their number of rows; None for the number if these are all groups."""
    if groups is None:
        return 0, None
    rows = [group.rows for group in footer_of(path, source=source).groups]
    return sum(rows[: groups.start]), sum(rows[groups])


def _group_cuts(rows: Sequence[int], parts: int) -> list[int]:
    """Return where parts begin and end: a row group belongs to the part whose span contains the middle of the group."""
    ends = np.cumsum(np.asarray(rows, dtype=np.int64))
    middles = ends - np.asarray(rows, dtype=np.int64) / 2
    total = float(ends[-1]) if len(ends) else 0.0
    inner = np.searchsorted(middles, [total * part / parts for part in range(1, parts)], side="left")
    return [0, *inner.tolist(), len(rows)]


@contextlib.contextmanager
def _polars_errors(path: Path, source: str) -> Iterator[None]:
    """Convert polars' errors about a file to this package's errors."""
    try:
        yield
    except pl.exceptions.DuplicateError as error:
        raise _ambiguous(source, footer_of(path, source=source)) from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        footer_of(path, source=source)  # raises the error if the footer is at fault
        raise damaged(source, "its pages cannot be decoded") from error


def _ambiguous(source: str, footer: Footer) -> ColumnsMismatchError:
    return ColumnsMismatchError(
        f"{source}: several columns have the same name",
        expected="columns with unique names",
        fix=ONE_NAME,
        problems=[
            Problem(f"{source}:{name}", f"occurs {count} times")
            for name, count in Counter(footer.columns).items()
            if count > 1
        ],
    )
