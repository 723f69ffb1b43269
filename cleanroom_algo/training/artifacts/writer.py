"""The artifacts of a training job: written beside the model directory, checked for size, published completely.

Nothing here needs torch: every kind of algorithm writes its files through a `Draft`.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Self

from cleanroom_algo.contract.manifest import MANIFEST_FILE, FileEntry, Manifest
from cleanroom_algo.contract.sizes import DISK_FULL, GB, format_bytes
from cleanroom_algo.errors import ArtifactClashError, ArtifactTooLargeError, ArtifactWriteError
from cleanroom_algo.training.artifacts.atomic import draft_directory, recover, replace_directory, sync_tree
from cleanroom_algo.training.artifacts.links import file_sizes, replace_links

_DISK_ERRORS = DISK_FULL | {errno.EROFS, errno.EIO}
_MANIFEST_RESERVE = 16_384  # the manifest is written last and must also fit
_SAMPLE_BYTES = 1 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """What was published.

    Attributes:
        manifest: as written.
        raw_bytes: of all files.
        packed_bytes: about what a model.tar.gz of them takes, estimated from the first MiB of each file.
    """

    manifest: Manifest
    raw_bytes: int
    packed_bytes: int


class Draft:
    """Artifacts before publication: a directory that is not visible until it is published.

    Attributes:
        path: the directory into which an algorithm's `save` writes.
    """

    def __init__(self, path: Path, cap_bytes: int | None) -> None:
        self.path = path
        self.cap_bytes = cap_bytes
        self.entries: dict[str, FileEntry] = {}

    def reserve(self, name: str, count: int) -> Path:
        """Return the path for a file of a known size, after checking that it fits.

        Args:
            name: relative, `/` between its parts.
            count: bytes.

        Raises:
            ArtifactTooLargeError: CR-ART-003, before a byte is written.
            ArtifactClashError: CR-ART-005, the name is in use or leads out of the directory.
        """
        path = self.path / name
        if path.exists() or not path.resolve().is_relative_to(self.path.resolve()) or name == MANIFEST_FILE:
            raise ArtifactClashError(
                f"the artifacts already have a file {name!r}, or its name is not allowed",
                expected="unique names below the model directory, other than manifest.json",
                fix="choose another name in `save`",
            )
        self.check_cap({name: count})
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_json(self, name: str, document: Any) -> None:
        """Write a JSON document; raises what `reserve` raises."""
        data = (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()
        self.reserve(name, len(data)).write_bytes(data)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file by relative path."""
        files = (path for path in self.path.rglob("*") if path.is_file())
        return {path.relative_to(self.path).as_posix(): path.stat().st_size for path in files}

    def check_cap(self, coming: dict[str, int] | None = None) -> None:
        """Check the total size of the files and of those still to be written.

        Raises:
            ArtifactTooLargeError: CR-ART-003, with the largest files.
        """
        sizes = self.sizes() | (coming or {})
        _check(sizes, self.cap_bytes, _MANIFEST_RESERVE * (MANIFEST_FILE not in sizes))


