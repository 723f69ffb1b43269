"""Hosts as process trees of this machine: they need no privileges, and have no isolation.

Each host has its own root, to which SAGEMAKER_BASE_DIR points, and its own folder for temporary files, TMPDIR, which is
removed with it; the hosts of a job meet on a free port of loopback.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cleanroom_algo.contract.settings import variable
from cleanroom_algo.local.hosts.entry import find_entry, process_environment, share_of_cores
from cleanroom_algo.local.hosts.isolation.guarded import GuardedHost
from cleanroom_algo.local.hosts.protocol import HostSpec
from cleanroom_algo.local.plans.training_plan import AlgorithmSource
from cleanroom_algo.local.resources.settings import RoomSettings

log = logging.getLogger("cleanroom_algo.local")

PORT_VARIABLE = "SAGEMAKER_BIND_TO_PORT"


class ProcessHosts:
    """Runs algorithms in a file or folder of this machine."""

    name = "process"
    lacks = ", and files and network are those of this machine: no /opt/ml, no isolation"
    isolates_files = False
    chosen_by_itself = True

    @classmethod
    def runs(cls, source: AlgorithmSource) -> bool:
        """Whether it can run this source: a file or folder."""
        return source.path is not None

    @classmethod
    def missing(cls, _settings: RoomSettings) -> None:
        """Return None: processes run everywhere."""

    @classmethod
    def of(cls, _settings: RoomSettings) -> Self:
        """Return an instance; settings do not change it."""
        return cls()

    @contextmanager
    def open(self, host_names: Sequence[str]) -> Iterator[ProcessJob]:
        """Choose the address at which several hosts of a job meet; names such as `algo-1` need isolated hosts."""
        if os.geteuid() == 0:
            log.warning("running as root: on process hosts, the algorithm also runs as root; use another user")
        meeting = {} if len(host_names) == 1 else {variable("rendezvous"): f"127.0.0.1:{_free_port()}"}
        yield ProcessJob(meeting | share_of_cores(len(host_names)))


@dataclass(frozen=True, slots=True)
class ProcessJob:
    """The hosts of one job."""

    environment: Mapping[str, str]

    @property
    def fault(self) -> None:
        """Return None: the hosts share nothing that can be lost."""

    def launch(self, spec: HostSpec) -> GuardedHost:
        """Start a host.

        Raises:
            HostStartError: CR-HST-001, `source` does not exist on this machine, or cannot be executed.
        """
        entry = find_entry(spec)
        given = {**self.environment, **spec.environment}
        environment = process_environment(spec.root, entry.algorithm, entry.path, given)
        port = 0
        if spec.verb == "serve":
            port = _free_port()
            environment |= {PORT_VARIABLE: str(port), variable("serve_host"): "127.0.0.1"}
        for name, folder in spec.shared.items():
            (spec.root / name).symlink_to(folder)

        def connect(timeout: float | None) -> socket.socket:
            return socket.create_connection(("127.0.0.1", port), timeout)

        # Not below the root: the paths of sockets, which programs create there, have at most 107 bytes.
        scratch = Path(tempfile.mkdtemp(prefix="cleanroom-host-"))
        environment["TMPDIR"] = str(scratch)
        try:
            address = f"port {port} ({PORT_VARIABLE})"
            return GuardedHost(spec, entry.command, environment, connect, scratch=scratch, address=address)
        except BaseException:
            scratch.rmdir()
            raise


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
