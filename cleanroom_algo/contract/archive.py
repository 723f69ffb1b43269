"""Unpacking another party's tar safely: everything is checked before it is written.

`tarfile`'s own filters are not used: they are missing before Python 3.11.4, and the strictest of them could be bypassed
before 3.11.13 (CVE-2025-4517). Its parser is used, with bounds on what it reads into memory and how deep it recurses.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Self

from cleanroom_algo.contract.sizes import GB, format_bytes
from cleanroom_algo.errors import (
    ArtifactArchiveRefusedError,
    ArtifactArchiveUnreadableError,
    BaseModelUnreadableError,
    CleanroomError,
    UnsafeArchiveError,
)

MAGIC_BYTES = 512  # a tar header; its magic stands at byte 257
_GZIP_MAGIC = b"\x1f\x8b"
_COPY_BYTES = 1 << 20
_EXTENDED_HEADER_BYTES = 64 << 10  # tarfile reads such a header into memory whole; real ones have some hundred bytes
_EXTENDED_HEADERS_IN_A_ROW = 8  # tarfile recurses for each; real files have at most a global one, a name and a link
_TRAILING_BYTES = 16 << 20  # an archive ends in zeros up to a full record; records of more than 10 KiB are rare
_DEPTH = 64  # folders in folders; removing a tree recurses
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
        files: members, and the directories that they lie in.
        bytes: of all files together.
        disk_reserve: bytes that stay free on the disk.
    """

    files: int = 10_000  # a sharded model has hundreds
    bytes: int = 200 * GB  # twice the largest maxArtifactSize of the service (botocore model of cleanroomsml)
    disk_reserve: int = GB // 10  # training has to write something too


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Subject:
    """What an archive is to the caller, which decides how its faults are reported.

    Attributes:
        name: in the words of a message.
        refused: the error for a member or a size that is not allowed.
        unreadable: the error for a damaged archive and a full disk.
    """

    name: str
    refused: type[CleanroomError]
    unreadable: type[CleanroomError]

    def refuse(self, reason: str) -> CleanroomError:
        """Return the error for an archive that breaks a rule."""
        return self.refused(
            f"the archive of the {self.name} is refused: {reason}",
            expected="plain files and directories below one directory, within the limits",
            fix=f"use a {self.name} that a Trainer wrote, or pack only regular files and directories",
        )

    def cannot_unpack(self, source: str, reason: str) -> CleanroomError:
        """Return the error for an archive that is damaged."""
        return self.unreadable(
            f"{source} cannot be unpacked ({reason})",
            expected="a complete tar archive, plain or gzipped, such as the model.tar.gz of a training job",
            fix="copy the artifacts again from the job that wrote them",
        )


BASE_MODEL = Subject("base model", UnsafeArchiveError, BaseModelUnreadableError)
TRAINED_MODEL = Subject("trained model", ArtifactArchiveRefusedError, ArtifactArchiveUnreadableError)


class _Member(tarfile.TarInfo):
    """A member whose extended headers are limited before they are read; a damaged header raises an error."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if len(buf) == tarfile.BLOCKSIZE and not any(buf):
            return super().frombuf(buf, encoding, errors)  # says that the archive ends
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:  # tarfile takes it for the end of the archive, after the first member
            raise tarfile.ReadError("damaged header") from error

    def _proc_member(self, tar: _Reader) -> tarfile.TarInfo:
        tar.headers_in_a_row = tar.headers_in_a_row + 1 if self.type in _EXTENDED_HEADERS else 0
        if tar.headers_in_a_row > _EXTENDED_HEADERS_IN_A_ROW:
            raise _NotAllowedError("a member has too many header records")
        if tar.headers_in_a_row and self.size > _EXTENDED_HEADER_BYTES:
            raise _NotAllowedError(f"a header record is larger than {_EXTENDED_HEADER_BYTES >> 10} KiB")
        return super()._proc_member(tar)  # type: ignore[misc, no-any-return]


class _Reader(tarfile.TarFile):
    headers_in_a_row = 0


class _NotAllowedError(Exception):
    """An archive breaks a rule; the message says which."""


def looks_like_tar(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a tar, plain or gzipped."""
    if head[:2] == _GZIP_MAGIC:
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, MAGIC_BYTES)
        except zlib.error:
            return False
    return head[257:262] == b"ustar"


def extract_file(archive: Path, target: Path, *, subject: Subject) -> int:
    """Unpack a file; see `extract`."""
    with _telling(subject, archive.name), archive.open("rb") as file:
        return extract(file, target, source=archive.name, subject=subject)