class ArtifactWriter:
    """Writes the model directory and checks its size.

    Attributes:
        directory: the model directory.
        cap_bytes: maximum size of all files before packing, or None for no maximum.
    """

    def __init__(self, directory: Path, cap_bytes: int | None = None) -> None:
        self.directory = directory
        self.cap_bytes = cap_bytes

    @classmethod
    def for_job(cls, directory: Path, max_artifact_gb: float | None) -> Self:
        """Return the writer of a job whose maximum size is given in GB."""
        return cls(directory, None if max_artifact_gb is None else int(max_artifact_gb * GB))

    def recover(self) -> None:
        """Remove what an earlier, killed run has left; its last complete artifacts stay."""
        self.directory.mkdir(parents=True, exist_ok=True)
        recover(self.directory)

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        """Yield a draft to write into; it is removed unless it was published.

        Raises:
            ArtifactWriteError: CR-ART-004, it cannot be written to the disk.
        """
        with disk_errors():
            path = draft_directory(self.directory)
            try:
                yield Draft(path, self.cap_bytes)
            finally:
                shutil.rmtree(path, ignore_errors=True)

    def publish(self, draft: Draft, manifest: Manifest) -> Published:
        """Replace the model directory by a draft.

        Files that the algorithm wrote directly into the model directory are kept and counted. Links become files.

        Raises:
            ArtifactTooLargeError: CR-ART-003; ArtifactWriteError: CR-ART-004; ArtifactKindError: CR-ART-008. The model
                directory is then unchanged.
        """
        with disk_errors():
            self._keep_strays(draft)
            replace_links(draft.path, seen_as=(self.directory,))
            draft.check_cap()
            written = manifest.write(draft.path, known=draft.entries)
            sizes = draft.sizes()
            packed = sum(_packed(draft.path / name, size) for name, size in sizes.items())
            sync_tree(draft.path)
            replace_directory(draft.path, self.directory)
        return Published(written, sum(sizes.values()), packed)

    def report(self, published: Published) -> str:
        """Return one line about sizes for the log."""
        cap = "no cap" if self.cap_bytes is None else f"cap {format_bytes(self.cap_bytes)}"
        raw, packed = format_bytes(published.raw_bytes), format_bytes(published.packed_bytes)
        return f"artifacts: {len(published.manifest.files)} files, {raw}, about {packed} packed, {cap}"

    def check_final(self, output: Path) -> None:
        """Check what the platform will pack: the algorithm may have written files directly into both directories.

        Args:
            output: the output data directory, which counts against the same maximum.

        Raises:
            ArtifactTooLargeError: CR-ART-003; ArtifactKindError: CR-ART-008. The files that the manifest lists stay
                unchanged.
        """
        model = {f"model/{name}": size for name, size in file_sizes(self.directory).items()}
        data = {f"output/data/{name}": size for name, size in file_sizes(output).items()}
        _check(model | data, self.cap_bytes)

    def _keep_strays(self, draft: Draft) -> None:
        listed = set(Manifest.read(self.directory).files) if (self.directory / MANIFEST_FILE).is_file() else set()
        for path in sorted(self.directory.rglob("*")):
            name = path.relative_to(self.directory).as_posix()
            if path.is_relative_to(draft.path) or name in listed or name == MANIFEST_FILE:
                continue
            if path.is_dir() and not path.is_symlink():
                (draft.path / name).mkdir(parents=True, exist_ok=True)
                continue
            log.warning("%s was written into the model directory directly; it is kept and counted", name)
            copy = draft.reserve(name, path.lstat().st_size)
            os.link(path, copy, follow_symlinks=False)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Convert errors of a full or failing disk to this package's error.

    Raises:
        ArtifactWriteError: CR-ART-004.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise ArtifactWriteError(
            f"the artifacts cannot be written to the disk ({os.strerror(error.errno or 0)})",
            expected="space for the new artifacts beside the old ones, which are kept until the new ones are complete",
            fix="increase resourceConfig.volumeSizeInGB of the request, or do not save the optimizer "
            "(save_optimizer = False)",
        ) from error


def _check(sizes: dict[str, int], cap_bytes: int | None, reserve: int = 0) -> None:
    total = sum(sizes.values()) + reserve
    if cap_bytes is None or total <= cap_bytes:
        return
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:3]
    names = ", ".join(f"{name} {format_bytes(size)}" for name, size in largest)
    raise ArtifactTooLargeError(
        f"the artifacts are {format_bytes(total)} (largest: {names})",
        expected=f"at most {format_bytes(cap_bytes)}, the maximum of this association (trainedModels.maxArtifactSize)",
        fix=_advice([PurePosixPath(name).name for name, _ in largest]),
    )


def _packed(path: Path, size: int) -> int:
    with path.open("rb") as file:
        sample = file.read(_SAMPLE_BYTES)
    return round(size * len(zlib.compress(sample, 1)) / len(sample)) if sample else 0


def _advice(largest: list[str]) -> str:
    if any(name.startswith("optimizer") for name in largest):
        return (
            'do not save the optimizer (save_optimizer = False, shrink = ("optimizer",)), or use half precision '
            "(save_dtype)"
        )
    if any(name.endswith(".safetensors") for name in largest):
        return 'use half precision (save_dtype = "bfloat16"), or make the model smaller'
    return "write fewer or smaller files in `save`, or set a larger maxArtifactSize in a new association"
