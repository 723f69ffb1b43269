"""Hosts as sandboxes of this machine, on Linux: the container has its own files, processes and network.

Bubblewrap gives each host a real /opt/ml, the algorithm at /opt/algorithm, otherwise only the files that a base image
would contain, and only its own processes. The hosts of a job can reach each other by name, and nothing else. This works
with and without root privileges if the kernel lets users create namespaces. Uid 0 of a sandbox is the user who runs the
clean room, or, if that is root, a user without privileges.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cleanroom_algo.contract.processes import signal_name
from cleanroom_algo.contract.settings import variable
from cleanroom_algo.errors import HostStartError, NetworkLostError, SandboxError
from cleanroom_algo.local.hosts.entry import Entry, find_entry, inherited_environment, share_of_cores
from cleanroom_algo.local.hosts.isolation import inside, network
from cleanroom_algo.local.hosts.isolation.connector import NamespaceConnector, enter
from cleanroom_algo.local.hosts.isolation.guarded import GuardedHost
from cleanroom_algo.local.hosts.isolation.isolated_python import isolated_python
from cleanroom_algo.local.hosts.isolation.ownership import hand_over, is_for_everybody, root_outside
from cleanroom_algo.local.hosts.protocol import HostSpec
from cleanroom_algo.local.plans.training_plan import AlgorithmSource
from cleanroom_algo.local.resources.settings import RoomSettings

ALGORITHM = Path("/opt/algorithm")
_PROGRAMS = ("bwrap", "ip", "nsenter")  # Debian's bubblewrap, iproute2 and util-linux
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = ("alternatives", "ca-certificates", "group", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime")
_ETC_MORE = ("mime.types", "nsswitch.conf", "passwd", "ssl", "timezone")
_PATH = "/opt/algorithm:{python}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Docker's own default: containers have no other capabilities of root (Docker documentation, "Runtime privilege").
_CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP"),
    *("NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
)


class SandboxHosts:
    """Runs algorithms in a file or folder of this machine, each host in isolation."""

    name = "sandbox"
    lacks = ""
    isolates_files = True
    chosen_by_itself = True

    @classmethod
    def runs(cls, source: AlgorithmSource) -> bool:
        """Whether it can run this source: a file or folder."""
        return source.path is not None

    @classmethod
    def missing(cls, settings: RoomSettings) -> str | None:
        """Return why sandboxes are not possible; None if they are."""
        return "they have no open network" if settings.switches.network == "open" else missing()

    @classmethod
    def of(cls, settings: RoomSettings) -> Self:
        """Return an instance.

        Raises:
            SandboxError: CR-HST-002, the settings require an open network.
        """
        if settings.switches.network == "open":
            raise SandboxError(
                "sandboxes have only the network of the job, but the settings require an open network",
                expected="process or docker hosts if the switch network is open",
                fix='set `host_kind` in settings.toml to "process", or `network` to "none"',
            )
        return cls()

    @contextmanager
    def open(self, host_names: Sequence[str]) -> Iterator[SandboxJob]:
        """Create the network of a job.

        Raises:
            SandboxError: CR-HST-002, this machine lacks a requirement.
        """
        with _network(host_names) as (places, network_process):
            job = SandboxJob(places, share_of_cores(len(host_names)))
            threading.Thread(target=job.watch, args=(network_process,), name="job-network", daemon=True).start()
            try:
                yield job
            finally:
                job.over = True


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a host in its job's network.

    Attributes:
        holder: the process that keeps its network namespace.
        address: of its eth0.
        connector: connects to it.
    """

    holder: int
    address: str
    connector: NamespaceConnector


