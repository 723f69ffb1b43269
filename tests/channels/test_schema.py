"""The declared table, and the listing of objects."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from cleanroom_algo.channels.modes.file import read_object
from cleanroom_algo.channels.objects import Object, list_objects
from cleanroom_algo.channels.schema import DTYPES, Column, Schema
from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.errors import ChannelMissingError, InvalidSchemaError, ObjectUnreadableError
from tests.channels.support import MIXED, write


def test_a_schema_survives_json_and_its_hash_tells_it_apart() -> None:
    again = Schema.from_dict(json.loads(json.dumps(MIXED.to_dict())))
    assert again == MIXED
    assert again.hash == MIXED.hash != MIXED.without_target().hash
    assert [column.name for column in MIXED.features] == ["flight", "carrier", "distance", "day"]


def test_every_type_has_a_polars_type() -> None:
    schema = Schema([Column(f"c{n}", dtype) for n, dtype in enumerate(DTYPES)])
    assert len(schema.polars_schema()) == len(DTYPES)


def test_all_faults_of_a_declaration_are_listed() -> None:
    with pytest.raises(InvalidSchemaError) as caught:
        Schema([Column("a", "flaot32"), Column("a", "int8"), Column("", "bool")], target="b")
    messages = [str(problem) for problem in caught.value.problems]
    assert messages[0].startswith("columns[0].dtype: 'flaot32' is not a type; did you mean 'float32'?")
    assert [message.split(":")[0] for message in messages[1:]] == ["columns[1].name", "columns[2].name", "target"]


@pytest.mark.parametrize("state", [{}, {"columns": 3}, {"columns": [{}]}, {"columns": [{"name": "a", "dtype": "x"}]}])
def test_a_stored_schema_of_another_form_is_refused(state: dict[str, object]) -> None:
    with pytest.raises(InvalidSchemaError):
        Schema.from_dict(state)


def test_objects_are_listed_by_key_below_the_directory_alone(tmp_path: Path) -> None:
    channel = Channel("train", Paths(tmp_path))
    with pytest.raises(ChannelMissingError):
        list_objects(channel)
    channel.path.mkdir(parents=True)
    assert list_objects(channel) == ()
    channel.paths.manifest("train").write_text("[]")
    for key in ("b", "a/part-1", "a.csv", "a/b/c"):
        write(channel.path, key, b"1")
    assert [obj.key for obj in list_objects(channel)] == ["a.csv", "a/b/c", "a/part-1", "b"]


def test_an_object_that_vanishes_or_shrinks_is_told(tmp_path: Path) -> None:
    schema = Schema.of(a="int8")
    obj = write(tmp_path, "x", b"1\n2\n")
    longer = Object(obj.key, obj.path, 9)
    with pytest.raises(ObjectUnreadableError, match="ends 5 bytes before"):
        list(read_object(longer, schema, batch_rows=10))
    obj.path.unlink()
    with pytest.raises(ObjectUnreadableError, match="x: cannot be read"):
        list(read_object(obj, schema, batch_rows=10))


def test_parquet_that_vanishes_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x"
    pl.DataFrame({"a": [1]}).write_parquet(path)
    obj = Object("x", path, path.stat().st_size)
    path.unlink()
    with pytest.raises(ObjectUnreadableError):
        list(read_object(obj, Schema.of(a="int64"), batch_rows=10))
