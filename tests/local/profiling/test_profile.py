"""Files are profiled, and the printed declaration reads them."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from cleanroom_algo.channels.modes.file import read_object
from cleanroom_algo.channels.objects import Object
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.local.profiling import profile
from cleanroom_algo.local.profiling.declaration import dtype_text
from tests.cli.support import run

ROWS = 60
NEW_YEAR = date(2026, 1, 1)
NUMBERS = np.arange(ROWS)
FRAME = pd.DataFrame(
    {
        "mean radius": NUMBERS / 7,
        "user_id": NUMBERS % 9 + 1,
        "visits": NUMBERS % 30 + 1,
        "plan": np.array(["free", "paid"])[NUMBERS % 2],
        "paid": np.array(["yes", "no"])[NUMBERS % 2],
        "day": pd.date_range("2013-01-01", periods=ROWS).strftime("%Y-%m-%d"),
        "note": [f"this is a rather long note with the number {n}" for n in NUMBERS],
        "email": [f"u{n}@example.org" for n in NUMBERS],
        "target": NUMBERS % 3,
    }
)
TYPES = {
    "mean radius": "float32",
    "user_id": "category",
    "visits": "int64",
    "plan": "string",
    "paid": "bool",
    "day": "date32",
    "note": "text",
    "target": "int64",
}


def declared(folder: Path, *words: str) -> tuple[Schema, Any]:
    """Return the schema whose declaration `schema` prints, and its document."""
    done = run("schema", folder, "--json", *words)
    assert done.status == 0, done.stderr
    names: dict[str, Any] = {}
    exec(done.json["code"], names)
    assert names["schema"].to_dict() == Schema.from_dict(done.json["schema"]).to_dict()
    return names["schema"], done.json


def read(folder: Path, schema: Schema) -> pl.DataFrame:
    paths = sorted(folder.iterdir())
    return pl.concat(
        frame
        for path in paths
        for frame in read_object(Object(path.name, path, path.stat().st_size), schema, batch_rows=1000)
    )


@pytest.mark.parametrize("kind", ["csv", "index", "german", "gzip", "json", "parquet"])
def test_the_declaration_of_a_frame_reads_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    if kind == "json":
        FRAME.to_json(path, orient="records", lines=True)
    elif kind == "parquet":
        pl.from_pandas(FRAME).write_parquet(path)
    elif kind == "german":
        gaps = FRAME.assign(visits=FRAME["visits"].where(NUMBERS > 3))
        gaps.to_csv(path, index=False, sep=";", decimal=",", na_rep="NA")
    else:
        path.write_bytes(FRAME.to_csv(index=kind == "index").encode())
    if kind == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes()))
    schema, document = declared(tmp_path)
    expected = TYPES | {
        "parquet": {"mean radius": "float64", "paid": "string", "day": "string"},
        "german": {"visits": "float32"},
    }.get(kind, {})
    if kind == "parquet":
        del expected["day"]  # a string that differs in each row
    assert {column.name: column.dtype for column in schema.columns} == expected
    assert schema.target == "target"
    assert schema.extra_columns == "ignore"  # email identifies a row
    assert [column.name for column in schema.columns if column.nullable] == (["visits"] if kind == "german" else [])
    assert document["rows"] == read(tmp_path, schema).height == ROWS


@pytest.mark.parametrize(
    ("text", "dtype", "values"),
    [
        ("0\n1\n1\n", "bool", [False, True, True]),
        ("007\n08\n", "category", ["007", "08"]),
        ("1\n2.5\n1e300\n", "float64", [1, 2.5, 1e300]),
        ("99999999999999999999\n1\n", "category", ["99999999999999999999", "1"]),
        ("1.5\nNA\n?\n", "float32?", [1.5, None, None]),
        ("NA\nUS\n", "string", ["NA", "US"]),
        ("1.5\ninf\n-Infinity\n", "float32? nan=null", [1.5, None, None]),
        ("2013-01-01 12:30:00\n2013-01-01T12:30:00Z\n", "timestamp", None),
        ('"[1, 2]"\n[]\n', "list[int64]", [[1, 2], []]),
        ('"[1, 2.5]"\n[]\n', "list[float32]", [[1, 2.5], []]),
    ],
)
def test_the_type_of_texts(tmp_path: Path, text: str, dtype: str, values: list[Any] | None) -> None:
    (tmp_path / "x.csv").write_text(
        "x,other\n" + "".join(f"{line},{n}.5\n" for n, line in enumerate(text.split("\n")[:-1]))
    )
    schema, _ = declared(tmp_path, "--target", "other")
    (column, _) = schema.columns
    assert dtype_text(column) == dtype
    assert values is None or read(tmp_path, schema)["x"].to_list() == values


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("x,y,\n1,2,\n3,4,\n", "the last column has no name"),
        ('x,y\n"1,234.5",1\n"2,345.5",2\n', "has thousands separators and is read as strings"),
        ('x,y\n"4,392.99",1\n892.10,2\n"1,200",3\n', "has thousands separators and is read as strings; write numbers"),
        ('x,y\n"4,392",1\n892,2\n', "has thousands separators and is read as strings; write numbers"),
        ('x,y\n"4,39",1\n892,2\n', "has decimal commas, which cannot be read"),
        ("x;y\n4.392,99;1\n892,10;2\n", "has thousands separators"),
        ("x;y\n4,392;1\n892;2\n", "if they separate thousands, write the numbers without them"),
        ("x,y\n$1.5,1\n2.5 EUR,2\n", "has an amount of money"),
        ("x,y\n1.5%,1\n2%,2\n", "has a percentage"),
        ("x,y\n2/7/2013,1\n18/9/2013,2\n", "has dates that are not in the form 2013-01-31"),
        ("x,y\n1,1\n2,2\n3,3\ntoo many,2\n", 'null_values=["too many"]'),
    ],
)
def test_what_a_person_should_know(tmp_path: Path, text: str, note: str) -> None:
    header, *lines = text.splitlines(keepends=True)
    (tmp_path / "x.csv").write_text(header + "".join(lines) * 12)
    schema, document = declared(tmp_path, "--target", "y")
    assert note in str(document)
    assert schema.names == ("x", "y")


def test_a_file_without_rows_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("x,y\n")
    _, document = declared(tmp_path)
    assert document["notes"][0] == "there are no rows, but only a header, so the types are not known"
    assert [column["notes"] for column in document["columns"]] == [[], []]


def test_what_the_first_rows_do_not_show_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "_SAMPLE_ROWS", 2)
    (tmp_path / "a.csv").write_text("n,word,y\n1,2013-01-01,0\n2,2013-01-02,1\n3,soon,1\nNA,2013-01-04,0\n")
    (tmp_path / "b.csv").write_text('4.5,2013-01-05,1\nnan,"a \\"b\\"",1\n')
    schema, document = declared(tmp_path)
    assert [(c.name, c.dtype, c.nullable) for c in schema.columns] == [
        ("n", "float32", True),
        ("word", "string", False),
        ("y", "bool", False),
    ]
    assert schema.csv.dialect == "spark"
    assert read(tmp_path, schema)["n"].to_list() == [1, 2, 3, None, 4.5, None]
    assert any("backslash" in note for note in document["notes"])


def test_a_sample_of_much_data_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "SAMPLE_BYTES", 100)
    for part in range(4):
        FRAME.to_csv(tmp_path / f"{part}.csv", index=False)
    assert "--all reads all rows" in run("schema", tmp_path).stderr
    assert run("schema", tmp_path, "--all", "--json").json["read"] == 1


@pytest.mark.parametrize(
    ("values", "bins"),
    [
        (pl.Series([1.0, 2.5, 3.0, float("nan"), None]), [(1.0, 2.0, 1), (2.0, 3.0, 1), (3.0, 4.0, 1)]),
        (pl.Series([0, 1, 1]), [(0, 1, 1), (1, 2, 2)]),
        (pl.Series([3, 10]), [(0, 5, 1), (5, 10, 0), (10, 15, 1)]),
        (pl.Series([7, 7]), [(7, 8, 2)]),
        (
            pl.Series([NEW_YEAR, date(2026, 1, 2)]),
            [(NEW_YEAR, date(2026, 1, 2), 1), (date(2026, 1, 2), date(2026, 1, 3), 1)],
        ),
        (pl.Series([-(2**63), 2**63 - 1]), [(-1e19, 0.0, 1), (0.0, 1e19, 1)]),
        (pl.Series([1e308, -1e308]), []),
        (pl.Series([None], dtype=pl.Int64), []),
    ],
)
def test_bins_cover_all_values(values: pl.Series, bins: list[tuple[Any, Any, int]]) -> None:
    assert [(each.low, each.high, each.rows) for each in profile.bins_of(values, 2)] == bins


def test_columns_that_cannot_be_declared_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": [1, 2], "nested": [{"b": 1}, {"b": 2}], "nothing": [None, None]}).write_parquet(path)

    found = profile.profile_of([Object("a.parquet", path, path.stat().st_size)])

    assert [column.name for column in found.columns] == ["a"]
    assert [note.partition(" is ")[0] for note in found.notes] == ["nested", "nothing"]


def test_names_that_no_table_of_clean_rooms_can_have_are_noted(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("width,length (cm),Age\n1.5,2.5,3\n")
    (note,) = [note for note in run("schema", tmp_path, "--json").json["notes"] if "Clean Rooms" in note]
    assert "rename 'length (cm)', 'Age', or" in note


def test_the_profile_is_for_people_and_the_declaration_for_a_file(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "x.csv", header=False, index=False)
    done = run("schema", tmp_path)
    assert done.status == 0
    compile(done.stdout, "schema.py", "exec")
    assert 'header="none"' in done.stdout
    for text in (
        "1 file of CSV, 60 rows",
        "COLUMN",
        "0 to 8.42857",
        "free (50%)",
        "note: column_9 looks like the target",
    ):
        assert text in done.stderr


@pytest.mark.parametrize(
    ("text", "code", "what"),
    [
        (None, "CR-CLI-003", "has no files with content"),
        ("a,b\n1,2\n1,2,3\n", "CR-SCH-002", "3 field(s) instead of 2"),
        ("a,b\n1,2\na,b\n3,4\n", "CR-SCH-002", "x.csv:3: it is a header"),
        ("a,a\n1,2\n", "CR-SCH-003", "several columns have the same name"),
        ("PK\x03\x04\x00\x00", "CR-CHN-004", "Excel workbook"),
    ],
)
def test_what_no_declaration_reads_is_an_error(tmp_path: Path, text: str | None, code: str, what: str) -> None:
    if text is not None:
        (tmp_path / "x.csv").write_text(text)
    done = run("schema", tmp_path)
    assert (done.status, done.stdout) == (3 if text else 2, "")
    assert code in done.stderr
    assert what in done.stderr
