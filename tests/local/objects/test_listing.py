"""What a prefix in S3 or a folder means: an object, or objects; everything else is refused in words that help."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cleanroom_algo.errors import NoObjectsError, ObjectStoreError
from cleanroom_algo.local.objects import s3
from cleanroom_algo.local.objects.listing import objects_of, source_of
from tests.local.objects.conftest import BUCKET, Gate


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


def local(folder: Path) -> list[tuple[str, bytes]]:
    return [(each.key, Path(str(each.place)).read_bytes()) for each in objects_of(folder)]


def test_links_in_a_folder_count_as_what_they_lead_to(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    channel = tmp_path / "channel"
    (elsewhere / "deep").mkdir(parents=True)
    (channel / "sub").mkdir(parents=True)
    (elsewhere / "deep/b.csv").write_bytes(b"b")
    (channel / "a.csv").write_bytes(b"a")
    (channel / "sub/linked").symlink_to("../../elsewhere")
    (channel / "same").symlink_to(elsewhere / "deep")
    (channel / "file.csv").symlink_to(elsewhere / "deep/b.csv")
    assert local(channel) == [
        ("a.csv", b"a"),
        ("file.csv", b"b"),
        ("same/b.csv", b"b"),
        ("sub/linked/deep/b.csv", b"b"),
    ]
    assert {each.place for each in objects_of(channel)} == {channel / "a.csv", elsewhere / "deep/b.csv"}
    (tmp_path / "link").symlink_to(channel / "file.csv")
    assert local(tmp_path / "link") == [("link", b"b")]


def test_all_that_cannot_be_an_object_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "good.csv").write_bytes(b"1")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "sub/again").symlink_to(tmp_path)
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "device").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "sub/pipe")
    with pytest.raises(ObjectStoreError, match="5 entries") as caught:
        objects_of(tmp_path)
    assert {problem.path: problem.message.partition(" (")[0] for problem in caught.value.problems} == {
        "dangling": "leads nowhere",
        "device": "is neither a file nor a folder",
        "round": "leads nowhere",
        "sub/again": "is a link to a folder that contains it",
        "sub/pipe": "is neither a file nor a folder",
    }


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root reads everything")
def test_what_a_user_may_not_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0)
    (tmp_path / "mine.csv").touch(mode=0)
    (tmp_path / "good.csv").touch(mode=0o644)
    code = "import sys; from cleanroom_algo.local.objects.listing import *; print(objects_of(source_of(sys.argv[1])))"
    as_others = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    ended = subprocess.run(
        [*as_others, sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    (tmp_path / "shut").chmod(0o700)  # or it could not be removed
    assert "CR-ROM-004" in ended.stderr
    assert "mine.csv: cannot be read (Permission denied)" in ended.stderr
    assert "shut: cannot be read (Permission denied)" in ended.stderr


def test_hidden_files_are_left_out_and_that_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in (".DS_Store", ".part-0.csv.crc", "part-0.csv", "sub/.ipynb_checkpoints/part-0.csv", "sub/_SUCCESS"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    for _ in range(2):
        assert local(tmp_path) == [("part-0.csv", b"1"), ("sub/_SUCCESS", b"1")]
    (told,) = caplog.messages
    assert told.endswith("3 hidden file(s) or folder(s) left out: .DS_Store, .part-0.csv.crc, sub/.ipynb_checkpoints")
    assert local(tmp_path / ".DS_Store") == [(".DS_Store", b"1")]  # asked for by its name
