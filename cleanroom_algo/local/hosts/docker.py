"""Hosts as containers of an image, run by Docker, or by podman in its place.

The hosts of a job are on an internal network of their own and know each other as `algo-1`, `algo-2`, ... The
engine must run on this machine: /opt/ml is a folder of it, and a serving container is reached through its network
namespace, or where the user may not enter that, on its address.
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

ENGINES = ("docker", "podman")  # the first that answers is taken
_NETWORK_ATTEMPTS = 20  # each with another range of addresses; others' networks may have some of them


class DockerHosts:
    """Runs images.

    Args:
        read_only: whether the containers may write to /opt/ml and /tmp alone.
        internal: whether their network has no way out.
        hides_opt_ml: whether everything that an image holds below /opt/ml is out of sight, or only what lies where the
            platform puts its own.
    """

    name = "docker"
    lacks = ""
    isolates_files = True
    chosen_by_itself = True

    @classmethod
    def runs(cls, source: AlgorithmSource) -> bool:
        """Whether it runs this: an image."""
        return source.path is None

    @classmethod
    def missing(cls, _settings: RoomSettings) -> None:
        """Nothing that is known before an engine is asked."""

    @classmethod
    def of(cls, settings: RoomSettings) -> Self:
        """Return them as the switches `network` and `image_opt_ml` say."""
        switches = settings.switches
        return cls(internal=switches.network != "open", hides_opt_ml=switches.image_opt_ml == "hidden")

    def __init__(self, *, read_only: bool = False, internal: bool = True, hides_opt_ml: bool = False) -> None:
        self._read_only = read_only
        self._internal = internal
        self._hides_opt_ml = hides_opt_ml

    @contextmanager
    def open(self, host_names: Sequence[str]) -> Iterator[DockerJob]:
        """Make the network of a job.

        Raises:
            EngineError: CR-HST-003, no engine answers, or it cannot make a network.
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
            for way in job.ways:
                way.close()
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
    ways: list[_Way] = field(default_factory=list)

    @property
    def fault(self) -> None:
        """Nothing that this process knows to be lost."""

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
        self.ways.append(_Way(self.program, container, self.addresses[spec.name]))
        # With the last container of a tool that was killed, its network goes, too.
        removal = '"$0" rm --force --volumes "$1"; "$0" network rm "$2"'
        return GuardedHost(
            spec,
            [self.program, *self.run_words(spec, container)],
            os.environ,
            self.ways[-1].connect,
            end=[self.program, "kill", container],
            at_end=["sh", "-c", removal, self.program, container, self.network],
            main=[self.program, *main_process(container)],
            limits=Limits(disk_bytes=spec.limits.disk_bytes),  # of memory the engine takes care
        )

    def run_words(self, spec: HostSpec, container: str) -> list[str]:
        """Return what follows the engine's name."""
        # Not --rm: of a container that is gone, podman's service tells the docker client exit status 0.
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
        resolver.touch()  # with this machine's, each name that is not in /etc/hosts would be waited for, for seconds
        words += self._volume(resolver, "/etc/resolv.conf", "ro")
        words += self._opt_ml(spec.root)
        words += [word for name, path in spec.shared.items() for word in self._volume(path, f"/opt/ml/{name}", "ro")]
        for name, value in {**self.environment, **spec.environment}.items():
            words += ["--env", f"{name}={value}"]
        return words + image_words(spec)

    def _opt_ml(self, root: Path) -> list[str]:
        """Return the words for what the platform puts below /opt/ml, beside or over what the image has there."""
        words = self._volume(root, "/opt/ml") if self.hides_opt_ml else []
        for name in sorted(path.name for path in root.iterdir() if path.is_dir()):
            if name == "input":
                words += self._volume(root / name, f"/opt/ml/{name}", "ro")
            elif not self.hides_opt_ml:
                words += self._volume(root / name, f"/opt/ml/{name}")
        return words

    def _volume(self, path: Path, inside: str, mode: str = "rw") -> list[str]:
        """Return the words for a folder of this machine; docker has none for what may be executed or opened there."""
        return ["--volume", f"{path}:{inside}:{mode}" + (",nosuid,nodev" if self.program == "podman" else "")]


class _Way:
    """How a serving container is reached: an internal network may have no address of this machine on it."""

    def __init__(self, program: str, container: str, address: str) -> None:
        self._program = program
        self._container = container
        self._address = address
        self._lock = threading.Lock()
        self._connector: NamespaceConnector | None = None

    def connect(self, timeout: float | None) -> socket.socket:
        """Return a connection.

        Raises:
            OSError: the container does not run yet, or nobody listens there.
        """
        with self._lock:
            if self._connector is None:
                self._connector = self._open()
        try:
            return self._connector.connect(timeout)
        except (BrokenPipeError, ConnectionResetError):  # no right to enter the namespace
            return socket.create_connection((self._address, SERVE_PORT), timeout)

    def close(self) -> None:
        """Let go of the container's network."""
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
    """Return the words that ask an engine for the process of a container; it answers 0 before it runs."""
    return "inspect", "--format", "{{.State.Pid}}", container


def image_digest(image: str) -> str | None:
    """Return the digest of an image: of its registry, else of this machine; None where no engine has it."""
    try:
        program = find_engine(*ENGINES)
    except EngineError:
        return None
    found = call(program, "image", "inspect", image)  # as JSON: engines differ in the names that templates know
    if found.returncode:
        return None
    about = json.loads(found.stdout)[0]
    registry = [each.partition("@")[2] for each in about.get("RepoDigests") or ()]
    return next(iter(registry), "") or f"sha256:{about['Id'].removeprefix('sha256:')}"


def digest_of(member: str, source: AlgorithmSource) -> dict[str, str]:
    """Return the member that says which image ran; the file or folder of an algorithm has no digest."""
    digest = image_digest(source.image_uri) if source.path is None else None
    return {} if digest is None else {member: digest}


def image_words(spec: HostSpec) -> list[str]:
    """Return the image with entrypoint and arguments.

    The request's entrypoint takes the place of the image's, and its arguments that of the word `train` or `serve`
    (SageMaker developer guide, "How Amazon SageMaker runs your training image").
    """
    source = spec.source
    if source.entrypoint is None:
        return [source.image_uri, *(source.arguments or (spec.verb,))]
    program, *rest = source.entrypoint
    return ["--entrypoint", program, source.image_uri, *rest, *(source.arguments or ())]


def _make_network(program: str, name: str, *, internal: bool) -> str:
    """Create a network, internal if asked; return the first three numbers of its addresses."""
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
