"""Tables in S3: downloaded for this machine, and left to a cluster of Spark that reads them itself (moto's server)."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from cleanroom_algo.errors import TableUnreadableError
from cleanroom_algo.local.objects.listing import source_of
from cleanroom_algo.local.query.engines.database import column_types
from cleanroom_algo.local.query.engines.run import run
from cleanroom_algo.local.query.engines.table_files import with_files
from cleanroom_algo.local.query.plan import QueryPlan
from cleanroom_algo.local.query.resolution import Resolution
from cleanroom_algo.local.query.rules import check
from cleanroom_algo.local.query.table import Format, Table, TableAccess
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.setup.declaring import declare
from tests.local.objects.conftest import BUCKET, Gate
from tests.local.setup.test_declaration import ROOM

QUERY = "SELECT f.id, a.name FROM flights f JOIN airports a ON f.airport = a.airport ORDER BY f.id"
CLUSTER = (("spark.master", "spark://cluster:7077"),)


def parquet(**columns: list[object]) -> bytes:
    written = io.BytesIO()
    pl.DataFrame(columns).write_parquet(written)
    return written.getvalue()


@pytest.fixture
def bucket(gate: Gate) -> Gate:
    gate.put(
        {
            "flights/month=1/a.parquet": parquet(id=[1, 2], airport=["JFK", "LGA"]),
            "flights/month=2/b.parquet": parquet(id=[3], airport=["JFK"]),
            "flights/_SUCCESS": b"",
            "flights/notes.csv": b"not,read\n1,2\n",
            "airports.csv": b"airport,name\nJFK,Kennedy\nLGA,La Guardia\n",
        }
    )
    return gate


def table(name: str, uri: str, *columns: str, kind: Format | None = None) -> Table:
    return Table(name, source_of(f"s3://{BUCKET}/{uri}"), kind, columns)


def plan(folder: Path, flights: str = "flights/", query: str = QUERY) -> QueryPlan:
    tables = (table("flights", flights, "id", "airport"), table("airports", "airports.csv", "airport", "name"))
    return QueryPlan(query, TableAccess(tables), folder / "out", header=False)


def files(asked: QueryPlan, folder: Path) -> Resolution:
    return with_files(check(asked.query, asked.access), asked, folder)


def test_a_query_downloads_its_tables(bucket: Gate, tmp_path: Path) -> None:
    run(plan(tmp_path))

    written = "".join(path.read_text() for path in sorted((tmp_path / "out").iterdir()))
    assert written == "1,Kennedy\n2,La Guardia\n3,Kennedy\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert all(path.name.startswith("part-") for path in (tmp_path / "out").iterdir())
    assert {key.partition("/")[2] for key, _ in bucket.ranges} == {
        "flights/month%3D1/a.parquet",
        "flights/month%3D2/b.parquet",
        "airports.csv",
    }


def test_only_the_tables_of_the_query_are_downloaded(bucket: Gate, tmp_path: Path) -> None:
    run(plan(tmp_path, flights="missing/", query="SELECT name FROM airports"))
    assert len(bucket.ranges) == 1


@pytest.mark.parametrize(("flights", "deny"), [("missing/", False), ("fli", False), ("flights/", True)])
def test_objects_that_cannot_be_read_fail_the_query(bucket: Gate, tmp_path: Path, flights: str, deny: bool) -> None:
    bucket.deny = deny
    with pytest.raises(TableUnreadableError, match=r"table 'flights' cannot be read: .*s3://airline/"):
        run(plan(tmp_path, flights))
    assert list(tmp_path.iterdir()) == []


def test_a_schema_needs_one_object(bucket: Gate) -> None:
    flights = table("flights", "flights/", "id", "airport", kind="parquet")
    assert column_types(flights) == {"id": "bigint", "airport": "string"}
    assert {key.rpartition("/")[2] for key, _ in bucket.ranges} == {"a.parquet"}


def test_a_cluster_reads_parquet_itself(bucket: Gate, tmp_path: Path) -> None:
    on_cluster = replace(plan(tmp_path), engine="spark", spark=CLUSTER)
    tables = files(on_cluster, tmp_path).tables
    assert tables["flights"].location == source_of(f"s3://{BUCKET}/flights/")
    assert tables["airports"].location == tmp_path / "airports/airports.csv"
    assert len(bucket.ranges) == 1

    here = replace(on_cluster, spark=(("spark.master", "local[2]"),))
    assert files(here, tmp_path / "here").tables["flights"].location == tmp_path / "here/flights"


def test_a_cluster_does_not_skip_folders(bucket: Gate, tmp_path: Path) -> None:
    bucket.put({"flights/more/c.parquet": parquet(id=[4], airport=["LGA"])})
    on_cluster = replace(plan(tmp_path), engine="spark", spark=CLUSTER)
    with pytest.raises(TableUnreadableError, match=r"does not read: more/c\.parquet"):
        files(on_cluster, tmp_path)


def test_a_declared_channel_follows_newer_objects(bucket: Gate, tmp_path: Path) -> None:
    toml = tmp_path / "cleanroom.toml"
    toml.write_text(ROOM.replace('"left.csv"', f'"s3://{BUCKET}/left.csv"'))
    (tmp_path / "right.csv").write_text("id,y\n1,a\n3,c\n")
    (tmp_path / "algorithm.py").write_text("")
    bucket.put({"left.csv": b"id,x\n1,10\n"})
    with Room(tmp_path / "home") as room:
        joined = declare(room.caller, toml).channels["joined"]
        assert room.wait(joined, timeout=60).document["numberOfRecords"] == 1
        bucket.put({"left.csv": b"id,x\n1,10\n3,30\n"})
        (change,) = declare(room.caller, toml).changes
        assert change.why == "the files of the table left"
        assert room.wait(joined, timeout=60).document["numberOfRecords"] == 2