@dataclass
class SandboxJob:
    """The hosts of one job.

    Attributes:
        places: of its hosts.
        environment: of all of them.
        over: whether its network is no longer needed.
        fault: why its hosts can no longer reach each other; None if they can.
    """

    places: Mapping[str, Place]
    environment: Mapping[str, str]
    over: bool = False
    fault: NetworkLostError | None = None

    def watch(self, network_process: subprocess.Popen[str]) -> None:
        """Wait for the end of the process that keeps the network."""
        status = network_process.wait()
        if not self.over:
            how = f"was ended by {signal_name(-status)}" if status < 0 else f"ended with status {status}"
            self.fault = NetworkLostError(
                f"the process that holds the network of the job {how}",
                expected="a process that runs until the job has ended",
                fix="start the job again; if it was SIGKILL, check whether this machine ran out of memory",
            )

    def launch(self, spec: HostSpec) -> GuardedHost:
        """Start a host.

        Raises:
            HostStartError: CR-HST-001, `source` does not exist on this machine, or cannot be executed or read.
        """
        entry = find_entry(spec)
        hosts = spec.root.parent / "hosts"
        lines = [f"{place.address} {name}" for name, place in self.places.items()]
        hosts.write_text("\n".join(["127.0.0.1 localhost", "::1 localhost", *lines, ""]), encoding="utf-8")
        scratch = spec.root.parent / "root"  # on disk, where it is counted; a base model is unpacked below /tmp
        _make_folders(scratch)
        if (user := _root_outside()) is not None:
            _require_readable(entry)
            for made in (hosts, scratch, spec.root, *spec.shared.values()):
                hand_over(made, user)
        path = _PATH.format(python=Path(sys.executable).parent)
        environment = inherited_environment() | {"HOME": "/root", "PATH": path, "HOSTNAME": spec.name}
        environment |= {**self.environment, **spec.environment}
        environment.setdefault(variable("algorithm"), str(_inside(entry.algorithm, entry.algorithm)))
        place = self.places[spec.name]
        with Path(f"/proc/{place.holder}/ns/user").open("rb") as users:
            mapped = [] if user is None else [users.fileno()]
            command = [
                *enter(place.holder),
                *bubblewrap(spec, entry.algorithm, hosts, scratch),
                *(word for each in mapped for word in ("--userns2", str(each))),
                "--",
                *isolated_python(inside),
                str(len(mapped)),
                str(_inside(entry.algorithm, Path(entry.command[0]))),
                *entry.command[1:],
            ]
            return GuardedHost(
                spec,
                command,
                inherited_environment() | _environment(),
                place.connector.connect,
                inner=True,
                passed=mapped,
                stdin=b"".join(os.fsencode(f"{name}={value}\0") for name, value in environment.items()),
                user=user,
                scratch=scratch,
            )


def bubblewrap(spec: HostSpec, algorithm: Path, hosts_file: Path, scratch: Path) -> list[str]:
    """Return the command that creates a host's view; a program and its arguments follow `--`."""
    memory = spec.limits.memory_bytes or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    options = [
        "bwrap",
        "--info-fd",
        "INFO-FD",
        "--die-with-parent",
        "--as-pid-1",
        *_bind(scratch, Path("/"), how="--bind"),
    ]
    options += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", spec.name, "--chdir", "/"]
    options += ["--cap-drop", "ALL", *(word for name in _CAPABILITIES for word in ("--cap-add", f"CAP_{name}"))]
    options += ["--proc", "/proc", "--dev", "/dev", "--ro-bind", "/sys", "/sys"]
    options += ["--perms", "1777", "--size", str(memory), "--tmpfs", "/dev/shm"]  # noqa: S108 (the container's)
    options += [word for device in sorted(Path("/dev").glob("nvidia*")) for word in _bind(device, how="--dev-bind")]
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            options += _bind(path)
    options += [word for name in (*_ETC, *_ETC_MORE) for word in _bind(Path("/etc", name), how="--ro-bind-try")]
    options += _bind(hosts_file, Path("/etc/hosts"))
    options += [word for path in _python() for word in _bind(path)]
    options += _bind_algorithm(algorithm)
    options += _bind(spec.root, Path("/opt/ml"), how="--bind")
    if (spec.root / "input").is_dir():
        options += _bind(spec.root / "input", Path("/opt/ml/input"))
    return options + [word for name, path in spec.shared.items() for word in _bind(path, Path("/opt/ml", name))]


