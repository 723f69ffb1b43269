"""A small real model, its artifacts, and a server over them."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import psutil

from cleanroom_algo.channels.fitting import FeaturesFitter
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.manifest import Manifest
from tests.preloaded import PreloadedProcess

SCHEMA = Schema.of(target="late", carrier="string?", distance="float64?", hour="int32", late="bool")

ALGORITHM = '''
"""A linear model over two numbers and a category."""

import torch

from cleanroom_algo import Predictor


class Net(torch.nn.Module):
    def __init__(self, numeric, cardinality):
        super().__init__()
        self.table = torch.nn.Embedding(cardinality, 8)
        self.layers = torch.nn.Sequential(torch.nn.Linear(numeric + 8, 37), torch.nn.ReLU(), torch.nn.Linear(37, 1))

    def forward(self, numeric, categorical):
        return self.layers(torch.cat([numeric, self.table(categorical[:, 0])], dim=1)).squeeze(1)


class Late(Predictor):
    def load(self, artifacts):
        self.model = Net(artifacts.features.numeric_size, artifacts.features.cardinalities[0])
        self.model.load_state_dict(artifacts.state_dict())
        self.model.eval()

    def predict(self, frame):
        arrays = self.artifacts.features.transform(frame)
        return self.forward(self.model, arrays.numeric, arrays.categorical)
'''

SLOW = (
    ALGORITHM
    + """
    def preprocess(self, frame):
        import time
        if frame["hour"][0] == 77:
            open(__file__ + ".begun", "w").close()
            time.sleep(1.5)
        if frame["hour"][0] == 88:
            time.sleep(600)
        if frame["hour"][0] == 99:
            raise ValueError(f"a row: {frame.row(0)}")
        if frame["hour"][0] == 55:
            import numpy
            numpy.empty(1 << 50)
        if frame["hour"][0] == 66:
            import os, signal
            os.kill(os.getpid(), signal.SIGSEGV)
        return frame
"""
)

GOOD = b"AA,1.5,3\n"


def table(rows: int, seed: int = 0) -> pl.DataFrame:
    """Return rows of the schema's features."""
    random = np.random.default_rng(seed)
    carriers = np.array(["AA", "B6", "DL", 'quoted "x"', "UA", "", "a,b"])[random.integers(0, 7, rows)]
    return pl.DataFrame(
        {"carrier": carriers, "distance": random.normal(1000, 300, rows), "hour": random.integers(0, 24, rows)},
        schema=SCHEMA.without_target().polars_schema(),
    ).with_columns(pl.when(pl.int_range(pl.len()) % 11 != 5).then(pl.col("distance")))


def write_algorithm(folder: Path, text: str = ALGORITHM) -> Path:
    """Write an algorithm and return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "serving_algorithm.py"
    path.write_text(text)
    return path


def write_artifacts(model: Path, algorithm: Path) -> None:
    """Write what a training job would leave: features fitted on some rows, and weights."""
    import json

    import torch
    from safetensors.torch import save_file

    from cleanroom_algo.contract.algorithm import load_algorithm

    model.mkdir(parents=True)
    fitter = FeaturesFitter(SCHEMA, min_count=1)
    fitter.update(table(500).with_columns(late=pl.lit(value=True)))
    features = fitter.finish()
    (model / "features.json").write_text(json.dumps(features.to_dict()))
    torch.manual_seed(1)
    module = load_algorithm(algorithm)
    net = module.Net(features.numeric_size, features.cardinalities[0])
    save_file(net.state_dict(), model / "model.safetensors")
    Manifest(algorithm="Late", table_schema=SCHEMA.to_dict(), hyperparameters={"epochs": "1"}).write(model)


@dataclass(frozen=True)
class Container:
    """What a serving container is given: a root like /opt/ml, and an algorithm."""

    root: Path
    algorithm: Path

    def environment(self, **extra: str) -> dict[str, str]:
        return {
            "SAGEMAKER_BASE_DIR": str(self.root),
            "CLEANROOM_ALGO_ALGORITHM": str(self.algorithm),
            "CLEANROOM_ALGO_SERVE_HOST": "127.0.0.1",
            **extra,
        }


@dataclass
class RunningServer:
    """A `serve` process of one's own."""

    process: PreloadedProcess
    port: int
    log: Path

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
            response = connection.getresponse()
            return response.status, response.read(), {k.lower(): v for k, v in response.getheaders()}

    def invoke(self, body: bytes, content_type: str = "text/csv", **headers: str) -> bytes:
        status, answer, _ = self.request("POST", "/invocations", body, Content_Type=content_type, **headers)
        assert status == 200, answer
        return answer

    def wait_until_ready(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.request("GET", "/ping")[0] == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def master(self) -> psutil.Process:
        """Return gunicorn's master, which the process above it runs."""
        [master] = psutil.Process(self.process.pid).children()
        return master

    def workers(self) -> list[int]:
        return [child.pid for child in self.master().children()]

    def stop(self, number: int = signal.SIGTERM, seconds: float = 30) -> int:
        self.process.send_signal(number)
        return self.process.wait(seconds)


def head(length: int | None, extra: str = "") -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n{framing}\r\n{extra}\r\n".encode()


def dial(server: RunningServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


def to_port(port: int) -> Callable[[float | None], socket.socket]:
    """Return a function that connects to a port of loopback."""
    return lambda timeout: socket.create_connection(("127.0.0.1", port), timeout)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Start = Callable[..., RunningServer]
