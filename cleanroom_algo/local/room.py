"""The local clean room in one process, assembled from its parts.

The same `Room.call` answers `cleanroom-algo train` in process and boto3 over HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from cleanroom_algo.local.objects.store import FolderObjects, Objects, S3Objects
from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.operations.registry import LocalTerms
from cleanroom_algo.local.plans.listeners import JobListener
from cleanroom_algo.local.resources.owners import Owners
from cleanroom_algo.local.resources.room_files import RoomFiles
from cleanroom_algo.local.resources.settings import RoomSettings
from cleanroom_algo.local.resources.store import Record, Store
from cleanroom_algo.local.resources.workspace import Workspace
from cleanroom_algo.local.scheduling.cleanup import forget
from cleanroom_algo.local.scheduling.settling import recover
from cleanroom_algo.local.scheduling.supervisor import Supervisor
from cleanroom_algo.local.service_model.shapes import ML

log = logging.getLogger("cleanroom_algo.local")


class Room:
    """A local clean room. Use it as a context manager: leaving it ends the jobs of this process.

    Args:
        home: the state folder; created if missing.
        settings: of the room; read from the state folder if None.
        serving: whether to run jobs here that no process has reserved (`cleanroom-algo up`).

    Attributes:
        workspace: what operations and planners use.
        caller: of the operations.
        supervisor: of the jobs.

    Raises:
        RoomStateError: CR-ROM-002. RoomSettingsError: CR-ROM-005.
    """

    def __init__(self, home: Path, settings: RoomSettings | None = None, *, serving: bool = False) -> None:
        home = home.absolute()
        settings = settings or RoomSettings.read(home)
        store = Store(home / "room.sqlite")
        owners = Owners(home)
        owner, self._owner_lock = owners.join()

        def enqueue(record: Record, *, hosts: int) -> None:
            store.add_job(record, hosts=hosts, owner="" if serving else owner)

        self.workspace = Workspace(store, settings, _objects(home, settings), RoomFiles(home), enqueue)
        self.supervisor = Supervisor(self.workspace, owners, owner, everyone=serving)
        self.caller = Caller(self.workspace, self.supervisor.wake)
        for key in store.set_aside_unreadable():
            log.error("the record of %s cannot be read; it was moved to %s", key, store.path)
        recover(self.workspace, owners)
        if serving:
            self.supervisor.wake()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the jobs of this process, and close the state folder."""
        self.supervisor.stop()
        self.workspace.store.close()
        self._owner_lock.release()

    @property
    def store(self) -> Store:
        """The records."""
        return self.workspace.store

    def call(
        self,
        operation: str,
        params: Mapping[str, Any],
        account: str | None = None,
        *,
        service: str = ML,
        terms: LocalTerms | None = None,
    ) -> dict[str, Any]:
        """Call an operation: see `Caller.call`."""
        return self.caller.call(operation, params, account, service=service, terms=terms)

    def wait(
        self,
        arn: str,
        version: str | None = None,
        *,
        listener: JobListener | None = None,
        timeout: float | None = None,
    ) -> Record:
        """Return the record of a job when it has ended: see `Supervisor.wait`; `listener` receives what happens."""
        if listener is not None:
            self.supervisor.listen(arn, version, listener)
        return self.supervisor.wait(arn, version, timeout=timeout)

    def forget(self, record: Record) -> None:
        """Remove a job that has ended, with all its files."""
        forget(self.workspace, record)

    def forget_unstarted(self, record: Record) -> None:
        """Remove a training job that failed at the checks of its container: it has no useful results."""
        if not record.private.get("started", True):
            self.forget(record)


def _objects(home: Path, settings: RoomSettings) -> Objects:
    machine = settings.machine
    return FolderObjects(home / "s3") if machine.s3_endpoint is None else S3Objects(machine.s3_url, machine.region)