def extract(
    stream: BinaryIO, target: Path, *, source: str, subject: Subject = BASE_MODEL, limits: Limits = DEFAULT_LIMITS
) -> int:
    """Unpack a tar, plain or gzipped, front to back.

    The target appears complete or not at all. Files keep the permissions of the archive without setuid, setgid and
    sticky, and their owner can read and write them; they get the present time and the owner of the process.

    Args:
        stream: the bytes.
        target: a directory that does not exist.
        source: the archive's name, for errors.
        subject: what the archive is, for errors.
        limits: checked before anything is written.

    Returns:
        The bytes of all files.

    Raises:
        UnsafeArchiveError: CR-BAS-001, or ArtifactArchiveRefusedError: CR-ART-006, for a trained model: a member is
            neither file nor directory, leads elsewhere, or breaks a limit.
        BaseModelUnreadableError: CR-BAS-006, or ArtifactArchiveUnreadableError: CR-ART-007: damaged, truncated, with a
            wrong checksum, or the disk is full.
    """
    draft = target.with_name(f".{target.name}-{os.getpid()}")
    with _telling(subject, source):
        draft.mkdir(parents=True)
        try:
            buffered = io.BufferedReader(stream)  # type: ignore[type-var]
            packed = buffered.peek(2)[:2] == _GZIP_MAGIC
            plain: Any = gzip.GzipFile(fileobj=buffered) if packed else buffered
            with _Reader.open(fileobj=plain, mode="r|", tarinfo=_Member) as tar:
                total = _extract_members(tar, draft, subject, limits)
                _check_end(tar.fileobj)
            buffered.detach()
            draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return total


def _extract_members(tar: tarfile.TarFile, target: Path, subject: Subject, limits: Limits) -> int:
    files: set[PurePosixPath] = set()
    folders: set[PurePosixPath] = set()
    total = 0
    for members, member in enumerate(tar, start=1):
        name = _checked_name(member)
        if name in files:
            raise _NotAllowedError(f"{str(name)!r} occurs twice")
        (folders if member.isdir() else files).add(name)
        folders.update(name.parents)
        total += member.size if member.isreg() else 0
        if max(members, len(files) + len(folders)) > limits.files:
            raise _NotAllowedError(f"it contains more than {limits.files} files")
        if total > limits.bytes:
            raise _NotAllowedError(f"it unpacks to more than {format_bytes(limits.bytes)}")
        path = target / name
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
            continue
        check_room(str(name), member.size, target, subject, limits)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(tar, member, path)
    return total


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    content = tar.extractfile(member)
    assert content is not None
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(content, file, _COPY_BYTES)
        os.fchmod(descriptor, member.mode & 0o777 | stat.S_IRUSR | stat.S_IWUSR)


def _check_end(rest: Any) -> None:
    """Read to the end of the stream, where gzip's checksum is; after a tar's last member there are only zeros."""
    for _ in range(_TRAILING_BYTES // _COPY_BYTES):
        block = rest.read(_COPY_BYTES)
        if not block:
            return
        if any(block):
            raise tarfile.ReadError("something follows the end")
    raise _NotAllowedError("its end is followed by more bytes than any tar program writes")


def check_room(name: str, size: int, target: Path, subject: Subject, limits: Limits) -> None:
    """Check that a file fits on the disk of a directory.

    Raises:
        BaseModelUnreadableError: CR-BAS-006, or ArtifactArchiveUnreadableError: CR-ART-007, for a trained model.
    """
    if size + limits.disk_reserve > shutil.disk_usage(target).free:
        raise subject.unreadable(
            f"{name!r} of {format_bytes(size)} does not fit on the disk",
            expected=f"space for the unpacked {subject.name}",
            fix="increase resourceConfig.volumeSizeInGB of the request, or free disk space",
        )


def _safe(text: str) -> PurePosixPath:
    name = PurePosixPath(text)
    if name.is_absolute() or ".." in name.parts or "\0" in text or "\\" in text:
        raise _NotAllowedError(f"{text[:200]!r} leads out of the directory")
    if len(name.parts) > _DEPTH or any(len(part.encode(errors="replace")) > 255 for part in name.parts):
        raise _NotAllowedError("a member has a name that is not valid for a file, or is in too many folders")
    return name


def _checked_name(member: tarfile.TarInfo) -> PurePosixPath:
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise _NotAllowedError(f"{member.name[:200]!r} is neither a file nor a directory")
    name = _safe(member.name)
    if member.size < 0:
        raise _NotAllowedError("a member has a size that is not valid for a file")
    if member.isreg() and not name.parts:
        raise _NotAllowedError("a file has no name")
    return name


@contextmanager
def _telling(subject: Subject, source: str) -> Iterator[None]:
    """Report what the parsers find wrong with the bytes as the caller's errors."""
    try:
        yield
    except CleanroomError:
        raise
    except _NotAllowedError as error:
        raise subject.refuse(str(error)) from None
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise subject.cannot_unpack(source, reason) from error
