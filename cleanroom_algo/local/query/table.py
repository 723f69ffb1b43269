"""The tables of a collaboration in the view of a query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cleanroom_algo.local.objects.listing import Source

Format = Literal["csv", "parquet"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table in the view of a query.

    Attributes:
        name: in the collaboration.
        location: a file, or a folder of files; on this machine or in S3.
        format: of the files; None: their names decide.
        columns: those allowed in analyses; a query can only see these.
        join_columns: a part of `columns`; they can only be compared for equality with columns of tables.
        withheld_columns: a part of `columns`; they cannot be in the output, but can be compared with values, too.
        either_join: whether conditions with join columns may be combined with OR.
    """

    name: str
    location: Source
    format: Format | None
    columns: tuple[str, ...]
    join_columns: tuple[str, ...] = ()
    withheld_columns: tuple[str, ...] = ()
    either_join: bool = False


@dataclass(frozen=True, slots=True)
class TableAccess:
    """The tables that a query can see.

    Attributes:
        tables: those that it may use.
        hidden: for each other table of the collaboration, why it may not be used.
    """

    tables: tuple[Table, ...]
    hidden: Mapping[str, str] = field(default_factory=dict)
