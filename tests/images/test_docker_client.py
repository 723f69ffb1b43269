"""The docker client itself, before podman's service in the place of Docker's: it builds, trains and serves."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.local.hosts.docker import ENGINES
from cleanroom_algo.local.hosts.engine import find_engine
from cleanroom_algo.local.images.build import build
from tests.cli.support import run
from tests.images.engine import BASE, Engine
from tests.scenario.conftest import make_desk
from tests.scenario.test_existing_algorithms import SERVE, TRAIN

DOCKERFILE = f"""
FROM {BASE}
ARG VERSION
COPY start /usr/local/bin/
COPY train serve /opt/algorithm/
LABEL org.opencontainers.image.version="$VERSION"
ENTRYPOINT ["/usr/local/bin/start"]
"""


@pytest.fixture
def docker(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Yield the engine behind a service that the docker client takes for its own."""
    if shutil.which("docker") is None:
        pytest.skip("not installed: docker")
    path = engine.folder / f"{time.monotonic_ns()}.sock"
    command = ["podman", "system", "service", "--time", "0", f"unix://{path}"]
    with subprocess.Popen(command, env=engine.environment, cwd=engine.folder, stderr=subprocess.PIPE) as service:
        try:
            _wait_for(path, service)
            monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
            monkeypatch.setenv("DOCKER_BUILDKIT", "0")  # the service knows the older way alone
            find_engine.cache_clear()
            yield engine
        finally:
            service.kill()
            path.unlink(missing_ok=True)


def _wait_for(path: Path, service: subprocess.Popen[bytes]) -> None:
    while service.poll() is None:
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(str(path))
            return
        time.sleep(0.05)
    assert service.stderr is not None
    raise AssertionError(service.stderr.read().decode())


def test_an_image_is_built_and_run_by_the_docker_client(docker: Engine, tmp_path: Path) -> None:
    assert find_engine(*ENGINES) == "docker"
    context = tmp_path / "context"
    context.mkdir()
    start = (Path(__file__).parents[2] / "container/start").read_text()
    for name, text in {"Dockerfile": DOCKERFILE, "start": start, "train": TRAIN, "serve": SERVE}.items():
        (context / name).write_text(text)
        (context / name).chmod(0o755)
    said: list[str] = []
    build(context, "by-docker:1", engine="docker", arguments={}, more=(), say=said.append)
    assert "by-docker:1" in said[-1]

    desk = make_desk(tmp_path)
    words = ("--channel", f"train={desk.data}", "--hyperparameter", "epochs=2", "--hosts", "2", "--name", "existing")
    trained = desk.run("train", "by-docker:1", *words)
    assert trained.status == ExitCode.OK, trained.stderr
    predicted = desk.run("infer", "existing", "--channel", desk.data, "--json")
    assert predicted.status == ExitCode.OK, predicted.stderr
    lines = [line for path in predicted.json["outputs"] for line in Path(path).read_text().splitlines()]
    assert lines == ["1"] * 40

    checked = run("check", "by-docker:1", "--json")
    assert (checked.status, checked.json) == (ExitCode.OK, {"findings": []})
