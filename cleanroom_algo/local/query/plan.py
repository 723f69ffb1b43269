"""What a query will do, and what it did, as plain values: the same whichever engine runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cleanroom_algo.local.query.table import TableAccess

if TYPE_CHECKING:
    from cleanroom_algo.local.query.templates import Parameter

CsvDialect = Literal["rfc4180", "spark"]
"""The dialect of CSV files: quotes inside of quotes are doubled and backslashes are characters like others; or both
have a backslash before them, and white space at the ends of texts is left out."""

Engine = Literal["duckdb", "spark"]
"""What computes queries."""


@dataclass(frozen=True, slots=True)
class SyntheticColumn:
    """What a column of a result is, for rows to be generated.

    Attributes:
        name: in the result.
        categorical: whether its values are equal or not, and not near or far.
        predictive: whether it is to be predicted.
    """

    name: str
    categorical: bool
    predictive: bool


@dataclass(frozen=True, slots=True)
class SyntheticPlan:
    """Rows to generate in the place of a query's own.

    Attributes:
        epsilon: of differential privacy.
        max_attack_score: of the generated rows; the query fails above it.
        columns: of the result.
        rows: how many the query's result has at least and at most.
        categories: values of a categorical column that is to be predicted, at most.
    """

    epsilon: float
    max_attack_score: float
    columns: tuple[SyntheticColumn, ...]
    rows: tuple[int, int]
    categories: int


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A query to run.

    Attributes:
        query: in Spark's dialect.
        access: the tables that it may see.
        directory: for the part files; it must not exist.
        result_format: of the part files.
        dialect: of CSV files.
        header: whether CSV files begin with the names.
        max_records: per file; 0: no limit.
        extension: whether the names of part files say their format.
        engine: that computes.
        spark: properties of Spark, where it computes.
        s3_endpoint: the URL of an S3 service for tables in S3; as boto3 finds it if None.
        ansi: whether Spark is in ANSI mode.
        int96: whether timestamps in Parquet are INT96.
        parameters: of the analysis template that the query is.
        synthetic: rows to generate; None for the query's own.
    """

    query: str
    access: TableAccess
    directory: Path
    result_format: Literal["CSV", "PARQUET"] = "CSV"
    dialect: CsvDialect = "rfc4180"
    header: bool = True
    max_records: int = 0
    extension: bool = True
    engine: Engine = "duckdb"
    spark: tuple[tuple[str, str], ...] = ()
    s3_endpoint: str | None = None
    ansi: bool = False
    int96: bool = False
    parameters: tuple[Parameter, ...] = ()
    synthetic: SyntheticPlan | None = None


@dataclass(frozen=True, slots=True)
class QueryOutcome:
    """What a query wrote.

    Attributes:
        records: in all part files.
        files: how many there are.
        bytes: of all of them.
        dialect: of the files, if they are CSV.
        dialect_columns: of CSV files, the columns with values that dialects of CSV write or read differently.
        unwritten: rows of nothing but a null, which Spark leaves out of CSV.
        attack_score: of generated rows.
    """

    records: int
    files: int
    bytes: int
    dialect: CsvDialect | None = None
    dialect_columns: tuple[str, ...] = ()
    unwritten: int = 0
    attack_score: float | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What readers of the files should know."""
        found = []
        if self.attack_score is not None:
            found.append(
                f"the rows are synthetic, by another generator than that of AWS; attack score {self.attack_score:.3f}"
            )
        if self.dialect_columns:
            found.append(
                f"{', '.join(self.dialect_columns)}: some values contain a quote, a backslash, a line break, or "
                f"white space at an end, which CSV dialects write differently; these files are {self.dialect}, and "
                "AWS does not document what it writes"
            )
        if self.unwritten:
            found.append(
                "rows that contain only a null are left out, because Spark does not write them to CSV: "
                f"{self.unwritten}"
            )
        return tuple(found)
