"""The peers: what each needs, how it is started, and what a request to it looks like."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.work import NAMES

FOLDER = Path(os.environ.get("BENCHMARK_PEERS") or Path(__file__).parents[2] / ".peers")
"""Where the environments of the peers lie, one folder each."""

REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    "wsgi": ("waitress", "granian"),
    "asgi": ("uvicorn[standard]", "starlette"),
    "litserve": ("litserve",),
    "bentoml": ("bentoml",),
    "mlserver": ("mlserver", "uvloop<0.22"),  # its pool of workers does not start with a later one
    "mlflow": ("mlflow",),
    "inference-server": ("inference-server",),
    "sagemaker": ("sagemaker-inference", "multi-model-server", "torchserve", "setuptools<70", "pyyaml"),  # and Java
}
"""What each environment holds besides what the project's own holds, which it sees too."""

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer runs.

    Attributes:
        python: of its environment.
        port: to listen on.
        scratch: a folder of its own.
        ports: further free ports.
    """

    python: Path
    port: int
    scratch: Path
    ports: tuple[int, ...]

    def script(self, name: str) -> str:
        """Return a program of the environment."""
        return str(self.python.parent / name)


Command = Callable[[Place, Mapping[str, str]], list[str]]


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to serve the model.

    Attributes:
        name: in the table.
        environment: the key of its requirements; the project's own where None.
        command: what starts it.
        variables: of its environment.
        ready: the path that answers 200 once it serves.
        path: of a prediction.
        body: from lines of CSV to what it takes, with the content type.
    """

    name: str
    environment: str | None
    command: Command
    variables: Mapping[str, str] = field(default_factory=dict)
    ready: str = "/ping"
    path: str = "/invocations"
    body: Callable[[bytes], tuple[bytes, str]] = lambda csv: (csv, "text/csv")

    @property
    def python(self) -> Path | None:
        """The interpreter that has what this peer needs; None where it is not installed."""
        if self.environment is None:
            return Path(sys.executable)
        python = FOLDER / self.environment / "bin" / "python"
        return python if python.exists() else None


def _gunicorn(application: str, *arguments: str) -> Command:
    def command(place: Place, _: Mapping[str, str]) -> list[str]:
        quiet = ["--no-control-socket", "--log-level", "warning", "-w", str(CORES), "-b", f"127.0.0.1:{place.port}"]
        return [str(place.python), "-m", "gunicorn", *quiet, *arguments, f"benchmarks.peers.{application}"]

    return command


def _module(name: str, *arguments: str) -> Command:
    def command(place: Place, _: Mapping[str, str]) -> list[str]:
        return [str(place.python), "-m", *(argument.format(port=place.port) for argument in (name, *arguments))]

    return command


def _mlserver(place: Place, _: Mapping[str, str]) -> list[str]:
    ports = dict(zip(("grpc_port", "metrics_port"), place.ports, strict=False))
    settings = {"host": "127.0.0.1", "http_port": place.port, "parallel_workers": 0, "debug": False, **ports}
    (place.scratch / "settings.json").write_text(json.dumps(settings))
    model = {"name": "numbers", "implementation": "benchmarks.peers.mlserver_app.Numbers"}
    (place.scratch / "model-settings.json").write_text(json.dumps(model))
    return [place.script("mlserver"), "start", str(place.scratch)]


def _mlflow(place: Place, environment: Mapping[str, str]) -> list[str]:
    model = place.scratch / "model"
    write = [str(place.python), "-m", "benchmarks.peers.mlflow_app", str(model)]
    subprocess.run(write, check=True, capture_output=True, env=os.environ | environment)
    address = ["--host", "127.0.0.1", "--port", str(place.port), "--workers", str(CORES)]
    return [place.script("mlflow"), "models", "serve", "-m", str(model), "--env-manager", "local", *address]


