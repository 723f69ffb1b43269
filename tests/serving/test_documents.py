"""Bodies that are not made of lines, part by part."""

from __future__ import annotations

import io

import polars as pl
import pytest

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import BadRecordError
from cleanroom_algo.serving.documents import BATCH_ROWS, decode_document
from cleanroom_algo.serving.formats import Format

SCHEMA = Schema.of(x="int32", text="string?")
ROWS = 3 * BATCH_ROWS + 5


def parquet(frame: pl.DataFrame, **options: int) -> bytes:
    out = io.BytesIO()
    frame.write_parquet(out, **options)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize("group", [1000, BATCH_ROWS + 1, ROWS])
def test_parquet_comes_in_order_whatever_its_row_groups(group: int) -> None:
    frame = pl.DataFrame({"text": ["a", None, "b", "c", "d"], "x": range(5)}, schema_overrides={"x": pl.Int32})
    frame = pl.concat([frame] * (ROWS // 5)).with_columns(x=pl.int_range(ROWS // 5 * 5, dtype=pl.Int32))
    parts = [rows.frame for rows in decode_document(parquet(frame, row_group_size=group), Format.PARQUET, SCHEMA)]
    assert len(parts) > 1
    assert pl.concat(parts).equals(frame.select("x", "text"))


def test_a_bad_record_of_parquet_is_placed_in_the_whole() -> None:
    frame = pl.DataFrame({"x": pl.int_range(ROWS, eager=True), "text": pl.repeat("a", ROWS, eager=True)})
    frame = frame.with_columns(x=pl.when(pl.col("x") == BATCH_ROWS + 7).then(1 << 40).otherwise("x"))
    with pytest.raises(BadRecordError, match=r"do not fit") as caught:
        list(decode_document(parquet(frame, row_group_size=1000), Format.PARQUET, SCHEMA))
    assert str(BATCH_ROWS + 7) in caught.value.problems[0].path + caught.value.problems[0].message
    lenient = list(decode_document(parquet(frame, row_group_size=1000), Format.PARQUET, SCHEMA, lenient=True))
    assert sum(rows.frame.height for rows in lenient) == ROWS - 1
    assert sum(len(rows.bad) for rows in lenient) == 1


@pytest.mark.parametrize("damage", [lambda body: body[:-100], lambda body: body[:4] + bytes(40) + body[44:]])
def test_damaged_parquet_is_refused(damage: object) -> None:
    body = parquet(pl.DataFrame({"x": pl.int_range(5000, dtype=pl.Int32, eager=True), "text": ["a"] * 5000}))
    assert callable(damage)
    with pytest.raises(BadRecordError):
        list(decode_document(damage(body), Format.PARQUET, SCHEMA))
