"""What a query sees of the tables of its collaboration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cleanroom_algo.local.objects.listing import Source

Format = Literal["csv", "parquet"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table, as a query sees it.

    Attributes:
        name: in the collaboration.
        location: a file, or a folder of files; on this machine or in S3.
        format: of the files; as their names say if None.
        columns: allowed in analyses; the only ones that a query can see.
        join_columns: among `columns`; they may only be compared with columns of tables, for equality.
        withheld_columns: among `columns`; they may not be in the output, but be compared with values, too.
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
    """What a query sees.

    Attributes:
        tables: that it may use.
        hidden: why it may not use the others of the collaboration, by name.
    """

    tables: tuple[Table, ...]
    hidden: Mapping[str, str] = field(default_factory=dict)
