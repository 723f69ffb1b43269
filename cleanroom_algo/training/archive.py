"""Unpacking another party's tar safely: nothing is written that was not checked first."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from cleanroom_algo.contract.sizes import GB, format_bytes
from cleanroom_algo.errors import BaseModelUnreadableError, UnsafeArchiveError

MAGIC_BYTES = 512  # a tar header; its magic stands at byte 257
_COPY_BYTES = 1 << 20
_EXTENDED_HEADER_BYTES = 1 << 20  # tarfile reads such a header into memory whole; real ones have some hundred bytes
_EXTENDED_HEADERS = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may unpack to.

    Attributes:
        files: members, directories included.
        bytes: of all files together.
        disk_reserve: bytes that stay free on the disk.
    """

    files: int = 10_000  # a sharded model has hundreds
    bytes: int = 200 * GB  # twice the largest maxArtifactSize of the service (botocore model of cleanroomsml)
    disk_reserve: int = GB // 10  # training has to write something too


DEFAULT_LIMITS = Limits()


class _Member(tarfile.TarInfo):
    """A member whose extended header is bounded before it is read."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENDED_HEADERS and self.size > _EXTENDED_HEADER_BYTES:
            raise _refused("a header record is larger than 1 MiB")
        return super()._proc_member(tar)  # type: ignore[misc, no-any-return]


def looks_like_tar(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a tar, plain or gzipped."""
    if head[:2] == b"\x1f\x8b":
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, MAGIC_BYTES)
        except zlib.error:
            return False
    return head[257:262] == b"ustar"


def extract(stream: BinaryIO, target: Path, *, source: str, limits: Limits = DEFAULT_LIMITS) -> int:
    """Unpack a tar, plain or gzipped, front to back, so that it may come from a pipe.

    The target appears whole or not at all. Files get mode 0600 and the present time.

    Args:
        stream: the bytes.
        target: a directory that does not exist.
        source: the archive's name, for errors.
        limits: checked before anything is written.

    Returns:
        The bytes of all files.

    Raises:
        UnsafeArchiveError: CR-BAS-001, a member is neither file nor directory, leads elsewhere, or breaks a limit.
        BaseModelUnreadableError: CR-BAS-006, damaged, cut short, or the disk is full.
    """
    draft = target.with_name(f".{target.name}-{os.getpid()}")
    draft.mkdir(parents=True)
    try:
        with _readable(source), tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Member) as tar:
            total = _extract_members(tar, draft, limits)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return total


def _extract_members(tar: tarfile.TarFile, target: Path, limits: Limits) -> int:
    seen: set[PurePosixPath] = set()
    total = 0
    for member in tar:
        name = _checked_name(member)
        if name in seen and not member.isdir():
            raise _refused(f"{str(name)!r} is there twice")
        seen.add(name)
        total += member.size if member.isreg() else 0
        if len(seen) > limits.files:
            raise _refused(f"it holds more than {limits.files} files")
        if total > limits.bytes:
            raise _refused(f"it unpacks to more than {format_bytes(limits.bytes)}")
        path = target / name
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
            continue
        check_room(str(name), member.size, target, limits)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = tar.extractfile(member)
        assert content is not None
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, stat.S_IRUSR | stat.S_IWUSR)
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(content, file, _COPY_BYTES)
    return total


def check_room(name: str, size: int, target: Path, limits: Limits) -> None:
    """Check that a file fits on the disk of a directory.

    Raises:
        BaseModelUnreadableError: CR-BAS-006.
    """
    if size + limits.disk_reserve > shutil.disk_usage(target).free:
        raise BaseModelUnreadableError(
            f"{name!r} of {format_bytes(size)} does not fit on the disk",
            expected="room for the unpacked base model",
            fix="raise resourceConfig.volumeSizeInGB of the request",
        )


def safe_path(text: str) -> PurePosixPath:
    """Return a relative path that another party wrote, if it stays below the directory it is relative to.

    Raises:
        UnsafeArchiveError: CR-BAS-001.
    """
    name = PurePosixPath(text)
    if name.is_absolute() or ".." in name.parts or "\0" in text or "\\" in text:
        raise _refused(f"{text[:200]!r} leads out of the directory")
    if any(len(part.encode(errors="replace")) > 255 for part in name.parts):
        raise _refused("a member has a name that no file can have")
    return name


def _checked_name(member: tarfile.TarInfo) -> PurePosixPath:
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise _refused(f"{member.name[:200]!r} is neither a file nor a directory")
    name = safe_path(member.name)
    if member.size < 0:
        raise _refused("a member has a size that no file can have")
    if member.isreg() and not name.parts:
        raise _refused("a file has no name")
    return name


@contextmanager
def _readable(source: str) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise BaseModelUnreadableError(
            f"{source} cannot be unpacked ({reason})",
            expected="a whole tar, plain or gzipped, as a training job leaves model.tar.gz",
            fix="take the artifacts again from the job that wrote them",
        ) from error


def _refused(reason: str) -> UnsafeArchiveError:
    return UnsafeArchiveError(
        f"the archive of the base model is refused: {reason}",
        expected="plain files and directories below one directory, within the limits",
        fix="ask the party that trained the base model for artifacts written by a Trainer",
    )
