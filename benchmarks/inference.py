"""A batch transform of 1 GB, the memory of a request of 100 MB, and a server's start, each beside what bounds it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from socket import create_connection
from statistics import median

import numpy as np
import polars as pl
import psutil

from benchmarks.harness import Other, Row, compare, seconds_of
from benchmarks.http_load import request_bytes, send_large
from benchmarks.peers.servers import CORES
from benchmarks.serving import serving
from benchmarks.serving_model import ALGORITHM, SCHEMA, rows_of, write_model
from cleanroom_algo.channels.memory import keep_freed_memory
from cleanroom_algo.contract.sizes import MB
from cleanroom_algo.local.jobs.inference.client import Client
from cleanroom_algo.local.jobs.inference.transform import TransferProgress, Transform
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.inference_plan import InferencePlan, Transfer, spread_objects
from cleanroom_algo.local.plans.training_plan import AlgorithmSource

NAME = "inference"
PAYLOAD_BYTES = 6 * MB  # the platform's default
LOAD = """
import sys
from pathlib import Path
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.scoring.prediction import load_predictor
load_predictor(sys.argv[2], Artifacts(Path(sys.argv[1])))
"""


def run(small: bool) -> Iterator[Row]:
    """Measure all three, in a process that keeps freed memory, as the command does."""
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        algorithm, root = scratch / "numbers_algorithm.py", scratch / "ml"
        algorithm.write_text(ALGORITHM)
        write_model(root / "model")
        start = time.perf_counter()
        with serving(root, algorithm) as port:
            first = time.perf_counter() - start
            yield from _transform(scratch, port, small)
        yield from _memory(root, algorithm, small)
        yield _start(root, algorithm, first, 0 if small else 5)


def _transform(scratch: Path, port: int, small: bool) -> Iterator[Row]:
    """A job, beside the most that its server answers to requests of the same size that are ready in memory."""
    rows = rows_of(1000 if small else 30_000)
    body = rows * (PAYLOAD_BYTES // len(rows) if not small else 1)
    count = 4 if small else 10**9 // len(body)
    path = scratch / "object.csv"
    with path.open("wb") as file:
        for _ in range(count):
            file.write(body)
    reference = ObjectRef("object.csv", path, path.stat().st_size)
    job = partial(_run_job, scratch, reference, port)
    best = partial(send_large, port, request_bytes("/invocations", body, "text/csv"), count, 2 * CORES)
    others = [Other("the server's own best rate", best, 0.8, "limit")]
    size = "1 GB" if not small else "little"
    yield from compare(NAME, f"batch transform of {size}", reference.size / 1e6, job, others, repeats=0 if small else 3)


def _run_job(scratch: Path, reference: ObjectRef, port: int) -> None:
    plan = InferencePlan(
        job_name="job",
        job_arn="arn",
        run_directory=scratch,
        source=AlgorithmSource("algorithm", None, None),
        model=scratch,
        hosts=spread_objects([reference], 1),
    )
    client = Client(
        lambda timeout: create_connection(("127.0.0.1", port), timeout),
        content_type="text/csv",
        accept=None,
    )
    moved = TransferProgress(reference.size, None, lambda _: None)
    outputs, stopped = scratch / "outputs", threading.Event()
    transfer = Transfer(PAYLOAD_BYTES, 2 * CORES)
    failed = Transform(plan, transfer, client, moved, outputs, print, stopped).run([reference])
    if failed:
        raise RuntimeError(str(failed[0][1]))


def _memory(root: Path, algorithm: Path, small: bool) -> Iterator[Row]:
    """What a process grows by while it answers one large request, beside four times the request."""
    size = MB if small else 100 * MB
    bodies = _bodies(size)
    for content_type, body in list(bodies.items())[: 1 if small else None]:
        with serving(root, algorithm, CLEANROOM_ALGO_SERVE_WORKERS="1") as port:
            grown = _growth(port, request_bytes("/invocations", body, content_type))
        what = f"memory of a request, {content_type.rpartition('/')[2]}"
        limit = 4 * len(body) / 1e6
        yield Row(NAME, what, "MB", max(grown, 1) / 1e6, limit, "4 x its size", "limit", 1.0, lower_is_better=True)


def _bodies(size: int) -> Mapping[str, bytes]:
    rows = rows_of(2000)
    csv = rows * (size // len(rows))
    frame = pl.read_csv(rows, has_header=False, new_columns=list(SCHEMA.names), schema_overrides=[pl.Float32] * 20)
    record = ",".join(json.dumps(row) for row in frame.rows(named=True))
    times = size // (80 * frame.height)
    npy, arrow, parquet = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(npy, np.tile(frame.to_numpy(), (times, 1)))
    pl.concat([frame] * times).write_ipc_stream(arrow)
    unlike = np.random.default_rng(0).random((size // 80, 20), dtype=np.float32)  # like rows would be packed to nothing
    pl.DataFrame(unlike, schema=list(SCHEMA.names), orient="row").write_parquet(parquet, compression="uncompressed")
    return {
        "text/csv": csv,
        "application/json": b"[" + ",".join([record] * max(1, size // len(record))).encode() + b"]",
        "application/x-npy": npy.getvalue(),
        "application/vnd.apache.arrow.stream": arrow.getvalue(),
        "application/vnd.apache.parquet": parquet.getvalue(),
    }


def _growth(port: int, request: bytes) -> int:
    """Return how many bytes more the server's processes held at most than before."""
    [worker] = [each for each in psutil.Process().children(recursive=True) if not each.children()]
    before: int = worker.memory_info().rss
    peak = before
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, worker.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        send_large(port, request, 1, 1)
    finally:
        done.set()
        watcher.join()
    return peak - before


def _start(root: Path, algorithm: Path, first: float, repeats: int) -> Row:
    """From nothing to a /ping that answers 200, beside loading the model in a bare process and a second."""
    load = [sys.executable, "-c", LOAD, str(root / "model"), str(algorithm)]

    def loading() -> float:
        return seconds_of(lambda: subprocess.run(load, check=True)) + 1

    ready, loaded = [first], [loading()]
    for _ in range(repeats):
        start = time.perf_counter()
        with serving(root, algorithm):
            ready.append(time.perf_counter() - start)
        loaded.append(loading())
    ours, limit = (median(seconds[1:] or seconds) for seconds in (ready, loaded))  # the first of them warmed the caches
    return Row(NAME, "start until ready", "s", ours, limit, "loading the model + 1 s", "limit", 1.0, True)
