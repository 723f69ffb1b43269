"""Requests and a batch transform: our server beside Flask on gunicorn, and beside the same work without HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from safetensors.torch import save_file

from benchmarks.harness import Other, Row, compare
from benchmarks.serving_peers import Net
from benchmarks.tables import numbers
from cleanroom_algo.channels.features import Features
from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.contract.manifest import Manifest

SCHEMA = Schema([Column(f"f{number}", "float32", nullable=False) for number in range(20)])
ROWS = 27_600  # about 5 MB
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
REQUESTS = 40

Limit = Callable[[int], None]

ALGORITHM = """
from benchmarks.serving_peers import Net
from cleanroom_algo import Predictor


class Numbers(Predictor):
    def load(self, artifacts):
        self.model = Net()
        self.model.load_state_dict(artifacts.state_dict())
        self.model.eval()

    def predict(self, frame):
        return self.forward(self.model, self.artifacts.features.transform(frame).numeric)
"""

IN_PROCESS = """
import sys
from pathlib import Path
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.formats import Format
from cleanroom_algo.serving.scoring import Scorer
from cleanroom_algo.serving.service import load_predictor
import torch
torch.set_num_threads(1)
artifacts = Artifacts(Path(sys.argv[1]))
scorer = Scorer(load_predictor(sys.argv[2], artifacts), artifacts.schema)
body = Path(sys.argv[3]).read_bytes()
for line in sys.stdin:
    for _ in range(int(line)):
        scorer.respond([body], Format.CSV, Format.CSV, limit=1 << 30).close()
    print("done", flush=True)
"""


def run(small: bool) -> Iterator[Row]:
    """Measure a job's requests of 5 MB, four at once, and requests of one row: the fixed cost of a request."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _requests(Path(folder), "5 MB CSV requests, 4 at once", ROWS, 4 if small else REQUESTS, 4)
    with tempfile.TemporaryDirectory() as folder:
        yield from _requests(Path(folder), "requests of one row, one at once", 1, 20 if small else 1000, 1)


def _requests(scratch: Path, what: str, rows: int, count: int, concurrency: int) -> Iterator[Row]:
    """Measure ours beside the peers and beside the same answers computed on all cores without HTTP, the limit."""
    with _servers(scratch, rows=rows) as (ports, body, limit):
        others = [
            Other(name, partial(send, port, body, count, concurrency), 1.0)
            for name, port in ports.items()
            if name != "ours"
        ]
        others.append(Other("no HTTP", partial(limit, count), 0.85 if rows > 1 else 0.0, "limit"))
        work = partial(send, ports["ours"], body, count, concurrency)
        yield from compare("serving", what, count * len(body) / 1e6, work, others)


def send(port: int, body: bytes, count: int, concurrency: int) -> None:
    """Send a body `count` times over kept-alive connections."""

    def run(times: int) -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, blocksize=1 << 18)) as connection:
            for _ in range(times):
                connection.request("POST", "/invocations", body, {"Content-Type": "text/csv"})
                response = connection.getresponse()
                answer = response.read()
                if response.status != 200:
                    raise RuntimeError(f"status {response.status}: {answer[:200]!r}")

    shares = [count // concurrency + (number < count % concurrency) for number in range(concurrency)]
    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(run, shares))


@contextmanager
def _servers(scratch: Path, rows: int) -> Iterator[tuple[Mapping[str, int], bytes, Limit]]:
    """Start ours, the peers and the limit's processes over one model; give ports, the body, and the limit's work."""
    algorithm, root, body_file = scratch / "numbers_algorithm.py", scratch / "ml", scratch / "body.csv"
    algorithm.write_text(ALGORITHM)
    write_model(root / "model")
    numbers(rows).rename(dict(zip(numbers(1).columns, SCHEMA.names, strict=True))).write_csv(
        body_file, include_header=False, float_precision=6
    )
    own = {
        "SAGEMAKER_BASE_DIR": str(root),
        "CLEANROOM_ALGO_ALGORITHM": str(algorithm),
        "CLEANROOM_ALGO_SERVE_HOST": "127.0.0.1",
        "CLEANROOM_ALGO_LOG_LEVEL": "WARNING",
    }
    gunicorn = [sys.executable, "-m", "gunicorn", "--no-control-socket", "-w", str(CORES), "--log-level", "warning"]
    one_thread = {"OMP_NUM_THREADS": "1", "MODEL": str(root / "model")}
    with ExitStack() as stack:
        ports = {"ours": free_port()}
        start = [sys.executable, "-m", "cleanroom_algo.serving", "serve"]
        stack.enter_context(_started(start, {**own, "SAGEMAKER_BIND_TO_PORT": str(ports["ours"])}, ports["ours"]))
        for kind, arguments in {"gthread": ["-k", "gthread", "--threads", "4"], "sync": []}.items():
            for parser in ("pandas", "pyarrow"):
                name = f"flask, gunicorn {kind}, {parser}"
                port = ports[name] = free_port()
                application = f"benchmarks.serving_peers:{parser}_app()"
                command = [*gunicorn, *arguments, "-b", f"127.0.0.1:{port}", application]
                stack.enter_context(_started(command, one_thread, port))
        command = [sys.executable, "-c", IN_PROCESS, str(root / "model"), str(algorithm), str(body_file)]
        workers = [
            stack.enter_context(_worker(command, {"POLARS_MAX_THREADS": "1", **one_thread})) for _ in range(CORES)
        ]
        yield ports, body_file.read_bytes(), partial(_share_out, workers)


def write_model(folder: Path) -> None:
    """Write the artifacts of an untrained network."""
    folder.mkdir(parents=True)
    save_file(Net().state_dict(), folder / "model.safetensors")
    (folder / "features.json").write_text(json.dumps(Features.plain(SCHEMA).to_dict()))
    Manifest(algorithm="Numbers", table_schema=SCHEMA.to_dict()).write(folder)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _started(command: Sequence[str], environment: Mapping[str, str], port: int) -> Iterator[None]:
    with subprocess.Popen(command, env=os.environ | environment, start_new_session=True) as process:
        try:
            _wait(port, process)
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def _worker(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=os.environ | environment, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/ping")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.02)
    raise RuntimeError("a server ended before it was ready")


def _share_out(workers: Sequence[subprocess.Popen[str]], count: int) -> None:
    for number, worker in enumerate(workers):
        assert worker.stdin is not None
        worker.stdin.write(f"{count // len(workers) + (number < count % len(workers))}\n")
        worker.stdin.flush()
    for worker in workers:
        assert worker.stdout is not None
        if worker.stdout.readline() != "done\n":
            raise RuntimeError("a process of the limit ended")