@functools.cache
def missing() -> str | None:
    """Return why sandboxes are not possible on this machine; None if they are."""
    if sys.platform != "linux":
        return "sandboxes need Linux"
    absent = [name for name in _PROGRAMS if shutil.which(name, path=_search_path()) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: bubblewrap, iproute2, util-linux)"
    with contextlib.ExitStack() as stack:
        try:
            places, _ = stack.enter_context(_network(["algo-1"]))
        except SandboxError as error:
            return error.what
        probe = [*enter(places["algo-1"].holder), "bwrap", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc"]
        done = subprocess.run([*probe, "true"], capture_output=True, text=True, check=False, env=_environment())
    return None if done.returncode == 0 else f"bubblewrap: {done.stderr.strip()[-200:]}"


@contextmanager
def _network(host_names: Sequence[str]) -> Iterator[tuple[dict[str, Place], subprocess.Popen[str]]]:
    with contextlib.ExitStack() as stack:
        pairs = {name: socket.socketpair() for name in host_names}
        for ours, theirs in pairs.values():
            stack.enter_context(ours)
            stack.enter_context(theirs)
        theirs_end, lifeline = os.pipe()
        stack.callback(os.close, lifeline)
        words = [str(theirs_end), str(_root_outside() or 0), *(str(theirs.fileno()) for _, theirs in pairs.values())]
        process = subprocess.Popen(
            [*isolated_python(network), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[theirs_end, *(theirs.fileno() for _, theirs in pairs.values())],
            start_new_session=True,
            env=_environment(),
        )
        os.close(theirs_end)
        stack.callback(_end, process)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            _, told = process.communicate()
            raise SandboxError(
                f"the network of the job cannot be created: {told.strip()[-200:]}",
                expected="the permission to create network namespaces, a bridge and pairs of virtual interfaces",
                fix='set `host_kind` in settings.toml, table [machine], to "process", or run as a user with this '
                "permission",
            )
        places = {
            name: Place(holder, network.address(number), NamespaceConnector(pairs[name][0]))
            for number, (name, holder) in enumerate(zip(pairs, map(int, line.split()), strict=True))
        }
        yield places, process


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@functools.cache
def _root_outside() -> int | None:
    return root_outside([Path(sys.executable), Path(__file__), *_python()])


def _python() -> list[Path]:
    """Return the folders of this interpreter and this library outside of the system's folders; outer ones first."""
    package = Path(__file__).parents[2]
    found: list[Path] = []
    for path in sorted({Path(sys.base_prefix), Path(sys.prefix), package}):
        if not any(path.is_relative_to(outer) for outer in [*map(Path, _SYSTEM), *found]):
            found.append(path)
    return found


def _make_folders(scratch: Path) -> None:
    """Create folders that bubblewrap would create with access only for itself."""
    for inside_path in (Path("/tmp"), Path("/root"), Path("/etc"), Path("/opt/ml"), ALGORITHM, *_python()):  # noqa: S108
        (scratch / inside_path.relative_to("/")).mkdir(parents=True, exist_ok=True)
    (scratch / "tmp").chmod(0o1777)
    (scratch / "root").chmod(0o700)


def _bind_algorithm(path: Path) -> list[str]:
    """Return the words that show the algorithm; for a folder that only its owner can read, its content."""
    if _root_outside() is None or path.is_file() or is_for_everybody(path):
        return _bind(path, _inside(path, path))
    links = {each for each in path.iterdir() if each.is_symlink()}
    words = [word for each in sorted({*path.iterdir()} - links) for word in _bind(each, ALGORITHM / each.name)]
    return words + [word for each in links for word in ("--symlink", str(each.readlink()), str(ALGORITHM / each.name))]


def _require_readable(entry: Entry) -> None:
    """Refuse an algorithm whose files root inside cannot read, because it is not root outside."""
    files = [entry.algorithm] if entry.algorithm.is_file() else [*entry.algorithm.glob("*.py"), Path(entry.command[0])]
    if closed := [path for path in files if not is_for_everybody(path)]:
        raise HostStartError(
            f"only its owner can read {closed[0]}",
            expected="an algorithm that all users can read, because root in a sandbox has no rights outside",
            fix=f"`chmod -R go+rX {shlex.quote(str(entry.algorithm))}`",
        )


def _inside(algorithm: Path, path: Path) -> Path:
    """Return the path of a file in the container: that of the algorithm changes, others do not."""
    folder = algorithm if algorithm.is_dir() else algorithm.parent
    return ALGORITHM / path.relative_to(folder) if path.is_relative_to(algorithm) else path


def _bind(path: Path, inside: Path | None = None, *, how: str = "--ro-bind") -> list[str]:
    return [how, str(path), str(inside or path)]


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])  # where Debian has `ip`


def _environment() -> dict[str, str]:
    return {"PATH": _search_path()}
