"""The local clean room in one process: records, objects, jobs, and the operations of the API upon them.

The same `Room.call` answers `cleanroom-algo train` in process and boto3 over HTTP.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import cleanroom_algo.local.operations  # noqa: F401 (registers them)
from cleanroom_algo.errors import RoomInUseError, RoomStateError, UnknownOperationError
from cleanroom_algo.local.jobs.context import Listener
from cleanroom_algo.local.objects.listing import Source, objects_of, source_of
from cleanroom_algo.local.objects.mount import unmount_below
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.objects.store import FolderObjects, Objects, S3Objects
from cleanroom_algo.local.operations.registry import REGISTRIES, Call
from cleanroom_algo.local.resources.arns import MEMBERSHIP, Arn
from cleanroom_algo.local.resources.owners import Owners, take_server_lock
from cleanroom_algo.local.resources.settings import RoomSettings
from cleanroom_algo.local.resources.store import Record, Store
from cleanroom_algo.local.scheduling.supervisor import Supervisor
from cleanroom_algo.local.service_model.shapes import ML, is_read_only, operation_model, operation_names
from cleanroom_algo.local.service_model.validation import faults, invalid
from cleanroom_algo.local.setup import binding

log = logging.getLogger("cleanroom_algo.local")

OWN_FILES = ("room.sqlite", "room.sqlite-wal", "room.sqlite-shm", "server.lock")
OWN_FOLDERS = ("jobs", "models", "channels", "owners", "s3")
ENDED = ("ACTIVE", "INACTIVE", "CREATE_FAILED", "CANCEL_FAILED", "DELETE_FAILED")
_POLL_SECONDS = 0.2  # for what another process does


class Room:
    """A local clean room. Use it as a context manager: leaving it ends the jobs of this process.

    Args:
        home: the state folder; created if missing.
        settings: of the room; read from the state folder if None.
        serving: whether jobs that no process has reserved are run here (`cleanroom-algo up`).

    Raises:
        RoomStateError: CR-ROM-002. RoomSettingsError: CR-ROM-005.
    """

    def __init__(self, home: Path, settings: RoomSettings | None = None, *, serving: bool = False) -> None:
        self.home = home.absolute()
        self.settings = settings or RoomSettings.read(self.home)
        self.store = Store(self.home / "room.sqlite")
        self.objects: Objects = _objects(self.home, self.settings)
        self.owners = Owners(self.home)
        self.owner, self._owner_lock = self.owners.join()
        self.serving = serving
        self.supervisor = Supervisor(self, everyone=serving)
        self.supervisor.recover()
        if serving:
            self.supervisor.wake()

    @classmethod
    def open(cls, home: Path, settings: RoomSettings | None = None, *, serving: bool = False) -> Self:
        """Return the room of a state folder."""
        return cls(home, settings, serving=serving)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the jobs of this process, and let go of the state folder."""
        self.supervisor.stop()
        self.store.close()
        self._owner_lock.release()

    @property
    def region(self) -> str:
        """The AWS region of the room's ARNs."""
        return self.settings.machine.region

    def call(
        self, operation: str, params: Mapping[str, Any], account: str | None = None, *, service: str = ML
    ) -> dict[str, Any]:
        """Call an operation, as boto3 would, and return the members of its output.

        Args:
            operation: its name in the model, `CreateTrainedModel`.
            params: as boto3 takes them.
            account: who calls, twelve digits; the room's default if None.
            service: `cleanroomsml` or `cleanrooms`.

        Raises:
            RequestError: CR-REQ-001 to CR-REQ-009, as the operation's errors.
        """
        if operation not in operation_names(service):
            raise UnknownOperationError(
                f"{service} has no operation {operation}", expected="a name of botocore's model", fix="check the name"
            )
        handler = REGISTRIES[service].handler(operation)
        model = operation_model(service, operation)
        if problems := faults(model.input_shape, params):
            raise invalid(operation, problems)
        call = Call(self, operation, params, account or self.settings.machine.account, service)
        if is_read_only(model):
            return dict(handler(call))
        with self.store.transaction():
            result = dict(handler(call))
        self.supervisor.wake()
        return result

    def queue(self, record: Record, *, hosts: int) -> None:
        """Queue the job of a record; a server leaves it to any server, a command keeps it for itself.

        Args:
            record: of the job.
            hosts: that it needs; 0 for jobs that need not wait for others.
        """
        self.store.add_job(record, hosts=hosts, owner="" if self.serving else self.owner)

    def wait(
        self,
        arn: str,
        version: str | None = None,
        *,
        listener: Listener | None = None,
        timeout: float | None = None,
    ) -> Record:
        """Return the record of a job when it has ended.

        Args:
            arn: of a trained model, an inference job or an ML input channel.
            version: of a trained model; None for the base.
            listener: told what happens from now on, where the job runs in this process.
            timeout: seconds; None waits for ever.

        Raises:
            KeyError: there is no such record. TimeoutError: the time is over.
            RoomStateError: CR-ROM-002, how it ended cannot be recorded.
        """
        kind = Arn.parse(arn).kind
        if listener is not None:
            self.supervisor.listeners(arn, version).add(listener)
        limit = None if timeout is None else time.monotonic() + timeout
        while True:
            record = self.store.get(kind, arn, version)
            if record is None:
                raise KeyError(arn)
            if record.status in ENDED and self.store.job_of(record) is None:
                return record
            if limit is not None and time.monotonic() > limit:
                raise TimeoutError(f"{arn} is {record.status}")
            self.supervisor.check_recorded(arn, version)
            self.supervisor.wait_for_change(_POLL_SECONDS)

    def members(self, collaboration: str) -> list[dict[str, Any]]:
        """Return the active members of a collaboration: `accountId` beside what their memberships' documents have."""
        found = self.store.find(MEMBERSHIP, collaboration=collaboration, statuses=("ACTIVE",))
        return [{**each.document, "accountId": each.account} for each in found]

    # --- where things lie ---------------------------------------------------------------------------------------------

    def run_directory(self, record: Record) -> Path:
        """Return the folder for the files of a job's run; its log and its hosts' usage stay there."""
        return self.home / "jobs" / _folder(record.key, record.version)

    def artifacts(self, arn: str, version: str | None) -> Path:
        """Return the folder that holds model.tar.gz and output.tar.gz of a version."""
        return self.home / "models" / _folder(arn, version)

    def channel_directory(self, record: Record) -> Path:
        """Return the folder for the objects of an ML input channel whose query runs here."""
        return self.home / "channels" / _folder(record.key, None)

    def channel_objects(self, record: Record) -> tuple[ObjectRef, ...]:
        """Return the objects of an ML input channel, by key.

        Raises:
            RoomError: CR-ROM-004 or CR-ROM-007, those of a prefix in S3 cannot be listed, or there are none.
        """
        location = record.private.get("location")
        source = self.channel_directory(record) if location is None else source_of(location)
        return self.source_objects(source)

    def source_objects(self, source: Source) -> tuple[ObjectRef, ...]:
        """Return the objects of a folder or a prefix, by key: see `sources.listing.objects_of`."""
        endpoint = self.settings.machine.s3_endpoint
        return objects_of(source, None if endpoint == "aws" else endpoint)

    # --- requests that name what only this machine has ----------------------------------------------------------------

    def adopt(
        self,
        request: Mapping[str, Any],
        *,
        algorithm: str | Path | None = None,
        channels: Mapping[str, Source] | None = None,
        operation: str = "CreateTrainedModel",
    ) -> str:
        """Make the resources that a request names: see `binding.adopt`."""
        return binding.adopt(self, request, algorithm=algorithm, channels=channels or {}, operation=operation)

    def request_for(self, algorithm: str | Path, channels: Mapping[str, Source], **words: Any) -> dict[str, Any]:
        """Return the parameters of CreateTrainedModel for local files: see `binding.request_for`."""
        return binding.request_for(self, algorithm, channels, **words)

    def inference_request_for(self, model: Record, channel: Source, **words: Any) -> dict[str, Any]:
        """Return the parameters of StartTrainedModelInferenceJob for local files: see `binding`."""
        return binding.inference_request_for(self, model, channel, **words)


