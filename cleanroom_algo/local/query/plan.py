"""The plan and the outcome of a query, as plain values that do not depend on the engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cleanroom_algo.local.query.table import TableAccess

if TYPE_CHECKING:
    from cleanroom_algo.local.query.templates import Parameter

CsvDialect = Literal["rfc4180", "spark"]
"""The dialect of CSV files: either quotes inside quotes are doubled and backslashes are ordinary characters; or both
are preceded by a backslash, and white space at the ends of texts is removed."""

Engine = Literal["duckdb", "spark"]
"""The engines."""


@dataclass(frozen=True, slots=True)
class SyntheticColumn:
    """The properties of a column of a result for generating rows.

    Attributes:
        name: of the column in the result.
        categorical: whether its values can only be equal or different; else they have distances.
        predictive: whether it is to be predicted.
    """

    name: str
    categorical: bool
    predictive: bool


@dataclass(frozen=True, slots=True)
class SyntheticPlan:
    """Rows to generate instead of a query's own.

    Attributes:
        epsilon: of differential privacy.
        max_attack_score: maximum score of the attack on generated rows; the query fails above it.
        columns: of the result.
        rows: minimum and maximum number of rows of the query's result.
        categories: maximum number of values of a categorical column to predict.
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
        access: the tables that it can see.
        directory: for the part files; it must not exist.
        result_format: of the part files.
        dialect: of CSV files.
        header: whether CSV files begin with the names of the columns.
        max_records: per file; 0: no limit.
        extension: whether the names of part files have an extension for their format.
        engine: the engine to use.
        spark: properties of Spark, if it is used.
        s3_endpoint: the URL of an S3 service for tables in S3; None: as boto3 finds it.
        ansi: whether Spark is in ANSI mode.
        int96: whether timestamps in Parquet are INT96.
        parameters: of the query's analysis template.
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
    """The result of a query.

    Attributes:
        records: in all part files.
        files: how many there are.
        bytes: of all of them.
        dialect: of the files, if they are CSV.
        dialect_columns: of CSV files, the columns with values that depend on the dialect.
        unwritten: rows that consist of one null, which Spark does not write to CSV.
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
