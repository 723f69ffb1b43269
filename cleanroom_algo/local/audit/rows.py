"""The rows of files as written, without a schema."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cleanroom_algo.channels.formats.gzip import GZIP_MAGIC
from cleanroom_algo.channels.formats.parquet.footer import MAGIC as PARQUET_MAGIC
from cleanroom_algo.errors import AuditError
from cleanroom_algo.local.objects.listing import objects_of
from cleanroom_algo.local.objects.reference import ObjectRef


def read_rows(place: Path) -> pl.DataFrame:
    """Return the rows of a folder or file; CSV needs a header, and its fields are not converted.

    Raises:
        AuditError: CR-CLI-009, the files are not Parquet, JSON Lines or CSV, or their columns differ.
    """
    try:
        return pl.concat(tables(objects_of(place)), how="vertical_relaxed")
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise AuditError(
            f"{place} cannot be read as one table: {str(error).splitlines()[0]}",
            expected="Parquet, JSON Lines, or CSV with a header; all files with the same columns",
            fix="write the rows in one of these forms",
        ) from error


def tables(objects: tuple[ObjectRef, ...], *, has_header: bool = True) -> Iterator[pl.DataFrame]:
    """Yield the rows of each object; fields of CSV are strings."""
    for each in objects:
        with each.open() as file:
            content = file.read()
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
        if content.startswith(PARQUET_MAGIC):
            yield pl.read_parquet(io.BytesIO(content))
        elif content.lstrip().startswith(b"{"):
            yield pl.read_ndjson(io.BytesIO(content), infer_schema_length=None)
        elif content.strip():
            yield pl.read_csv(io.BytesIO(content), has_header=has_header, infer_schema=False)


def parsed(values: pl.Series) -> pl.Series:
    """Return strings converted to the type that all of them spell: integers, floats, Booleans, or strings."""
    if values.dtype != pl.String:
        return values
    return pl.read_csv(io.BytesIO(values.to_frame().write_csv().encode()), infer_schema_length=None).to_series()


def numbers(values: pl.Series) -> NDArray[np.float64] | None:
    """Return the numbers of a column, without nulls and NaN; None if it has other values."""
    if values.dtype.is_nested() or values.dtype.is_temporal():
        return None
    found = values.cast(pl.Float64, strict=False)
    return None if found.null_count() > values.null_count() else found.drop_nulls().drop_nans().to_numpy()