def clean(home: Path, *, only: Sequence[str] = (*OWN_FILES, *OWN_FOLDERS)) -> list[Path]:
    """Remove everything of a room, and its folder if nothing else is in it; `settings.toml` stays, as it was written.

    Args:
        home: the state folder.
        only: names to remove.

    Returns:
        what was removed.

    Raises:
        RoomInUseError: CR-ROM-001, a process still uses it. RoomStateError: CR-ROM-002, something cannot be removed.
    """
    if not home.is_dir():
        return []
    lock = take_server_lock(home)
    try:
        if Owners(home).alive():
            raise RoomInUseError(
                f"jobs of another command are running in {home}",
                expected="a state folder that nothing uses",
                fix="wait for the command, or end it with Ctrl-C",
            )
        unmount_below(home)
        found = [home / name for name in only if (home / name).exists()]
        for path in found:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        raise RoomStateError.refused(Path(error.filename or home), error) from error
    finally:
        lock.release()
    if not any(home.iterdir()):
        home.rmdir()
    return [path for path in found if path.name != "server.lock"]


def _objects(home: Path, settings: RoomSettings) -> Objects:
    endpoint = settings.machine.s3_endpoint
    if endpoint is None:
        return FolderObjects(home / "s3")
    return S3Objects(None if endpoint == "aws" else endpoint, settings.machine.region)


def _folder(arn: str, version: str | None) -> str:
    identifier = Arn.parse(arn).identifier.replace("/", "_")
    return identifier if version is None else f"{identifier}-{version}"
