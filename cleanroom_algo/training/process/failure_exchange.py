"""Where the hosts meet, and what they tell each other there besides gradients: why one of them failed."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.training.rank_run import LOOPBACK

if TYPE_CHECKING:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

DEFAULT_PORT = 7777  # what sagemaker-training's launcher uses
RENDEZVOUS_SECONDS = 600  # instances of one job may start minutes apart
_CAUSE = "cleanroom/cause"
_SEEN = "cleanroom/seen/"
_LINGER_SECONDS = 10.0
_POLL_SECONDS = 0.5


def endpoint(environment: Environment) -> tuple[str, int]:
    """Return host and port of the meeting point: the setting, or the first of the sorted hosts, port 7777."""
    given = environment.settings.rendezvous
    if given is None:
        first = environment.resources.first_host
        return ("127.0.0.1" if environment.resources.host_count == 1 else first), DEFAULT_PORT
    host, _, port = given.rpartition(":")
    return host, int(port)


def interface(environment: Environment) -> str | None:
    """Return the network interface for collectives: loopback where the ranks meet there, else the platform's.

    None leaves the choice to gloo and nccl: the named interface does not exist, as in local modes of other tools.
    """
    present = {name for _, name in socket.if_nameindex()}
    if environment.resources.host_count == 1 or endpoint(environment)[0] in LOOPBACK:
        wanted = ["lo", "lo0"]
    else:
        wanted = [environment.resources.network_interface_name]
    return next((name for name in wanted if name in present), None)


def free_port() -> int:
    """Return a port of loopback that nobody listens on at this instant."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cause(NamedTuple):
    """Why a host failed.

    Attributes:
        text: of the failure file.
        exit_code: of its processes.
    """

    text: str
    exit_code: int


class FailureExchange:
    """The store of the job, as a launcher sees it.

    Args:
        host: of the endpoint.
        port: of the endpoint.
        host_name: this host's name.
        others: the names of the other hosts.
        serve: whether the store lives in this process: on the first host.
    """

    def __init__(self, host: str, port: int, *, host_name: str, others: tuple[str, ...], serve: bool) -> None:
        self._address = host, port
        self._name = host_name
        self._others = others
        self._serve = serve
        self._store: TCPStore | None = self._connect(RENDEZVOUS_SECONDS) if serve else None
        self._watch_ended = threading.Event()

    def publish_cause(self, cause: Cause) -> Cause:
        """Tell the others why this host failed; return the first cause that any host told."""
        if not self._others:
            return cause
        try:
            return Cause(*json.loads(self._client().compare_set(_CAUSE, "", json.dumps(cause))))
        except RuntimeError:
            return cause

    def cause(self, seconds: float) -> Cause | None:
        """Return the cause that another host told, waiting for it; None where none comes."""
        deadline = time.monotonic() + seconds
        while self._others:
            try:
                if self._client().check([_CAUSE]):
                    return Cause(*json.loads(self._client().get(_CAUSE)))
            except RuntimeError:
                return None  # the first host is gone, and the store with it
            if time.monotonic() > deadline:
                return None
            time.sleep(_POLL_SECONDS / 5)
        return None

    def watch(self, act: Callable[[], None]) -> None:
        """Call back, in a thread, when another host tells why it failed: collectives may not notice for minutes."""
        if self._others:
            threading.Thread(target=self._watch, args=(act,), name="failures", daemon=True).start()

    def leave(self, *, failed: bool) -> None:
        """End: on failure the first host stays until the others have read the cause, at most 10 s."""
        self._watch_ended.set()
        if not (failed and self._others):
            return
        try:
            if self._serve:
                self._client().wait([_SEEN + name for name in self._others], timedelta(seconds=_LINGER_SECONDS))
            else:
                self._client().set(_SEEN + self._name, "1")
        except RuntimeError:
            return  # not everybody came; nobody can be helped any more

    def _watch(self, act: Callable[[], None]) -> None:
        try:
            store = self._connect(RENDEZVOUS_SECONDS)  # a store serves one thread at a time
            while not self._watch_ended.wait(_POLL_SECONDS):
                if store.check([_CAUSE]):
                    act()
                    return
        except RuntimeError:
            return  # the first host is gone; the collectives will say so

    def _client(self) -> TCPStore:
        if self._store is None:
            self._store = self._connect(_LINGER_SECONDS)
        return self._store

    def _connect(self, seconds: float) -> TCPStore:
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        serve = self._serve and threading.current_thread() is threading.main_thread()
        return TCPStore(
            *self._address,
            is_master=serve,
            wait_for_workers=False,
            multi_tenant=True,
            timeout=timedelta(seconds=seconds),
        )
