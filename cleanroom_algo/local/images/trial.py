"""Starting an algorithm as the platform would, with no data, to see whether it starts at all."""

from __future__ import annotations

import contextlib
import http.client
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from cleanroom_algo.local.hosts.layout import lay_out
from cleanroom_algo.local.hosts.protocol import HostKind, HostSpec, RunningHost, Verb
from cleanroom_algo.local.images.findings import Finding
from cleanroom_algo.local.images.source import writes_model
from cleanroom_algo.local.jobs.inference_client import over
from cleanroom_algo.local.jobs.plan import AlgorithmSource, TrainingPlan, plan_hosts

TRAIN_SECONDS = 60.0
SERVE_SECONDS = 20.0  # long enough to import torch and fail on the missing model
_NOT_FOUND = {126, 127}
_USAGE = 2
_OFFLINE = re.compile(
    r"Temporary failure in name resolution|Name or service not known|Network is unreachable|Max retries exceeded"
    r"|getaddrinfo failed|ConnectError|Could not resolve host"
)
_PIP = re.compile(r"^(Collecting |Looking in indexes|ERROR: Could not find a version|WARNING: Retrying)")
_READ_ONLY = re.compile(r"Read-only file system:? ?'?(?P<path>/[^']*)?'?")


def try_out(source: AlgorithmSource, kind: HostKind) -> Iterator[Finding]:
    """Start `train` and `serve` with an empty /opt/ml and no way out, and yield what is found.

    Args:
        source: a file, a folder or an image.
        kind: where it starts; its root file system should not be writable.

    Raises:
        HostError: it cannot be started here.
    """
    with tempfile.TemporaryDirectory(prefix="cleanroom-check-") as folder:
        yield from _try_train(source, kind, Path(folder) / "train")
        yield from _try_serve(source, kind, Path(folder) / "serve")


def _try_train(source: AlgorithmSource, kind: HostKind, folder: Path) -> Iterator[Finding]:
    plan = TrainingPlan("check", "arn:aws:sagemaker:::check", folder, source, plan_hosts((), 1), ())
    paths = lay_out(plan, plan.hosts[0])
    with kind.open(plan.host_names) as hosts:
        host = hosts.launch(HostSpec("algo-1", paths.root, source, "train"))
        with _ended_in_time(host, TRAIN_SECONDS):
            lines = [text for _, text in host.lines]
        code = host.wait() or 0
    yield from _conclude("train", code, lines)


def _try_serve(source: AlgorithmSource, kind: HostKind, folder: Path) -> Iterator[Finding]:
    root, model = folder / "ml", folder / "model"
    for path in (root, model):
        path.mkdir(parents=True)
    with kind.open(["algo-1"]) as hosts:
        host = hosts.launch(HostSpec("algo-1", root, source, "serve", shared={"model": model}))
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(text for _, text in host.lines))
        reader.start()
        answered = _answers(host)
        code = host.wait(0)
        host.kill()
        reader.join()
        host.wait()
    if answered:
        what = "GET /ping answers 200 although there is no model"
        fix = (
            "answer 200 only when a prediction would work, and end with a status other than 0 if the model cannot load"
        )
        yield Finding("warning", "ping", "serve", what, fix)
    yield from _conclude("serve", code or 0, lines)


def _conclude(verb: Verb, code: int, lines: list[str]) -> Iterator[Finding]:
    text = "\n".join(lines)
    if code in _NOT_FOUND or f'"{verb}": executable file not found' in text:
        what = f"`{verb}` cannot be started (exit status {code})"
        yield Finding("error", f"no-{verb}", verb, what, f"put an executable named {verb} on the image's PATH")
    elif code == _USAGE and "usage:" in text:
        what = f"the program takes the word `{verb}` for a wrong argument (exit status 2)"
        yield Finding("error", "argparse", verb, what, "call parse_known_args, or declare a positional argument")
    if found := _OFFLINE.search(text):
        what = f"it looks for a network when it starts ({found[0]})"
        yield Finding("error", "network", verb, what, "put what is needed into the image, or bring it in as a channel")
    if any(_PIP.search(line) for line in lines):
        what = "pip runs when the container does; there is no package index to reach"
        yield Finding("error", "pip-at-run-time", verb, what, "install in the image")
    for path in sorted({found["path"] or "?" for found in _READ_ONLY.finditer(text)}):
        if verb == "serve" and path.startswith("/opt/ml/model"):
            yield writes_model(path, verb)
            continue
        what = f"writes to {path}; only /opt/ml/model and /opt/ml/output/data leave the container"
        yield Finding("warning", "writes-elsewhere", verb, what, "write below /opt/ml/model or /opt/ml/output/data")


@contextlib.contextmanager
def _ended_in_time(host: RunningHost, seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, host.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _answers(host: RunningHost) -> bool:
    """Whether /ping answers 200 within the time; False as soon as the container has ended."""
    limit = time.monotonic() + SERVE_SECONDS
    while time.monotonic() < limit and host.wait(0) is None:
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(over(host.connect)) as asking:
            asking.request("GET", "/ping")
            if asking.getresponse().status == http.HTTPStatus.OK:
                return True
        time.sleep(0.1)
    return False
