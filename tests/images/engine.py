"""A container engine of the tests' own: its images, containers and networks lie in one temporary folder.

Where no image can be pulled, the base is a Debian that mmdebstrap makes from the mirror this machine installs from.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cleanroom_algo.local.hosts.engine import find_engine

PROGRAMS = ("podman", "buildah", "runc", "mmdebstrap", "iptables")
BASE = "localhost/base-python"
# Debian with apt and Python. usr-is-merged, with its hook, is in the place of usrmerge, which needs all of Perl.
_DEBIAN = (
    "--variant=apt",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    "--include=usr-is-merged,python3,python3-venv,ca-certificates",
)
_START = Path(__file__).parents[2] / "container/start"
_PLUGINS = Path("/usr/lib/cni")  # of containernetworking-plugins
# What a virtual machine or container without all of root's rights needs: limits that can be set, and a runtime that
# takes control groups as they are.
_CONTAINERS = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{folder}/tmp"
[network]
network_backend = "cni"
network_config_dir = "{folder}/networks"
"""
_STORAGE = """
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""


def missing() -> str | None:
    """Return why there can be no engine here; None where there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "root's rights on Linux are needed to make a base image"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if not _PLUGINS.is_dir():
        absent.append("containernetworking-plugins")
    return f"not installed: {', '.join(absent)}" if absent else None


@dataclass(frozen=True)
class Engine:
    """Podman and buildah over a folder.

    Attributes:
        folder: for everything of it.
        places: variables that make any of their commands use it.
    """

    folder: Path
    places: dict[str, str]
    made: dict[str, str] = field(default_factory=dict)  # by what they are made of

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.places}

    @classmethod
    def at(cls, folder: Path) -> Engine:
        for name in ("networks", "storage", "run", "tmp", "contexts"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        # A docker client would go first, and ask a service of this machine that knows nothing of the folder.
        places = {"DOCKER_HOST": "unix:///nowhere", "TMPDIR": str(folder / "tmp")}
        for variable, text in (("CONTAINERS_CONF", _CONTAINERS), ("CONTAINERS_STORAGE_CONF", _STORAGE)):
            file = folder / f"{variable.lower()}.toml"
            file.write_text(text.format(folder=folder))
            places[variable] = str(file)
        return cls(folder, places)

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let docker hosts of this process find this engine and no other."""
        for name, value in self.places.items():
            monkeypatch.setenv(name, value)
        find_engine.cache_clear()

    def call(self, *words: object, timeout: float = 900) -> str:
        """Run a command to its end; return what it wrote to stdout."""
        done = subprocess.run(
            [str(word) for word in words],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def make_base(self) -> None:
        """Make an image like python:3.11-slim from Debian's packages."""
        mirror = self.call("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages").split()[0]
        made = self.folder / "base.tar"
        self.call("mmdebstrap", "--quiet", "--mode=root", *_DEBIAN, "bookworm", made, mirror)
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.call("podman", "import", "--quiet", "--change", f"ENV {path}", made, BASE)
        made.unlink()

    def build(
        self, name: str, *lines: str, files: Mapping[str, str | Path], base: str = BASE, options: Sequence[str] = ()
    ) -> str:
        """Return an image made of a few files, which may all be executed.

        Args:
            name: of the image.
            lines: of its Containerfile, behind FROM.
            files: texts, or folders of this machine, by their names in the context.
            base: what it is made from.
            options: of `buildah build`.
        """
        context = Path(tempfile.mkdtemp(dir=self.folder / "contexts"))
        for file, content in {**files, "Containerfile": "\n".join([f"FROM {base}", *lines, ""])}.items():
            if isinstance(content, Path):
                shutil.copytree(content, context / file)
            else:
                (context / file).write_text(content)
                (context / file).chmod(0o755)
        tag = f"localhost/{name}:{context.name.lower()}"
        # In docker's own form, as most images are.
        self.call("buildah", "build", "--quiet", "--format", "docker", *options, "--tag", tag, context)
        return tag

    def image_of(self, folder: Path) -> str:
        """Return an image of programs named train and serve, each started as the one program of its container."""
        files = {path.name: path.read_text() for path in sorted(folder.iterdir())}
        if (tag := self.made.get(str(files))) is None:
            lines = ("COPY start /usr/local/bin/", f"COPY {' '.join(files)} /opt/algorithm/")
            entrypoint = 'ENTRYPOINT ["/usr/local/bin/start"]'
            tag = self.build(folder.name, *lines, entrypoint, files={**files, "start": _START.read_text()})
            self.made[str(files)] = tag
        return tag

    def build_words(self) -> list[str]:
        """Return options of `buildah build`: no need for a container runtime, and what pip uses on this machine."""
        volumes = [word for path in pip_files() for word in ("--volume", f"{path}:{path}:ro")]
        return ["--isolation", "chroot", *volumes]

    def remove(self) -> None:
        """Remove all images and containers; their layers may be mounted."""
        self.call("podman", "rm", "--all", "--force")
        self.call("podman", "rmi", "--all", "--force")


@contextlib.contextmanager
def shared_engine(folder: Path) -> Iterator[Engine]:
    """Yield the one engine of all workers of a test run; whoever is first makes its base, the last one removes it."""
    folder.mkdir(exist_ok=True)
    users = folder / "users"
    with _locked(folder):
        engine = Engine.at(folder)
        if not users.exists():
            engine.make_base()
        users.write_text(f"{int(users.read_text() if users.exists() else 0) + 1}")
    try:
        yield engine
    finally:
        with _locked(folder):
            left = int(users.read_text()) - 1
            users.write_text(f"{left}")
            if left == 0:
                users.unlink()
                engine.remove()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def pip_files() -> list[Path]:
    """Return what pip reads on this machine: its configuration, certificates, and folders of packages."""
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    words = [word.strip("'").removeprefix("file://") for word in told.stdout.replace("=", " ").split()]
    named = [Path(word) for word in words if word.startswith("/")]
    named = [path.parent if path.name == "simple" else path for path in named]  # an index links to files beside it
    found = {Path("/etc/pip.conf"), Path.home() / ".config/pip", Path("/etc/ssl/certs"), *named}
    return sorted(path for path in found if path.exists() and path.parent not in found)
