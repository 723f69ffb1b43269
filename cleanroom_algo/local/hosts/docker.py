"""Hosts as containers of an image, run by Docker or by podman.

The hosts of a job are on their own internal network, with the names `algo-1`, `algo-2`, ... The engine must run on this
machine: /opt/ml is a folder of this machine. A serving container is reached through its network namespace, or by its
address if the user may not enter the namespace.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cleanroom_algo.errors import EngineError, HostStartError
from cleanroom_algo.local.hosts.engine import call, find_engine
from cleanroom_algo.local.hosts.entry import share_of_cores
from cleanroom_algo.local.hosts.gpus import gpu_words
from cleanroom_algo.local.hosts.isolation import network
from cleanroom_algo.local.hosts.isolation.connector import NamespaceConnector, enter
from cleanroom_algo.local.hosts.isolation.guarded import MOST_THREADS, GuardedHost
from cleanroom_algo.local.hosts.isolation.isolated_python import isolated_python
from cleanroom_algo.local.hosts.isolation.network import SERVE_PORT
from cleanroom_algo.local.hosts.protocol import HostSpec, Limits
from cleanroom_algo.local.plans.training_plan import AlgorithmSource
from cleanroom_algo.local.resources.settings import RoomSettings

ENGINES = ("docker", "podman")  # the first one that responds is used
_NETWORK_ATTEMPTS = 20  # each with another range of addresses; other networks may use some of them


class DockerHosts:
    """Runs images.

    Args:
        read_only: whether the containers may write only to /opt/ml and /tmp.
        internal: whether their network has no external access.
        hides_opt_ml: whether all files of an image below /opt/ml are hidden, or only those in the places of the
            platform's own files.
    """

    name = "docker"
    lacks = ""
    isolates_files = True
    chosen_by_itself = True

    @classmethod
    def runs(cls, source: AlgorithmSource) -> bool:
        """Whether it can run this source: an image."""
        return source.path is None

    @classmethod
    def missing(cls, _settings: RoomSettings) -> None:
        """Return None: nothing is known before an engine is called."""

    @classmethod
    def of(cls, settings: RoomSettings) -> Self:
        """Return it with the switches `network` and `image_opt_ml`."""
        switches = settings.switches
        return cls(internal=switches.network != "open", hides_opt_ml=switches.image_opt_ml == "hidden")

    def __init__(self, *, read_only: bool = False, internal: bool = True, hides_opt_ml: bool = False) -> None:
        self._read_only = read_only
        self._internal = internal
        self._hides_opt_ml = hides_opt_ml

    @contextmanager
    def open(self, host_names: Sequence[str]) -> Iterator[DockerJob]:
        """Create the network of a job.

        Raises:
            EngineError: CR-HST-003, no engine responds, or it cannot create a network.
        """
        program = find_engine(*ENGINES)
        job_network = f"cleanroom-{uuid.uuid4().hex[:12]}"
        subnet = _make_network(program, job_network, internal=self._internal)
        addresses = {name: f"{subnet}.{number + 10}" for number, name in enumerate(host_names)}
        cores = share_of_cores(len(host_names))
        job = DockerJob(program, job_network, addresses, cores, self._read_only, self._hides_opt_ml)
        try:
            yield job
        finally:
            for route in job.routes:
                route.close()
            call(program, "network", "rm", job_network)


@dataclass(frozen=True, slots=True)
class DockerJob:
    """The hosts of one job."""

    program: str
    network: str
    addresses: Mapping[str, str]
    environment: Mapping[str, str]
    read_only: bool = False
    hides_opt_ml: bool = False
    routes: list[_Route] = field(default_factory=list)

    @property
    def fault(self) -> None:
        """Return None: this process does not notice losses."""

    def launch(self, spec: HostSpec) -> GuardedHost:
        """Start a host.

        Raises:
            HostStartError: CR-HST-001, the engine does not have the image.
        """
        image = spec.source.image_uri
        if call(self.program, "image", "inspect", image).returncode:
            raise HostStartError(
                f"{self.program} does not have the image {image!r}",
                expected="an image on this machine; the local clean room does not pull images",
                fix=f"`{self.program} pull {shlex.quote(image)}`, or build it with `cleanroom-algo build`",
            )
        container = f"{self.network}-{spec.name}"
        route = _Route(self.program, container, self.addresses[spec.name])
        self.routes.append(route)
        # The network of a killed tool is removed together with its last container.
        removal = '"$0" rm --force --volumes "$1"; "$0" network rm "$2"'
        return GuardedHost(
            spec,
            [self.program, *self.run_words(spec, container)],
            os.environ,
            route.connect,
            end=[self.program, "kill", container],
            at_end=["sh", "-c", removal, self.program, container, self.network],
            main=[self.program, *main_process(container)],
            limits=Limits(disk_bytes=spec.limits.disk_bytes),  # the engine limits memory
        )

    def run_words(self, spec: HostSpec, container: str) -> list[str]:
        """Return the words after the engine's name."""
        # Not --rm: for a removed container, podman's service returns exit status 0 to the docker client.
        words = ["run", "--pull", "never", "--name", container, "--hostname", spec.name]
        words += ["--pids-limit", str(MOST_THREADS), "--network", self.network, "--ip", self.addresses[spec.name]]
        words += [word for name, place in self.addresses.items() for word in ("--add-host", f"{name}:{place}")]
        if self.read_only:
            words += ["--read-only", "--tmpfs", "/tmp"]  # noqa: S108 (the container's)
        if spec.limits.memory_bytes:
            available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            words += ["--memory", str(min(spec.limits.memory_bytes, available))]
        if spec.limits.gpus:
            words += gpu_words(self.program)
        resolver = spec.root.parent / "resolv.conf"
        resolver.touch()  # with this machine's file, looking up a name that is not in /etc/hosts would take seconds
        words += self._volume(resolver, "/etc/resolv.conf", "ro")
        words += self._opt_ml(spec.root)
        words += [word for name, path in spec.shared.items() for word in self._volume(path, f"/opt/ml/{name}", "ro")]
        for name, value in {**self.environment, **spec.environment}.items():
            words += ["--env", f"{name}={value}"]
        return words + image_words(spec)

    def _opt_ml(self, root: Path) -> list[str]:
        """Return the words for the platform's files below /opt/ml, beside or over those of the image."""
        words = self._volume(root, "/opt/ml") if self.hides_opt_ml else []
        for name in sorted(path.name for path in root.iterdir() if path.is_dir()):
            if name == "input":
                words += self._volume(root / name, f"/opt/ml/{name}", "ro")
            elif not self.hides_opt_ml:
                words += self._volume(root / name, f"/opt/ml/{name}")
        return words

    def _volume(self, path: Path, inside: str, mode: str = "rw") -> list[str]:
        """Return the words for a folder of this machine; docker cannot forbid executing or opening devices there."""
        return ["--volume", f"{path}:{inside}:{mode}" + (",nosuid,nodev" if self.program == "podman" else "")]


