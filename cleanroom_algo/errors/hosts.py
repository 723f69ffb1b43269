"""CR-HST: hosts."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError


class HostError(CleanroomError):
    """Where a container runs."""


class HostStartError(HostError):
    """A host cannot be started.

    Process and sandbox hosts run an algorithm that lies in a file or folder of this machine; images need a docker host.
    """

    code = "CR-HST-001"
    title = "host cannot be started"
