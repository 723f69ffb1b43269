"""What a prefix in S3 means: an object, or a folder of them; everything else is refused in words that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleanroom_algo.errors import NoObjectsError, ObjectStoreError
from cleanroom_algo.local.sources import s3
from cleanroom_algo.local.sources.listing import objects_of, source_of
from tests.local.sources.conftest import BUCKET, Gate


def keys(uri: str) -> list[tuple[str, int]]:
    return [(each.key, each.size) for each in objects_of(source_of(uri))]


@pytest.mark.parametrize("prefix", ["flights", "flights/"])
def test_a_prefix_is_a_folder_whose_tree_stays(gate: Gate, prefix: str) -> None:
    gate.put({"flights/": b"", "flights/b/2.csv": b"22", "flights/a.csv": b"1", "flights/_SUCCESS": b"", "other": b"x"})
    assert keys(f"s3://{BUCKET}/{prefix}") == [("_SUCCESS", 0), ("a.csv", 1), ("b/2.csv", 2)]


def test_a_bucket_is_a_prefix_and_an_object_a_channel_of_one(gate: Gate) -> None:
    gate.put({"a.csv": b"1", "b/2.csv": b"22"})
    assert keys(f"s3://{BUCKET}/") == keys(f"s3://{BUCKET}") == [("a.csv", 1), ("b/2.csv", 2)]
    assert keys(f"s3://{BUCKET}/b/2.csv") == [("2.csv", 2)]


def test_many_pages_are_one_listing(gate: Gate) -> None:
    gate.put({f"part-{number:03}": b"" for number in range(25)})
    events = s3.client(None).meta.events
    events.register("provide-client-params.s3.ListObjectsV2", lambda params, **_: {**params, "MaxKeys": 10})
    assert [key for key, _ in keys(f"s3://{BUCKET}/")] == [f"part-{number:03}" for number in range(25)]


def test_a_part_of_a_name_is_no_prefix(gate: Gate) -> None:
    gate.put({"train/1": b"", "training/2": b""})
    with pytest.raises(NoObjectsError, match="other names") as caught:
        keys(f"s3://{BUCKET}/train")
    assert [problem.path for problem in caught.value.problems] == ["training/2"]


def test_nothing_there(gate: Gate) -> None:
    gate.put({"empty/": b""})
    for uri in (f"s3://{BUCKET}/empty/", f"s3://{BUCKET}/nothing"):
        with pytest.raises(NoObjectsError, match="no object begins with"):
            keys(uri)


@pytest.mark.parametrize("bad", ["x/../y", "x//y", "x/./y", "x", "x/" + "y" * 256])
def test_keys_that_no_folder_can_hold(gate: Gate, bad: str) -> None:
    gate.put({"p/x/good": b"", f"p/{bad}": b""})
    with pytest.raises(NoObjectsError, match="cannot be files"):
        keys(f"s3://{BUCKET}/p/")


def test_who_may_not_is_told_so(gate: Gate) -> None:
    gate.deny = True
    with pytest.raises(ObjectStoreError, match="AccessDenied") as caught:
        keys(f"s3://{BUCKET}/p/")
    assert "s3:ListBucket" in caught.value.fix


def test_no_such_bucket(gate: Gate) -> None:
    with pytest.raises(ObjectStoreError, match="NoSuchBucket"):
        keys("s3://nobodys-bucket/p/")


def test_nobody_answers(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    s3.client.cache_clear()
    with pytest.raises(ObjectStoreError) as caught:
        keys(f"s3://{BUCKET}/p/")
    assert "network" in caught.value.fix


@pytest.mark.parametrize(("name", "value"), [("AWS_ENDPOINT_URL", "nonsense"), ("AWS_PROFILE", "nobody")])
def test_what_boto3_cannot_use(gate: Gate, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    s3.client.cache_clear()
    with pytest.raises(ObjectStoreError, match=value):
        keys(f"s3://{BUCKET}/p/")


def test_without_credentials(gate: Gate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    s3.client.cache_clear()
    with pytest.raises(ObjectStoreError) as caught:
        keys(f"s3://{BUCKET}/p/")
    assert "aws configure" in caught.value.fix
