"""Pushing an image with docker, podman or skopeo."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cleanroom_algo.errors import EngineError, PushError
from cleanroom_algo.local.deploy.repositories import Credentials, Repository, ask_ecr
from cleanroom_algo.local.hosts.docker import ENGINES
from cleanroom_algo.local.hosts.engine import find_engine
from cleanroom_algo.local.images.image import inspect

Tool = Literal["docker", "podman", "skopeo"]
_DIGEST: Final = re.compile(r"\bdigest: (sha256:[0-9a-f]{64})\b")


@dataclass(frozen=True, slots=True)
class Push:
    """What to push, and with which program.

    Attributes:
        image: of this machine.
        repository: the target.
        tags: the first one contains the digest of the image.
        tool: the program that pushes.
        engine: that has the image: docker or podman.
    """

    image: str
    repository: Repository
    tags: tuple[str, ...]
    tool: Tool
    engine: str

    @property
    def uris(self) -> list[str]:
        """The URIs of the image, the one with the digest first."""
        return [self.repository.with_tag(each) for each in self.tags]

    def commands(self, tag: str, digest_file: str = "FILE") -> list[list[str]]:
        """Return the commands that push one tag."""
        uri = self.repository.with_tag(tag)
        if self.tool == "docker":
            return [["docker", "tag", self.image, uri], ["docker", "push", uri]]
        if self.tool == "podman":
            tls = ["--tls-verify=false"] if self.repository.is_local else []
            return [["podman", "push", *tls, "--digestfile", digest_file, self.image, f"docker://{uri}"]]
        tls = ["--dest-tls-verify=false"] if self.repository.is_local else []
        name = self.image if ":" in self.image.rpartition("/")[2] else f"{self.image}:latest"
        source = f"docker-daemon:{name}" if self.engine == "docker" else f"containers-storage:{self.image}"
        return [["skopeo", "copy", *tls, "--digestfile", digest_file, source, f"docker://{uri}"]]


def plan_push(image: str, repository: str, version: str | None, tool: Tool | None) -> Push:
    """Return what a push would do; only the engine of this machine is called.

    Args:
        image: of this machine.
        repository: URI without a tag.
        version: a second tag; if None, the tag of the image unless it is latest.
        tool: the program that pushes; if None, the first engine that responds.

    Raises:
        PushError: CR-DEP-002. EngineError: CR-HST-003. HostStartError: CR-HST-001, there is no such image.
    """
    target = Repository.parse(repository)
    if tool == "skopeo" and shutil.which(tool) is None:
        raise EngineError("skopeo is not installed", expected="docker, podman or skopeo", fix="install it")
    engine = find_engine(*((tool,) if tool in ENGINES else ENGINES))
    identifier = str(inspect(engine, image)["Id"]).removeprefix("sha256:")
    own = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    version = version or (own if own != "latest" else "")
    tags = (f"sha256-{identifier}", *([version] if version else []))
    for each in tags:
        target.with_tag(each)
    return Push(image, target, tags, tool or _as_tool(engine), engine)


def push_image(push: Push, say: Callable[[str], None]) -> str | None:
    """Push an image with all its tags, and return its digest in the repository.

    Args:
        push: as planned.
        say: called with each line that the program writes.

    Raises:
        PushError: CR-DEP-002.
    """
    there: set[str] = set()
    if push.repository.is_ecr:
        credentials, there = ask_ecr(push.repository, push.tags)
        _log_in(push, credentials)
    digest = None
    for tag in push.tags:
        if tag in there:
            say(f"{push.repository.with_tag(tag)} already exists")
            continue
        with tempfile.TemporaryDirectory(prefix="cleanroom-push-") as folder:
            file = Path(folder) / "digest"
            written = [_run(words, say) for words in push.commands(tag, str(file))]
            found = _DIGEST.search(written[-1])
            digest = file.read_text().strip() if file.exists() else found[1] if found else digest
    return digest


def _log_in(push: Push, credentials: Credentials) -> None:
    words = [push.tool, "login", "--username", credentials.user, "--password-stdin", push.repository.registry]
    done = subprocess.run(words, input=credentials.password, capture_output=True, text=True, check=False)
    if done.returncode:
        raise _failed(words, done.stderr)


def _run(words: Sequence[str], say: Callable[[str], None]) -> str:
    lines = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line)
                say(line.rstrip("\n"))
        except BaseException:  # Ctrl-C or SIGTERM: end the push with the command
            process.terminate()
            raise
    if process.returncode:
        raise _failed(words, "".join(lines))
    return "".join(lines)


def _failed(words: Sequence[str], text: str) -> PushError:
    last = text.strip().rpartition("\n")[2]
    return PushError(
        f"{words[0]} {words[1]} failed: {last[-300:] or 'it wrote nothing'}",
        expected="a registry within reach, which lets you push to the repository",
        fix=f"read the lines above; log in with `{words[0]} login` if the registry asks for it",
    )


def _as_tool(engine: str) -> Tool:
    return "docker" if engine == "docker" else "podman"
