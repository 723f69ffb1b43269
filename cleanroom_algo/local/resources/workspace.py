"""What operations and planners work with: the parts of a room that hold something."""

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
        """Queue it; `hosts` is how many it needs, 0 for jobs that need not wait for others."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """The parts of a room that hold something, without those that run something.

    Attributes:
        store: of the records.
        settings: of the room.
        objects: where the objects of s3:// URIs are.
        files: where everything else lies.
        enqueue: queues the job of a record; a server leaves it to any server, a command keeps it for itself.
    """

    store: Store
    settings: RoomSettings
    objects: Objects
    files: RoomFiles
    enqueue: Enqueue
