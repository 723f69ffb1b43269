"""The server of `cleanroom-algo up`: one process with threads, so that one supervisor runs the jobs.

Threads suffice, because an answer takes a millisecond of Python and SQLite, and separate processes do the work of jobs.
waitress reads requests in the process, and gives only complete ones to threads: clients that send half a request block
no thread. If the process dies, gunicorn's master restarts it, and the room settles the jobs that were running.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final, Protocol

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker
from waitress import create_server, wasyncore

from cleanroom_algo.channels.memory import keep_freed_memory
from cleanroom_algo.errors import PortTakenError
from cleanroom_algo.local.api.application import MAX_BODY_BYTES, Application, Pages
from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.resources.owners import take_server_lock
from cleanroom_algo.local.resources.settings import RoomSettings
from cleanroom_algo.local.resources.store import Store
from cleanroom_algo.local.service_model.shapes import CLEANROOMS, ML, service_model

THREADS: Final = 16  # more than the clients of a laptop open; each sometimes waits for SQLite's only writer
IDLE_SECONDS: Final = 75  # after which a connection without requests is closed; boto3 opens a new one
CONNECTIONS: Final = 1000  # more than the clients of one machine open
POLL_SECONDS: Final = 0.5  # after which a process that waits for requests checks whether it should end
STOP_SECONDS: Final = 150  # jobs get 120 s after SIGTERM, and their hosts a little more


class _Logger(Logger):  # type: ignore[misc]
    """gunicorn's own messages, in the same form as all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class ServedRoom(Protocol):
    """What the server needs of a room."""

    caller: Caller

    def close(self) -> None:
        """End its jobs, and close the state folder."""


OpenRoom = Callable[[Path], ServedRoom]


class _Process(Worker):  # type: ignore[misc]
    """The process that answers until it is asked to end or its master has ended."""

    def run(self) -> None:
        """Answer requests; gunicorn calls this when the room is open."""
        channels: dict[int, Any] = {}
        server = create_server(
            self.wsgi,
            map=channels,
            sockets=[each.sock for each in self.sockets],
            threads=THREADS,
            channel_timeout=IDLE_SECONDS,
            connection_limit=CONNECTIONS,
            max_request_body_size=2 * MAX_BODY_BYTES,  # up to this size, the application reports the error
            ident=None,
        )
        while self.alive and os.getppid() == self.ppid:
            wasyncore.loop(timeout=POLL_SECONDS, map=channels, use_poll=True, count=1)
        server.task_dispatcher.shutdown()
        wasyncore.loop(timeout=0, map=channels, use_poll=True, count=10)  # sends the last answers
        server.close()


class Server(BaseApplication):  # type: ignore[misc]
    """Serves the API of a room on 127.0.0.1.

    Args:
        home: the state folder.
        address: a bound socket; gunicorn takes it over.
        ready: called with the URL when connections are accepted.
        open_room: opens the room in the process that serves it.
        hosts: names of the server, in addition to those of this machine.
        make_pages: see `Application`.
    """

    def __init__(
        self,
        home: Path,
        address: socket.socket,
        ready: Callable[[str], None],
        open_room: OpenRoom,
        hosts: Collection[str] = (),
        make_pages: Callable[[Caller], Pages] | None = None,
    ) -> None:
        self.home = home
        self.open_room = open_room
        self.hosts = hosts
        self.make_pages = make_pages
        self.address = address
        self.ready = ready
        self.room: ServedRoom | None = None
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's settings; it reads no files, arguments or variables."""
        settings = {
            "bind": f"fd://{self.address.detach()}",
            "worker_class": _Process,
            "workers": 1,
            "timeout": 0,
            "graceful_timeout": STOP_SECONDS,
            "preload_app": False,  # SQLite's connections and threads do not survive a fork
            "control_socket_disable": True,
            "accesslog": None,
            "logger_class": _Logger,
            "loglevel": logging.getLevelName(logging.getLogger("cleanroom_algo").getEffectiveLevel()).lower(),
            "post_worker_init": self._worker_ready,
            "worker_exit": self._worker_exit,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Callable[..., Any]:
        """Open the room in the process that serves it."""
        keep_freed_memory()  # inference jobs allocate memory for their requests
        self.room = self.open_room(self.home)
        return Application(self.room.caller, self.hosts, self.make_pages)

    def _worker_ready(self, worker: Any) -> None:
        # Not when the socket listens: a signal before the worker handles signals would be lost.
        if worker.age == 1:  # a replacement has nothing to announce
            host, port = worker.sockets[0].getsockname()[:2]
            self.ready(f"http://{host}:{port}")

    def _worker_exit(self, _arbiter: Any, _worker: Any) -> None:
        if self.room is not None:
            self.room.close()


def serve(
    home: Path,
    port: int,
    ready: Callable[[str], None],
    open_room: OpenRoom,
    hosts: Collection[str] = (),
    make_pages: Callable[[Caller], Pages] | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C, which end the running jobs first.

    Args:
        home: the state folder.
        port: 0 for any free one.
        ready: called with the URL.
        open_room: opens the room of a state folder for running the jobs that no process has reserved.
        hosts: names by which clients call the server, in addition to those of this machine.
        make_pages: see `Application`.

    Raises:
        RoomInUseError: CR-ROM-001. RoomStateError: CR-ROM-002. RoomSettingsError: CR-ROM-005.
        PortTakenError: CR-ROM-009, another process has the port.
        SystemExit: when it ends.
    """
    lock = take_server_lock(home)
    try:
        RoomSettings.read(home)
        Store(home / "room.sqlite").close()
        for service in (ML, CLEANROOMS):
            service_model(service)  # before the fork and the first request
        Server(home, _bound(port), ready, open_room, hosts, make_pages).run()
    finally:
        lock.release()


def _bound(port: int) -> socket.socket:
    """Return a socket that is bound to the port: gunicorn would try for five seconds, and report no clear error."""
    address = socket.socket()
    address.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        address.bind(("127.0.0.1", port))
    except OSError as error:
        address.close()
        raise PortTakenError(
            f"cannot listen on port {port} of 127.0.0.1: {error.strerror}",
            expected="a port that no other process uses",
            fix="choose another port with --port (0 selects a free port), or end the other process",
        ) from error
    return address
