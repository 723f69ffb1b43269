"""Bringing the objects of the channels to a host, in each of the three input modes.

File: a private copy of each object, all there before the start. FastFile: the same tree at once, as links to objects
that an isolated host cannot write to; on process hosts, private copies without the right to write, which are
looked at afterwards, as permissions do not bind root; of objects in S3 a mount that streams them. Pipe: see `feeding`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from cleanroom_algo.contract.archive import TRAINED_MODEL, extract_file
from cleanroom_algo.contract.channel import InputMode
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.local.hosts.container_tree import ContainerTree
from cleanroom_algo.local.hosts.feeding import Feeder
from cleanroom_algo.local.objects.download import Downloads
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.run_files import MODEL_ARCHIVE
from cleanroom_algo.local.plans.training_plan import HostPlan, TrainingPlan, epoch_objects


class Delivery:
    """The channels of one host; use it as a context manager around the container's life.

    Args:
        plan: of the job.
        host: the host and its objects.
        tree: its tree, laid out.
        downloads: of the job.
        mount: where the job's objects in S3 are mounted, below the names of host and channel.
        isolates_files: whether the host can be kept from writing through links.

    Attributes:
        linked: the folders that links in the tree point into.
        shared: the folders that are to be seen below the root, by their paths there.
        written: what the container changed in a channel that is read-only on the platform; known when it has ended.
        fault: why a pipe could not be fed; None: all could.

    Raises:
        CleanroomError: CR-ROM-004 or CR-ROM-008, an object of S3 cannot be downloaded. JobStoppedError: CR-JOB-302.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        host: HostPlan,
        tree: ContainerTree,
        *,
        downloads: Downloads,
        mount: Path,
        isolates_files: bool = False,
    ) -> None:
        self._plan, self._host, self._paths, self._isolates_files = plan, host, tree.paths, isolates_files
        self._downloads, self._mount = downloads, mount
        self._feeders: list[Feeder] = []
        self._guarded: dict[Path, dict[Path, tuple[int, int]]] = {}
        self.linked: set[Path] = set()
        self.shared: dict[str, Path] = {}
        self.written: list[str] = []
        self.fault: Exception | None = None
        self._deliver_base_model()
        for name, objects in host.objects.items():
            if plan.input_mode is InputMode.PIPE:
                each_epoch = partial(epoch_objects, plan, host, name)
                self._feeders.append(Feeder(tree.paths, name, each_epoch, self._fail))
            elif plan.input_mode is InputMode.FILE:
                self._copy(name, objects)
                _write_manifest(tree.paths, name, [each.key for each in objects])
            else:
                self._show(name, objects)

    def __enter__(self) -> Self:
        for feeder in self._feeders:
            feeder.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the feeders; the container has ended by now, so none of them waits for a reader that reads."""
        for feeder in self._feeders:
            feeder.end()
        for root, before in self._guarded.items():
            now = _states(root)
            changed = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
            self.written += [path.relative_to(root.parent).as_posix() for path in changed]
            for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
                folder.chmod(0o755)  # or it could not be removed

    def _deliver_base_model(self) -> None:
        """Bring the incremental channel, in File mode in every job."""
        base = self._plan.base_model
        if base is None:
            return
        root = self._paths.channel(base.channel)
        if base.packed:
            shutil.copyfile(base.archive, _made(root / MODEL_ARCHIVE))
        else:
            extract_file(base.archive, root, subject=TRAINED_MODEL)
        _write_manifest(self._paths, base.channel, sorted(p.relative_to(root).as_posix() for p in _files(root)))

    def _copy(self, name: str, objects: Sequence[ObjectRef]) -> None:
        root = self._paths.channel(name)
        root.mkdir()
        for each in objects:
            if isinstance(each.place, Path):
                shutil.copyfile(each.place, _made(root / each.key))
        if remote := [each for each in objects if not isinstance(each.place, Path)]:
            self._downloads.bring(self._host.name, name, remote, root)

    def _show(self, name: str, objects: Sequence[ObjectRef]) -> None:
        """Let the host see objects that it cannot change, without a copy where that is possible."""
        root = self._paths.channel(name)
        if any(not isinstance(each.place, Path) for each in objects):
            self.shared[root.relative_to(self._paths.root).as_posix()] = self._mount / self._host.name / name
            if self._isolates_files:
                root.mkdir()  # what is shared is mounted there
        elif self._isolates_files:
            root.mkdir()
            for each in objects:
                assert isinstance(each.place, Path)
                _made(root / each.key).symlink_to(each.place.absolute())
                self.linked.add(each.place.absolute().parent)
        else:
            self._copy(name, objects)
            self._guarded[root] = _make_read_only(root)

    def _fail(self, error: Exception) -> None:
        self.fault = self.fault or error


def _made(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def _write_manifest(paths: Paths, name: str, keys: Sequence[str]) -> None:
    # Real jobs have this file; what it holds is not documented.
    manifest = [{"prefix": f"s3://channel/{name}/"}, *keys]
    paths.manifest(name).write_text(json.dumps(manifest), encoding="utf-8")


def _make_read_only(root: Path) -> dict[Path, tuple[int, int]]:
    """Take away the right to write; return the states of the files."""
    for path in [*root.rglob("*"), root]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return _states(root)


def _states(root: Path) -> dict[Path, tuple[int, int]]:
    files = ((path, path.stat()) for path in _files(root))
    return {path: (state.st_size, state.st_mtime_ns) for path, state in files}
