"""What operations and planners use: the parts of a room that store something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cleanroom_algo.local.objects.store import Objects
from cleanroom_algo.local.resources.room_files import RoomFiles
from cleanroom_algo.local.resources.settings import RoomSettings
from cleanroom_algo.local.resources.store import Record, Store


class Enqueue(Protocol):
    """Queues the job of a record."""

    def __call__(self, record: Record, *, hosts: int) -> None:
        """Queue it; `hosts` is the number of hosts that it needs, 0 for jobs that need not wait for others."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """The parts of a room that store something, without those that run something.

    Attributes:
        store: of the records.
        settings: of the room.
        objects: the storage of s3:// URIs.
        files: the paths of all other files.
        enqueue: queues the job of a record; a server queues it for any server, a command reserves it for itself.
    """

    store: Store
    settings: RoomSettings
    objects: Objects
    files: RoomFiles
    enqueue: Enqueue
