"""What a query will do, and what it did, as plain values: the same whichever engine runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cleanroom_algo.local.query.table import TableAccess


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A query to run.

    Attributes:
        query: in Spark's dialect.
        access: the tables that it may see.
        directory: for the part files; it must not exist.
        result_format: of the part files.
        header: whether CSV files begin with the names.
        max_records: per file; 0: no limit.
        extension: whether the names of part files say their format.
    """

    query: str
    access: TableAccess
    directory: Path
    result_format: Literal["CSV", "PARQUET"] = "CSV"
    header: bool = True
    max_records: int = 0
    extension: bool = True


@dataclass(frozen=True, slots=True)
class QueryOutcome:
    """What a query wrote: rows, part files, and their bytes together."""

    records: int
    files: int
    bytes: int