def _java(server: str, handler: str, python_flag: str) -> Command:
    """Return what starts multi-model-server or TorchServe, with a folder as the model."""

    def command(place: Place, _: Mapping[str, str]) -> list[str]:
        model = place.scratch / "store" / "numbers"
        (model / "MAR-INF").mkdir(parents=True)
        (model / "service.py").write_text(f"from benchmarks.peers.toolkit_app import {handler} as handle\n")
        described = {"modelName": "numbers", "modelVersion": "1.0", "handler": "service.py:handle"}
        described["serializedFile"] = "service.py"  # TorchServe wants one
        (model / "MAR-INF" / "MANIFEST.json").write_text(json.dumps({"runtime": "python", "model": described}))
        inference, *others = (f"http://127.0.0.1:{port}" for port in (place.port, *place.ports))
        settings = {
            "inference_address": inference,
            "management_address": others[0],
            "metrics_address": others[1],
            "default_workers_per_model": CORES,
            "max_request_size": 110 << 20,
            "max_response_size": 110 << 20,
            "decode_input_request": "false",
            "disable_token_authorization": "true",
            "grpc_inference_port": place.ports[2],
            "grpc_management_port": place.ports[3],
        }
        config = place.scratch / "config.properties"
        config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        store = ["--model-store", str(place.scratch / "store"), "--models", "numbers=numbers"]
        return [place.script(server), "--start", "--foreground", python_flag, str(config), *store]

    return command


def _in_json(csv: bytes) -> tuple[bytes, str]:
    return json.dumps({"csv": csv.decode()}).encode(), "application/json"


def _with_header(csv: bytes) -> tuple[bytes, str]:
    return ",".join(NAMES).encode() + b"\n" + csv, "text/csv"


_FACTORY = "benchmarks.peers.flask_app:pyarrow_app"
_ADDRESS = ("--host", "127.0.0.1", "--port", "{port}")

PEERS: tuple[Peer, ...] = (
    Peer("flask, gunicorn gthread, pandas", None, _gunicorn("flask_app:pandas_app()", "-k", "gthread", "--threads=4")),
    Peer(
        "flask, gunicorn gthread, pyarrow", None, _gunicorn("flask_app:pyarrow_app()", "-k", "gthread", "--threads=4")
    ),
    Peer("flask, gunicorn sync, pandas", None, _gunicorn("flask_app:pandas_app()")),
    Peer("flask, gunicorn sync, pyarrow", None, _gunicorn("flask_app:pyarrow_app()")),
    Peer("flask, waitress", "wsgi", _module("waitress", "--listen=127.0.0.1:{port}", "--call", _FACTORY)),
    Peer(
        "flask, granian",
        "wsgi",
        _module("granian", *_ADDRESS, "--interface=wsgi", f"--workers={CORES}", "--no-log", "--factory", _FACTORY),
    ),
    Peer(
        "starlette, uvicorn",
        "asgi",
        _module(
            "uvicorn",
            *_ADDRESS,
            f"--workers={CORES}",
            "--log-level=warning",
            "--factory",
            "benchmarks.peers.starlette_app:app",
        ),
    ),
    Peer(
        "LitServe",
        "litserve",
        _module("benchmarks.peers.litserve_app", "{port}", str(CORES)),
        ready="/health",
        body=_in_json,
    ),
    Peer(
        "BentoML",
        "bentoml",
        _module("bentoml", "serve", "benchmarks.peers.bentoml_app:Numbers", *_ADDRESS),
        {"BENTOML_DO_NOT_TRACK": "True", "WORKERS": str(CORES)},
        ready="/readyz",
        body=_in_json,
    ),
    Peer("MLServer, own CSV handler", "mlserver", _mlserver, ready="/v2/health/ready"),
    Peer("MLflow", "mlflow", _mlflow, body=_with_header),
    Peer(
        "inference-server, gunicorn", "inference-server", _gunicorn("plugin_app:app()", "-k", "gthread", "--threads=4")
    ),
    Peer("sagemaker-inference, MMS", "sagemaker", _java("multi-model-server", "handle_with_codecs", "--mms-config")),
    Peer("MMS, pyarrow", "sagemaker", _java("multi-model-server", "handle", "--mms-config")),
    Peer("TorchServe", "sagemaker", _java("torchserve", "handle", "--ts-config"), path="/predictions/numbers"),
)
