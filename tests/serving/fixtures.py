from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from tests.preloaded import PreloadedProcess
from tests.serving.support import SLOW, Container, RunningServer, Start, free_port, write_algorithm, write_artifacts


@pytest.fixture(scope="session")
def container(tmp_path_factory: pytest.TempPathFactory) -> Container:
    folder = tmp_path_factory.mktemp("serving")
    algorithm = write_algorithm(folder)
    write_artifacts(folder / "ml" / "model", algorithm)
    return Container(folder / "ml", algorithm)


@contextlib.contextmanager
def starting(folders: pytest.TempPathFactory) -> Iterator[Start]:
    """Start servers; they are killed, with all their processes, at the end."""
    started: list[RunningServer] = []

    def start(container: Container, *, wait: bool = True, **environment: str) -> RunningServer:
        port = free_port()
        log = folders.mktemp("log") / "log"
        with log.open("wb") as out:
            own = {"SAGEMAKER_BIND_TO_PORT": str(port)} | environment
            environment = os.environ | container.environment(**own)
            process = PreloadedProcess("cleanroom_algo.serving", "serve", env=environment, out=out.fileno())
        server = RunningServer(process, port, log)
        started.append(server)
        if wait:
            server.wait_until_ready()
        return server

    try:
        yield start
    finally:
        for server in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()


@pytest.fixture
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    with starting(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def server(container: Container, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with starting(tmp_path_factory) as start:
        yield start(container, CLEANROOM_ALGO_SERVE_WORKERS="2")


@pytest.fixture(scope="session")
def slow_container(container: Container, tmp_path_factory: pytest.TempPathFactory) -> Container:
    return Container(container.root, write_algorithm(tmp_path_factory.mktemp("slow"), SLOW))


@pytest.fixture
def slow(slow_container: Container, start_server: Start) -> RunningServer:
    return start_server(
        slow_container,
        CLEANROOM_ALGO_SERVE_WORKERS="1",
        CLEANROOM_ALGO_SERVE_QUEUE="2",
        CLEANROOM_ALGO_LOG_LEVEL="INFO",
    )
