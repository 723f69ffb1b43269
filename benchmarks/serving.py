"""Requests: our server beside those that people use, and beside the same work in process, without HTTP.

Each peer is started, measured beside ours in turns, and ended; all of it in one run. Peers that are not installed are
named on stderr (`python -m benchmarks.peers` installs them).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.harness import Other, Row, compare, seconds_of
from benchmarks.http_load import request_bytes, send_large, send_small
from benchmarks.peers.servers import CORES, PEERS, Peer, Place
from benchmarks.serving_model import ALGORITHM, rows_of, write_model

ROOT = Path(__file__).parents[1]
START_SECONDS = 120
PING_SECONDS = 0.02

Send = Callable[[int, bytes, int, int], None]

IN_PROCESS = """
import sys
from pathlib import Path
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.codecs.media_types import MediaType
from cleanroom_algo.serving.scoring.scorer import Scorer
from cleanroom_algo.serving.scoring.prediction import load_predictor
import torch
torch.set_num_threads(1)
artifacts = Artifacts(Path(sys.argv[1]))
scorer = Scorer(load_predictor(sys.argv[2], artifacts), artifacts.schema)
body = Path(sys.argv[3]).read_bytes()
for line in sys.stdin:
    for _ in range(int(line)):
        scorer.respond([body], MediaType.CSV, MediaType.CSV).close()
    print("done", flush=True)
