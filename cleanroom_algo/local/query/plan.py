"""What a query will do, and what it did, as plain values: the same whichever engine runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cleanroom_algo.local.query.table import TableAccess
from cleanroom_algo.local.query.templates import Parameter

CSV_DIALECT: Final = "rfc4180"
"""The dialect of CSV files: quotes inside of quotes are doubled, backslashes are characters like others."""

Engine = Literal["duckdb", "spark"]
"""What computes queries."""


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
        engine: that computes.
        parameters: of the analysis template that the query is.
    """

    query: str
    access: TableAccess
    directory: Path
    result_format: Literal["CSV", "PARQUET"] = "CSV"
    header: bool = True
    max_records: int = 0
    extension: bool = True
    engine: Engine = "duckdb"
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryOutcome:
    """What a query wrote.

    Attributes:
        records: in all part files.
        files: how many there are.
        bytes: of all of them.
        dialect_columns: of CSV files, the columns with values that dialects of CSV write or read differently.
    """

    records: int
    files: int
    bytes: int
    dialect_columns: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever reads the files should know."""
        if not self.dialect_columns:
            return ()
        what = "some values hold a quote, a backslash or a line break, which dialects of CSV write differently"
        written = f"these files are {CSV_DIALECT}, and what AWS writes is not documented"
        return (f"{', '.join(self.dialect_columns)}: {what}; {written}",)