class _Route:
    """The connection to a serving container: this machine may have no address on an internal network."""

    def __init__(self, program: str, container: str, address: str) -> None:
        self._program = program
        self._container = container
        self._address = address
        self._lock = threading.Lock()
        self._connector: NamespaceConnector | None = None

    def connect(self, timeout: float | None) -> socket.socket:
        """Return a connection.

        Raises:
            OSError: the container does not run yet, or does not listen.
        """
        with self._lock:
            if self._connector is None:
                self._connector = self._open()
        try:
            return self._connector.connect(timeout)
        except (BrokenPipeError, ConnectionResetError):  # the namespace may not be entered
            return socket.create_connection((self._address, SERVE_PORT), timeout)

    def close(self) -> None:
        """Close the connection to the container's network."""
        with self._lock:
            if self._connector is not None:
                self._connector.close()

    def _open(self) -> NamespaceConnector:
        found = call(self._program, *main_process(self._container))
        if found.returncode or not int(found.stdout or 0):
            raise ConnectionRefusedError(f"{self._container} does not run yet")
        ours, theirs = socket.socketpair()
        words = [*isolated_python(network), "serve", self._address, str(theirs.fileno())]
        with theirs:
            process = subprocess.Popen(
                [*enter(int(found.stdout)), *words], stderr=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        threading.Thread(target=process.wait, name=f"{self._container}-way", daemon=True).start()
        return NamespaceConnector(ours)


def main_process(container: str) -> tuple[str, ...]:
    """Return the command that asks an engine for the process of a container; it returns 0 before the container runs."""
    return "inspect", "--format", "{{.State.Pid}}", container


def image_digest(image: str) -> str | None:
    """Return the digest of an image in its registry, or else on this machine; None if no engine has it."""
    try:
        program = find_engine(*ENGINES)
    except EngineError:
        return None
    found = call(program, "image", "inspect", image)  # as JSON: the names in templates differ between engines
    if found.returncode:
        return None
    about = json.loads(found.stdout)[0]
    registry = [each.partition("@")[2] for each in about.get("RepoDigests") or ()]
    return next(iter(registry), "") or f"sha256:{about['Id'].removeprefix('sha256:')}"


def digest_of(member: str, source: AlgorithmSource) -> dict[str, str]:
    """Return the member with the digest of the image that ran; an algorithm in a file or folder has no digest."""
    digest = image_digest(source.image_uri) if source.path is None else None
    return {} if digest is None else {member: digest}


def image_words(spec: HostSpec) -> list[str]:
    """Return the image with entrypoint and arguments.

    The request's entrypoint replaces the image's, and its arguments replace the word `train` or `serve`
    (SageMaker developer guide, "How Amazon SageMaker runs your training image").
    """
    source = spec.source
    if source.entrypoint is None:
        return [source.image_uri, *(source.arguments or (spec.verb,))]
    program, *rest = source.entrypoint
    return ["--entrypoint", program, source.image_uri, *rest, *(source.arguments or ())]


def _make_network(program: str, name: str, *, internal: bool) -> str:
    """Create a network, on request an internal one; return the first three numbers of its addresses."""
    kind = ["--internal"] if internal else []
    done = None
    for _ in range(_NETWORK_ATTEMPTS):
        subnet = f"10.{random.randrange(100, 250)}.{random.randrange(256)}"  # noqa: S311 (nothing secret)
        done = call(program, "network", "create", *kind, "--subnet", f"{subnet}.0/24", name)
        if done.returncode == 0:
            return subnet
    assert done is not None
    raise EngineError(
        f"{program} cannot create the network of the job: {done.stderr.strip()[-200:]}",
        expected="an engine that can create internal networks",
        fix=f"check whether `{program} network create --internal` works",
    )