"""


@dataclass(frozen=True, slots=True)
class Load:
    """Requests of one kind.

    Attributes:
        what: they are called.
        body: lines of CSV.
        count: of one turn.
        concurrency: connections.
        send: how they are sent.
        repeats: turns that count.
    """

    what: str
    body: bytes
    count: int
    concurrency: int
    send: Send
    repeats: int = 5


def run(small: bool) -> Iterator[Row]:
    """Measure requests of 5 MB, as jobs send them, and requests of one row: the fixed cost of a request."""
    large, one = rows_of(100 if small else 27_600), rows_of(1)
    repeats = 0 if small else 5
    loads = [
        Load("5 MB CSV, 4 at once", large, 4 if small else 100, 4, send_large, repeats),
        Load("1 row, 1 at once", one, 20 if small else 1500, 1, send_small, repeats),
        Load("1 row, 16 at once", one, 32 if small else 5000, 16, send_small, repeats),
    ]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        scratch = Path(folder)
        algorithm, root = scratch / "numbers_algorithm.py", scratch / "ml"
        algorithm.write_text(ALGORITHM)
        write_model(root / "model")
        port = stack.enter_context(serving(root, algorithm))
        yield from _beside_no_http(scratch, root / "model", algorithm, loads[0], port)
        yield _health(loads[0], port)
        for number, peer in enumerate(PEERS[:1] if small else PEERS):
            if peer.python is None:
                print(f"{peer.name}: not installed, left out", file=sys.stderr)
                continue
            place = scratch / f"peer-{number}"
            place.mkdir()
            yield from beside_peer(peer, place, root / "model", loads, port)


def beside_peer(peer: Peer, place: Path, model: Path, loads: Sequence[Load], port: int) -> Iterator[Row]:
    """Measure our server beside a peer; a row that says so where the peer does not start, or stops answering.

    Args:
        peer: to start.
        place: an empty folder for it.
        model: the artifacts that it serves.
        loads: to measure.
        port: of our server.
    """
    try:
        with _peer(peer, place, model) as peer_port:
            for load in loads:
                yield from _beside(peer, peer_port, load, port)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        yield Row.not_measured("serving", "requests", peer.name, str(error))


def _beside(peer: Peer, peer_port: int, load: Load, port: int) -> Iterator[Row]:
    ours = partial(load.send, port, request_bytes("/invocations", load.body, "text/csv"), load.count, load.concurrency)
    request = request_bytes(peer.path, *peer.body(load.body))
    theirs = partial(load.send, peer_port, request, load.count, load.concurrency)
    goal = 1.0 if load.send is send_large else 0.0  # jobs send megabytes: single rows are reported, not judged
    amount = load.count if load.send is send_small else load.count * len(load.body) / 1e6
    unit = "req/s" if load.send is send_small else "MB/s"
    others = [Other(peer.name, theirs, goal)]
    yield from compare("serving", load.what, amount, ours, others, repeats=load.repeats, unit=unit)


def _beside_no_http(scratch: Path, model: Path, algorithm: Path, load: Load, port: int) -> Iterator[Row]:
    body_file = scratch / "body.csv"
    body_file.write_bytes(load.body)
    command = [sys.executable, "-c", IN_PROCESS, str(model), str(algorithm), str(body_file)]
    one_thread = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    request = request_bytes("/invocations", load.body, "text/csv")
    ours = partial(load.send, port, request, load.count, load.concurrency)
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(command, one_thread)) for _ in range(CORES)]
        limit = Other("parse + forward on all cores, no HTTP", partial(_share_out, workers, load.count), 0.85, "limit")
        amount = load.count * len(load.body) / 1e6
        yield from compare("serving", load.what, amount, ours, [limit], repeats=load.repeats)


def _health(load: Load, port: int) -> Row:
    """Measure health checks while large requests keep every process busy: the 99th percentile, beside 50 ms."""
    request = request_bytes("/invocations", load.body, "text/csv")
    seconds = []
    with ThreadPoolExecutor(1) as pool:
        saturated = pool.submit(load.send, port, request, load.count, 2 * CORES)
        while not saturated.done():
            seconds.append(seconds_of(partial(_ping, port)))
            time.sleep(PING_SECONDS)
        saturated.result()
    slowest = sorted(seconds)[int(0.99 * len(seconds))]
    name = f"/ping under load, p99 of {len(seconds)}"
    return Row("serving", name, "ms", 1000 * slowest, 50, "50 ms", "limit", 1.0, lower_is_better=True)


def _ping(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/ping")
        if (status := connection.getresponse().status) != 200:
            raise RuntimeError(f"/ping answered {status}")


@contextmanager
def serving(root: Path, algorithm: Path, **environment: str) -> Iterator[int]:
    """Run our server; give its port."""
    port = free_port()
    own = {
        "SAGEMAKER_BASE_DIR": str(root),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "CLEANROOM_ALGO_ALGORITHM": str(algorithm),
        "CLEANROOM_ALGO_SERVE_HOST": "127.0.0.1",
        "CLEANROOM_ALGO_LOG_LEVEL": "WARNING",
        **environment,
    }
    with started([sys.executable, "-m", "cleanroom_algo.serving", "serve"], own, port, "/ping"):
        yield port


@contextmanager
def _peer(peer: Peer, scratch: Path, model: Path) -> Iterator[int]:
    assert peer.python is not None
    place = Place(peer.python, free_port(), scratch, tuple(free_port() for _ in range(4)))
    environment = {
        "MODEL": str(model),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(scratch),
        "PATH": f"{peer.python.parent}:{os.environ['PATH']}",
        **peer.variables,
    }
    with started(peer.command(place, environment), environment, place.port, peer.ready, peer_folder=scratch):
        yield place.port


@contextmanager
def started(
    command: Sequence[str], environment: Mapping[str, str], port: int, ready: str, *, peer_folder: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server; give it once its path of readiness answers 200, and end it.

    A peer runs in a folder of its own, as some of them leave logs where they are started, and is not listened to.
    """
    out = subprocess.DEVNULL if peer_folder else None
    with subprocess.Popen(
        command, env=os.environ | environment, start_new_session=True, cwd=peer_folder, stdout=out, stderr=out
    ) as process:
        try:
            _wait(port, process, ready)
            yield process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    """Return a port that nobody listens on; multi-model-server takes none above 32767."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(20_000, 32_000)))
            return int(probe.getsockname()[1])


@contextmanager
def _worker(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=os.environ | environment, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait(port: int, process: subprocess.Popen[bytes], ready: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", ready)
            if connection.getresponse().status == 200:
                return
        time.sleep(0.02)
    raise RuntimeError("a server ended, or took too long, before it was ready")


def _share_out(workers: Sequence[subprocess.Popen[str]], count: int) -> None:
    for number, worker in enumerate(workers):
        assert worker.stdin is not None
        worker.stdin.write(f"{count // len(workers) + (number < count % len(workers))}\n")
        worker.stdin.flush()
    for worker in workers:
        assert worker.stdout is not None
        if worker.stdout.readline() != "done\n":
            raise RuntimeError("a process of the limit ended")
