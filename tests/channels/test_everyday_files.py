"""Files as people have them: each reads as declared in every format and input mode, or says what to declare."""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from cleanroom_algo.channels.conform import dtype_of
from cleanroom_algo.channels.fitting import FeaturesFitter
from cleanroom_algo.channels.modes.file import split_object
from cleanroom_algo.channels.schema import Column, Csv, Schema
from cleanroom_algo.errors import CleanroomError, FeaturesError, InvalidSchemaError
from tests.channels.support import decode_stream, read, squeeze, write

FRENCH = Csv(delimiter=";", decimal=",", null_values=["NA", "-"])
FRAME = pd.DataFrame({"x": [0.5, None], "target": [True, None], "n": [1, 2]})


def parquet(columns: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer)
    return buffer.getvalue()


FILES: dict[str, tuple[bytes, Schema, list[tuple[Any, ...]]]] = {
    "pandas with its index": (
        FRAME.to_csv().encode(),
        Schema.of({"x": "float32?", "target": "bool?"}, target="target", extra_columns="ignore"),
        [(0.5, True), (None, None)],
    ),
    "0 and 1, and 1.0 beside nulls": (
        FRAME.astype({"target": "float"}).to_csv(index=False).encode(),
        Schema.of({"x": "float32?", "target": "bool?", "n": "bool?"}, target="target", csv=Csv(null_values=["2"])),
        [(0.5, True, True), (None, None, None)],
    ),
    "yes and no": (
        b"a,b\nyes,T\nNO,f\nY,1\n",
        Schema.of(a="bool", b="bool"),
        [(True, True), (False, False), (True, True)],
    ),
    "a decimal comma": (
        b'x;note;y\n1,5;"a;b ""c""";-3,25e1\nNA;"NA";-\n',
        Schema.of(x="float32?", note="text", y="float64?", csv=FRENCH),
        [(1.5, 'a;b "c"', -32.5), (None, "NA", None)],
    ),
    "tabs and words for nulls": (
        b"1\tNA\tNA\n2\tx\t2013-01-31\n",
        Schema.of(n="int8", s="string?", d="date32?", csv=Csv(delimiter="\t", null_values=("NA",))),
        [(1, None, None), (2, "x", dt.date(2013, 1, 31))],
    ),
    "Spark's quotes between bars": (
        b'1|"a \\"b\\" | c"\n2|d\n',
        Schema.of(n="int8", s="string", csv=Csv(delimiter="|", dialect="spark")),
        [(1, 'a "b" | c'), (2, "d")],
    ),
    "extra columns with line breaks": (
        b'note,n,other\n"two\nlines",1,"a,b"\nx,2,\n',
        Schema.of(n="int8", extra_columns="ignore"),
        [(1,), (2,)],
    ),
    "lists as JSON in CSV": (
        b'n,v\n1,"[1, 2.5]"\n2,[]\n3,\n',
        Schema.of({"n": "int8", "v": "list[float32]?"}),
        [(1, [1.0, 2.5]), (2, []), (3, None)],
    ),
    "JSON with numbers for Booleans, and lists": (
        b'{"b": 1, "v": [1, 2], "id": 7, "x": 0}\n{"b": "no", "v": [], "id": "07"}\n{"b": false, "id": 1.50}\n',
        Schema.of({"b": "bool", "v": "list[int64]?", "id": "category"}, extra_columns="ignore"),
        [(True, [1, 2], "7"), (False, [], "07"), (False, None, "1.50")],
    ),
    "Parquet with numbers for Booleans and identifiers": (
        parquet({"b": [1, 0], "yes": ["yes", None], "id": [7, 8], "extra": ["a", "b"]}),
        Schema.of({"b": "bool", "yes": "bool?", "id": "category"}, extra_columns="ignore"),
        [(True, True, "7"), (False, None, "8")],
    ),
    "Parquet with lists of another width": (
        parquet({"v": pl.Series([[1.0], [], None], dtype=pl.List(pl.Float64)), "w": np.ones((3, 2))}),
        Schema.of({"v": "list[float32]?", "w": "list[float32]"}),
        [([1.0], [1.0, 1.0]), ([], [1.0, 1.0]), (None, [1.0, 1.0])],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_the_same_rows_in_every_mode(tmp_path: Path, name: str) -> None:
    data, schema, rows = FILES[name]
    schema = Schema.from_dict(schema.to_dict())  # as it comes from the artifacts
    obj = write(tmp_path, "x", data)
    assert read(obj, schema).rows() == rows
    assert read(write(tmp_path, "y", squeeze(data)), schema).rows() == rows
    parts = [read(obj, schema, split=split) for split in split_object(obj, schema, 3)]
    assert pl.concat(parts).rows() == rows
    piped = decode_stream(iter([data[:7], data[7:], data]), schema, source="x", batch_rows=9, concatenated=True)
    assert pl.concat(piped).rows() == rows * 2


PLAIN = Schema.of(n="int8", x="float32")


@pytest.mark.parametrize(
    ("data", "schema", "place", "fix"),
    [
        (b",n,x\n0,1,2\n", PLAIN, "x:1:column 1", 'extra_columns="ignore"'),
        (b"n,id,x\n1,7,2\n", PLAIN, "x:1:id", 'extra_columns="ignore"'),
        (b'{"n": 1, "id": 7, "x": 2}\n', PLAIN, "x:1:id", 'extra_columns="ignore"'),
        (parquet({"n": [1], "id": [7], "x": [2.0]}), PLAIN, "x:id", 'extra_columns="ignore"'),
        (b"n;x\n1;2\n", PLAIN, "x:1", 'Csv(delimiter=";")'),
        (b"1,NA\n", PLAIN, "x:1:x", 'null_values=["NA"]'),
        (b'1,"2,5"\n', PLAIN, "x:1:x", 'decimal=","'),
        (b"1;2.5\n", replace(PLAIN, csv=FRENCH), "x:1:x", 'decimal=","'),
        (b"1,NA\n2,oops\n", PLAIN, "x:1:x", "null_values"),
        (b"n,x,\n1,2,\n", PLAIN, "x:1:column 3", 'extra_columns="ignore"'),
        (b"n,x,x\n1,2,3\n", PLAIN, "x:1:x", "a unique name"),
        (b"n,x\n1,2\nn,x\n", PLAIN, "x:3", "remove the header"),
        (b"1\t2\n", PLAIN, "x:1", 'Csv(delimiter="\\t")'),
        (b"1,2\n1,2,3\n", PLAIN, "x:2", "must be in quotes"),
        (b"a,b,c\n1,2,3\n", PLAIN, "x:1", "cleanroom-algo schema"),
        (b"1,\n", PLAIN, "x:1:x", 'a type that ends in "?"'),
        (b"1,inf\n", PLAIN, "x:1:x", "nan=null"),
        (b'1,"2,192.31"\n', PLAIN, "x:1:x", "without separators"),
        (b'1,"2,192"\n', PLAIN, "x:1:x", 'decimal=","'),
        (b"1,$2.5\n", PLAIN, "x:1:x", "the number alone"),
        (b"1,2.5 EUR\n", PLAIN, "x:1:x", "the number alone"),
        (b"1,2.5%\n", PLAIN, "x:1:x", "the number alone"),
        (b"2\n", Schema.of(b="bool"), "x:1:b", '"int64"'),
        (b"K\xf6ln\n", Schema.of(s="string"), "x:1:s", "UTF-8"),
        (b"1.5,2\n", PLAIN, "x:1:n", '"float32"'),
        (b"1,two\n", PLAIN, "x:1:x", '"string"'),
        (b"malignant\n", Schema.of(b="bool"), "x:1:b", '"string"'),
        (b"31.1.2013\n", Schema.of(d="date32"), "x:1:d", "ISO 8601"),
        (b"2013-01-31 12:00:00\n", Schema.of(d="date32"), "x:1:d", '"timestamp"'),
        (b'{"v": [1, 2.5]}\n', Schema.of(v="list[int64]"), "x:1:v", '"float32"'),
        (b'"[1, 2.5]"\n', Schema.of(v="list[int64]"), "x:1:v", '"float32"'),
        (b'"[1, 99999999999999999999]"\n', Schema.of(v="list[int64]"), "x:1:v", ""),
        (b'"[1, 1e39]"\n', Schema.of(v="list[float32]"), "x:1:v", ""),
        (parquet({"v": [[1, None]]}), Schema.of(v="list[int64]"), "x:row 0:v", ""),
        (parquet({"v": [[1e300]]}), Schema.of(v="list[float32]"), "x:row 0:v", ""),
        (parquet({"id": [1]}), Schema.of(id="string"), "x:id", ""),
        (b"PK\x03\x04" + bytes(20), PLAIN, None, "CSV"),
    ],
)
def test_an_error_says_what_to_declare(
    tmp_path: Path, data: bytes, schema: Schema, place: str | None, fix: str
) -> None:
    with pytest.raises(CleanroomError) as caught:
        read(write(tmp_path, "x", data), schema)
    assert [problem.path for problem in caught.value.problems][:1] == ([] if place is None else [place])
    assert "query" not in caught.value.fix or "file" in caught.value.fix  # of which there may be none
    assert fix in caught.value.fix


def test_a_misspelled_name_is_shown_and_ignored_columns_are_no_problem(tmp_path: Path) -> None:
    schema = Schema.of({"mean radius": "int8", "b": "int8"}, c="int8", extra_columns="ignore")
    with pytest.raises(CleanroomError) as caught:
        read(write(tmp_path, "x", b",mean raduis,b,c\n0,1,2,3\n"), schema)
    (problem,) = caught.value.problems
    assert problem.path == "x:1:mean radius"
    assert problem.message.endswith("similar name: mean raduis")


def test_a_declaration_says_what_to_write() -> None:
    with pytest.raises(InvalidSchemaError) as caught:
        Schema.of(x=float, n="int", day="date", target="bool")  # type: ignore[arg-type]
    assert [problem.message.partition("write ")[2] for problem in caught.value.problems[:3]] == [
        '"float32"',
        '"int64"',
        '"date32"',
    ]
    assert 'Schema.of({..., "target": "bool"}, target="target")' in caught.value.problems[3].message
    for csv in (Csv(decimal=","), Csv(delimiter="ab"), Csv(delimiter="1"), Csv(null_values="NA")):
        with pytest.raises(InvalidSchemaError):
            replace(PLAIN, csv=csv)
    for column in ("list[float32] nan=null", "text"):
        with pytest.raises(InvalidSchemaError):
            Schema.of({"v": column}, target="v")


def test_every_type_of_a_table_has_a_declaration() -> None:
    table = pl.DataFrame(
        {"a": [1], "b": ["x"], "c": [True], "d": [dt.date(2013, 1, 1)], "e": [[1.5]], "f": [dt.datetime(2013, 1, 1)]}
    )
    found = {name: dtype_of(dtype) for name, dtype in table.schema.items()}
    assert list(found.values()) == ["int64", "string", "bool", "date32", "list[float64]", "timestamp"]
    assert Schema([Column(name, str(dtype)) for name, dtype in found.items()]).polars_schema() == table.schema


LABELED = Schema.of(
    {"id": "category", "note": "text?", "v": "list[float32]?", "w": "list[int64]", "target": "string"}, target="target"
)
ROWS = pl.DataFrame(
    {
        "id": ["7", "8", "7"],
        "note": ["a", None, "b"],
        "v": [[1.0, 2.0], None, [3.0, 4.0]],
        "w": [[1], [2, 3], []],
        "target": ["late", "on time", "late"],
    },
    schema=LABELED.polars_schema(),
)


def test_labels_texts_and_lists_reach_the_model() -> None:
    fitter, other = FeaturesFitter(LABELED, min_count=2), FeaturesFitter(LABELED, min_count=2)
    fitter.update(ROWS[:1])
    other.update(ROWS[1:])
    part = FeaturesFitter(LABELED, min_count=2)
    part.load_state_dict(other.state_dict())
    fitter.merge(part)
    assert fitter.left_out() == {"id": (1, 2)}
    features = type(fitter.finish()).from_dict(fitter.finish().to_dict())
    assert features.classes == ("late", "on time")
    assert features.labels(np.array([1, 0])).to_list() == ["on time", "late"]

    arrays = features.transform(ROWS)
    assert arrays.categorical.tolist() == [[1], [0], [1]]
    assert arrays.target is not None
    assert arrays.target.tolist() == [0, 1, 0]
    assert arrays.texts["note"] == ["a", None, "b"]
    assert arrays.lists["v"].values.tolist() == [1, 2, 3, 4]
    assert arrays.lists["v"].offsets.tolist() == [0, 2, 2, 4]
    last = arrays.slice(1, 5)
    assert last.texts["note"] == [None, "b"]
    assert last.lists["v"].values.tolist() == [3, 4]
    assert last.lists["w"].offsets.tolist() == [0, 2, 2]
    assert arrays.slice(0, 1).lists["v"].matrix(2).tolist() == [[1, 2]]
    with pytest.raises(FeaturesError, match="1 of 3 lists do not have 2 items"):
        arrays.lists["v"].matrix(2)
    with pytest.raises(FeaturesError, match="does not know in 3 of 3 rows"):
        features.transform(ROWS.with_columns(target=pl.lit("new")))


def test_a_target_with_a_label_for_each_row_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cleanroom_algo.channels.fitting.MAX_CLASSES", 1)
    with pytest.raises(FeaturesError, match="'target' has more than 1 distinct texts"):
        FeaturesFitter(LABELED).update(ROWS)
