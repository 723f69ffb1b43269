"""Delivers the objects of the channels to a host, in each of the three input modes.

File: a private copy of each object, complete before the start. FastFile: on isolated hosts, a read-only folder of hard
links to local objects if the file system allows them, else of copies; on process hosts, private copies without write
permission, which are checked afterwards, because permissions do not restrict root. Pipe: see `feeding`. Objects in S3
are downloaded before the start, except for Pipe. The incremental channel is in File mode in every job.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from cleanroom_algo.contract.archive import TRAINED_MODEL, extract_file
from cleanroom_algo.contract.channel import InputMode
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.contract.tree import Tree
from cleanroom_algo.local.hosts.container_tree import ContainerTree
from cleanroom_algo.local.hosts.feeding import Feeder
from cleanroom_algo.local.objects.download import Downloads
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.run_files import MODEL_ARCHIVE, OBJECTS_FOLDER
from cleanroom_algo.local.plans.training_plan import HostPlan, TrainingPlan, epoch_objects


class Delivery:
    """The channels of one host; use it as a context manager while the container runs.

    Args:
        plan: of the job.
        host: the host and its objects.
        tree: its tree, laid out.
        downloads: of the job.
        isolates_files: whether the host cannot write to the folders that it is given.

    Attributes:
        shared: the folders to show below the root, by their paths there.
        written: what the container changed in a channel that is read-only on the platform; known after its end.
        fault: why a pipe could not be fed; None if all could.

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
        isolates_files: bool = False,
    ) -> None:
        self._plan, self._host, self._paths, self._isolates_files = plan, host, tree.paths, isolates_files
        self._downloads = downloads
        self._feeders: list[Feeder] = []
        self._guarded: dict[Path, dict[str, tuple[int, int]]] = {}
        self.shared: dict[str, Path] = {}
        self.written: list[str] = []
        self.fault: Exception | None = None
        self._deliver_base_model()
        for name, objects in host.objects.items():
            if plan.input_mode is InputMode.PIPE:
                self._feeders.append(Feeder(tree.paths, name, partial(epoch_objects, plan, host, name), self._fail))
            elif plan.input_mode is InputMode.FILE:
                self._copy(name, objects, self._paths.channel(name))
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
        """End the feeders; the container has ended, so none of them waits for a reader."""
        for feeder in self._feeders:
            feeder.end()
        for root, before in self._guarded.items():
            now = _states(root)
            changed = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
            self.written += [f"{root.name}/{path}" for path in changed]

    def _deliver_base_model(self) -> None:
        """Deliver the incremental channel, in File mode in every job."""
        base = self._plan.base_model
        if base is None:
            return
        root = self._paths.channel(base.channel)
        if base.packed:
            root.mkdir()
            shutil.copyfile(base.archive, root / MODEL_ARCHIVE)
        else:
            extract_file(base.archive, root, subject=TRAINED_MODEL)
        keys = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        _write_manifest(self._paths, base.channel, keys)

    def _copy(self, name: str, objects: Sequence[ObjectRef], root: Path, *, link: bool = False) -> None:
        root.mkdir(parents=True)
        for each in objects:
            if isinstance(each.place, Path):
                target = root / each.key
                target.parent.mkdir(parents=True, exist_ok=True)
                if not (link and _linked(each.place, target)):
                    shutil.copyfile(each.place, target)
        if remote := [each for each in objects if not isinstance(each.place, Path)]:
            self._downloads.bring(self._host.name, name, remote, root)

    def _show(self, name: str, objects: Sequence[ObjectRef]) -> None:
        """Show objects to the host so that it cannot change them, or not without being noticed."""
        root = self._paths.channel(name)
        if self._isolates_files:
            folder = self._plan.run_directory / OBJECTS_FOLDER / self._host.name / name
            self._copy(name, objects, folder, link=True)
            self.shared[root.relative_to(self._paths.root).as_posix()] = folder
            root.mkdir()  # the place at which it is shown
        else:
            self._copy(name, objects, root)
            self._guarded[root] = _make_read_only(root)

    def _fail(self, error: Exception) -> None:
        self.fault = self.fault or error


def _write_manifest(paths: Paths, name: str, keys: Sequence[str]) -> None:
    # Real jobs have this file; its content is not documented.
    manifest = [{"prefix": f"s3://channel/{name}/"}, *keys]
    paths.manifest(name).write_text(json.dumps(manifest), encoding="utf-8")


def _linked(source: Path, target: Path) -> bool:
    """Create a hard link, if the file system and the kernel's rules for other users' files allow it."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def _make_read_only(root: Path) -> dict[str, tuple[int, int]]:
    """Remove the write permissions; return the states of the files."""
    for path in [*root.rglob("*"), root]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return _states(root)


def _states(root: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of all files below a folder; links are not followed."""
    try:
        with Tree(root) as tree:
            return {each.name: (each.size, each.changed) for each in tree.walk() if not each.is_folder}
    except OSError as error:
        return {str(error.filename or "."): (0, 0)}
