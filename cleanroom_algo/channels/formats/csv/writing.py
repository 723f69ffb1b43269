"""Tables as CSV, written as a schema declares it."""

from __future__ import annotations

import polars as pl

from cleanroom_algo.channels.schema import Csv

_TEXTS = (pl.String, pl.Categorical, pl.Enum)
_LISTS = (pl.List, pl.Array)


def csv_of(frame: pl.DataFrame, csv: Csv, *, header: bool) -> bytes:
    """Return a table as CSV; lists become JSON.

    Args:
        frame: the table, without structs.
        csv: how it is to be written.
        header: whether the first line contains the names.
    """
    if csv == Csv() and not any(isinstance(dtype, _LISTS) for dtype in frame.dtypes):
        return frame.write_csv(include_header=header).encode()
    # Each text is in quotes, as one without them may be a null.
    quoted = {
        name: _quoted(pl.col(name) if isinstance(dtype, _TEXTS) else _json(name, dtype), csv)
        for name, dtype in frame.schema.items()
        if isinstance(dtype, (*_TEXTS, *_LISTS))
    }
    names = pl.DataFrame({"name": frame.columns}).select(_quoted(pl.col("name"), csv))["name"].to_list()
    rows = frame.with_columns(**quoted).rename(dict(zip(frame.columns, names, strict=True)))
    text: str = rows.write_csv(
        include_header=header, separator=csv.delimiter, decimal_comma=csv.decimal == ",", quote_style="never"
    )
    return text.encode()


def _json(name: str, dtype: pl.DataType) -> pl.Expr:
    lists = pl.col(name).arr.to_list() if isinstance(dtype, pl.Array) else pl.col(name)
    items = lists.list.eval(pl.element().cast(pl.String).fill_null("null")).list.join(",")
    return pl.when(pl.col(name).is_not_null()).then(pl.format("[{}]", items)).alias(name)


def _quoted(texts: pl.Expr, csv: Csv) -> pl.Expr:
    plain = texts.cast(pl.String)
    if csv.dialect == "spark":
        escaped = plain.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    else:
        escaped = plain.str.replace_all('"', '""', literal=True)
    return pl.concat_str(pl.lit('"'), escaped, pl.lit('"')).alias(texts.meta.output_name())
