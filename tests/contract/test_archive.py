"""Hostile archives: nothing of them is written outside, or kept."""

from __future__ import annotations

import ast
import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom_algo.contract.archive import TRAINED_MODEL, Limits, extract, extract_file, looks_like_tar
from cleanroom_algo.errors import (
    ArtifactArchiveRefusedError,
    ArtifactArchiveUnreadableError,
    BaseModelError,
    BaseModelUnreadableError,
    UnsafeArchiveError,
)


def packed(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz", form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as tar:  # type: ignore[call-overload]
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def file(
    name: str, data: bytes = b"data", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, 0o4777, len(data) if kind == tarfile.REGTYPE else 0
    return info, data if kind == tarfile.REGTYPE else b""


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_files_and_folders_unpack(tmp_path: Path, mode: str) -> None:
    body = packed(file("./a/b.json"), file("a", kind=tarfile.DIRTYPE), file("c" * 200), mode=mode)
    assert looks_like_tar(body[:4096])
    assert extract(io.BytesIO(body), tmp_path / "out", source="model.tar.gz") == 8
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.relative_to(tmp_path / "out").as_posix() for path in found} == {"a/b.json", "c" * 200}
    assert {path.stat().st_mode & 0o7777 for path in found} == {0o777}  # without setuid


@pytest.mark.parametrize(
    "members",
    [
        [file("../escape")],
        [file("/absolute")],
        [file("a/../../escape")],
        [file("link", kind=tarfile.SYMTYPE, link="/etc/passwd")],
        [file("hard", kind=tarfile.LNKTYPE, link="../escape")],
        [file("d", kind=tarfile.SYMTYPE, link=".."), file("d/escape")],
        [file("device", kind=tarfile.CHRTYPE)],
        [file("block", kind=tarfile.BLKTYPE)],
        [file("fifo", kind=tarfile.FIFOTYPE)],
        [file("twice"), file("twice")],
        [file("n" * 256)],
        [file("d/" * 65 + "deep")],
        [file("d", kind=tarfile.DIRTYPE)] * 40,
        [file(f"{number}/{number}/a") for number in range(12)],
        [file("back\\slash")],
        [file(f"{number}") for number in range(40)],
        [file("large", bytes(5000))],
        [file("one", bytes(2500)), file("two", bytes(2500))],
    ],
)
def test_hostile_members_are_refused(tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    inside = tmp_path / "inside"
    with pytest.raises(UnsafeArchiveError):
        extract(io.BytesIO(packed(*members)), inside / "out", source="x", limits=Limits(files=30, bytes=4000))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_header_bomb_is_not_read_into_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("name")
    info.pax_headers = {"comment": "x" * (65 << 10)}
    with pytest.raises(UnsafeArchiveError, match="header record"):
        extract(io.BytesIO(packed((info, b""))), tmp_path / "out", source="x")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_chain_of_header_records_is_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 18
    body = (info.tobuf() + b"18 comment=abcdef\n".ljust(512, b"\0")) * 2000 + packed(file("a"), mode="w")
    with pytest.raises(UnsafeArchiveError, match="too many header records"):
        extract(io.BytesIO(body), tmp_path / "out", source="x")


def test_a_wrong_checksum_is_noticed_and_several_gzip_members_are_one(tmp_path: Path) -> None:
    plain = packed(file("a", bytes(9000)), mode="w")
    extract(io.BytesIO(gzip.compress(plain[:700]) + gzip.compress(plain[700:])), tmp_path / "out", source="x")
    body = bytearray(gzip.compress(plain))
    body[-8] ^= 1
    with pytest.raises(BaseModelUnreadableError, match="x cannot be unpacked"):
        extract(io.BytesIO(bytes(body)), tmp_path / "wrong", source="x")


def test_what_is_missing_or_damaged_after_the_first_member_is_noticed(tmp_path: Path) -> None:
    body = packed(file("a"), file("b"), mode="w")
    for number, damaged in enumerate((body[:1024], body[:1024] + b"x" + body[1025:], body + b"more", body[:2048])):
        with pytest.raises(BaseModelUnreadableError):
            extract(io.BytesIO(damaged), tmp_path / f"out-{number}", source="x")
    with pytest.raises(UnsafeArchiveError, match="followed by more bytes"):
        extract(io.BytesIO(gzip.compress(body + bytes(20 << 20), 1)), tmp_path / "out", source="x")
    assert list(tmp_path.iterdir()) == []


def test_a_trained_model_is_told_as_one(tmp_path: Path) -> None:
    archive = tmp_path / "model.tar.gz"
    archive.write_bytes(packed(file("../escape")))
    with pytest.raises(ArtifactArchiveRefusedError, match="trained model"):
        extract_file(archive, tmp_path / "out", subject=TRAINED_MODEL)
    archive.write_bytes(b"no tar")
    with pytest.raises(ArtifactArchiveUnreadableError):
        extract_file(archive, tmp_path / "out", subject=TRAINED_MODEL)
    with pytest.raises(ArtifactArchiveUnreadableError, match="No such file"):
        extract_file(tmp_path / "missing.tar.gz", tmp_path / "out", subject=TRAINED_MODEL)


def test_only_this_project_s_own_function_unpacks_archives() -> None:
    """tarfile's filters are missing before Python 3.11.4, and could be bypassed before 3.11.13."""
    root = Path(__file__).resolve().parents[2]
    names = {"extractall", "unpack_archive"}
    for path in (
        p for folder in ("cleanroom_algo", "examples", "tests", "benchmarks") for p in (root / folder).rglob("*.py")
    ):
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)) if any(name in text for name in names) else ():
            assert not (isinstance(node, ast.Attribute) and node.attr in names), path


def test_a_bomb_is_stopped_by_its_declared_size(tmp_path: Path) -> None:
    info = tarfile.TarInfo("bomb")
    info.size = 10**13
    body = gzip.compress(info.tobuf() + bytes(1 << 20))
    with pytest.raises(UnsafeArchiveError):
        extract(io.BytesIO(body), tmp_path / "out", source="x")
    with pytest.raises(BaseModelUnreadableError):
        extract(io.BytesIO(body), tmp_path / "out", source="x", limits=Limits(bytes=10**14))


@pytest.mark.parametrize(
    "damage",
    [lambda body: body[: len(body) // 2], lambda body: b"", lambda body: b"\x1f\x8b" + body, lambda body: body[::-1]],
)
def test_damaged_archives_leave_nothing(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    import random

    body = packed(file("a", random.Random(0).randbytes(50_000)))
    with pytest.raises(BaseModelError):
        extract(io.BytesIO(damage(body)), tmp_path / "out", source="x")
    assert list(tmp_path.iterdir()) == []


@given(st.binary(max_size=3000), st.integers(0, 2000))
def test_flipped_bytes_never_escape(noise: bytes, at: int) -> None:
    import tempfile

    body = bytearray(packed(file("a/b", b"x" * 600), file("c"), mode="w"))
    body[at : at + len(noise)] = noise
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        try:
            extract(io.BytesIO(bytes(body)), root / "inside" / "out", source="x", limits=Limits(disk_reserve=0))
        except BaseModelError:
            assert not (root / "inside" / "out").exists()
        assert {path.name for path in root.iterdir()} <= {"inside"}
