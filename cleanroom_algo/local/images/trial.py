"""Starts an algorithm like the platform, without data, to see whether it starts at all."""

from __future__ import annotations

import contextlib
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cleanroom_algo.contract.settings import variable
from cleanroom_algo.local.hosts.isolation.network import SERVE_PORT
from cleanroom_algo.local.hosts.layout import container_variables, lay_out
from cleanroom_algo.local.hosts.protocol import HostKind, HostSpec, RunningHost, Verb
from cleanroom_algo.local.images.findings import Finding
from cleanroom_algo.local.images.source import writes_model
from cleanroom_algo.local.jobs.inference.client import ping
from cleanroom_algo.local.plans.training_plan import TrainingPlan, plan_hosts

TRAIN_SECONDS = 60.0
SERVE_SECONDS = 20.0  # long enough to import torch and fail on the missing model
END_SECONDS = 5.0  # for a server to end after SIGTERM; the platform kills it after 30
_NOT_FOUND = {126, 127}
_USAGE = 2
# Messages of engines, Python and the kernel about a program that does not exist or is for another machine; the last one
# is what remains of it between the docker client and podman's service.
_NO_PROGRAM = re.compile(
    r"executable file not found|exec .*: no such file or directory|exec format error|can't open file"
    r"|unable to upgrade to tcp, received 409"
)
_WRONG_ARGUMENTS = re.compile(
    r"^usage:|unrecognized arguments?|unexpected extra argument", re.IGNORECASE | re.MULTILINE
)
_OFFLINE = re.compile(
    r"Temporary failure (?:in name resolution|resolving)|Name or service not known|Network is unreachable"
    r"|Max retries exceeded|getaddrinfo failed|ConnectError|[Cc]ould not resolve host|unable to resolve host"
    r"|UnknownHostException|no such host|couldn't connect to"
)
# The second is the message of a Trainer or Predictor about its library, which may lack a library of the system.
_NOT_IMPORTED = re.compile(r"(?:ModuleNotFoundError|ImportError): .*|(?<=CR-TRN-015  ).*")
# Except errors of a read-only file system, which have their own finding.
_NOT_THERE = re.compile(
    r"^(?:FileNotFoundError|PermissionError|NotADirectoryError|OSError): (?!.*Read-only file system).*", re.MULTILINE
)
_DATA = re.compile(r"/ml/|/input/|/model\b|/output/")  # missing if /opt/ml is empty
_WHOLE = {variable("tracebacks"): "whole"}
_PIP = re.compile(r"^(Collecting |Looking in indexes|ERROR: Could not find a version|WARNING: Retrying)")
# Python puts the path after the words, most other programs before them.
_READ_ONLY = re.compile(
    r"(?:(?P<before>[^\s'\"\u2018\u2019]+)['\u2019]?: )?Read-only file system(?:: ['\"]?(?P<behind>[^'\"\s]+))?"
)


def try_out(plan: TrainingPlan, kind: HostKind, verbs: Sequence[Verb]) -> Iterator[Finding]:
    """Start `train` and `serve` with an empty /opt/ml and without external access, and yield the findings.

    Args:
        plan: of a training job with a file, a folder or an image; its channels are not used.
        kind: the kind of hosts; its root file system should not be writable.
        verbs: what to start.

    Raises:
        HostError: it cannot be started here.
    """
    with tempfile.TemporaryDirectory(prefix="cleanroom-check-") as folder:
        if "train" in verbs:
            empty = replace(plan, run_directory=Path(folder) / "train", channels=(), hosts=plan_hosts((), 1))
            yield from _try_train(empty, kind)
        if "serve" in verbs:
            yield from _try_serve(plan, kind, Path(folder) / "serve")


def _try_train(plan: TrainingPlan, kind: HostKind) -> Iterator[Finding]:
    tree = lay_out(plan, plan.hosts[0])
    environment = {**_WHOLE, **container_variables(plan, tree.seen_by(kind))}
    with kind.open(plan.host_names) as hosts:
        host = hosts.launch(HostSpec("algo-1", tree.root, plan.source, "train", environment))
        with _ended_in_time(host, TRAIN_SECONDS):
            lines = [text for _, text in host.lines]
        code = host.wait() or 0
    yield from _conclude("train", code, lines)


def _try_serve(plan: TrainingPlan, kind: HostKind, folder: Path) -> Iterator[Finding]:
    root, model = folder / "ml", folder / "model"
    for path in (root, model):
        path.mkdir(parents=True)
    with kind.open(["algo-1"]) as hosts:
        environment = {**_WHOLE, **plan.environment}
        host = hosts.launch(HostSpec("algo-1", root, plan.source, "serve", environment, shared={"model": model}))
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(text for _, text in host.lines))
        reader.start()
        answered = _answers(host)
        code = host.wait(0)
        host.terminate()
        ended = host.wait(END_SECONDS) is not None
        host.kill()
        reader.join()
        host.wait()
    if answered:
        what = "GET /ping returns 200 although there is no model"
        fix = "return 200 only when predictions work, and exit with a nonzero status if the model cannot be loaded"
        yield Finding("warning", "ping", "serve", what, fix)
    elif code == 0:
        what = "it ends with status 0 at once, without starting a server; an inference job then gets no answers"
        yield Finding("error", "no-serve", "serve", what, "start a server when the first argument is `serve`")
    elif code is None and kind.isolates_files and not _serves_by_library(plan.source.path):
        what = f"GET /ping is not answered on port {SERVE_PORT} within {SERVE_SECONDS:g} s"
        fix = f"listen on 0.0.0.0:{SERVE_PORT}; a framework's own default is often 127.0.0.1 and another port"
        yield Finding("warning", "ping", "serve", what, fix)
    if not ended:
        what = f"the server does not end within {END_SECONDS:g} s of SIGTERM; after 30 s it is killed"
        fix = "handle SIGTERM, because process 1 of a container ignores signals that it does not handle"
        yield Finding("warning", "sigterm", "serve", what, fix)
    yield from _conclude("serve", code or 0, lines)


def _serves_by_library(algorithm: Path | None) -> bool:
    """Whether this library's server answers; it uses the right port, and may be slow on a busy machine."""
    return algorithm is not None and not (algorithm.is_dir() and (algorithm / "serve").is_file())


def _conclude(verb: Verb, code: int, lines: list[str]) -> Iterator[Finding]:
    text = "\n".join(lines)
    if code in _NOT_FOUND or (code and (said := _NO_PROGRAM.search(text))):
        why = f"{said[0]}, exit status {code}" if code not in _NOT_FOUND and said else f"exit status {code}"
        what = f"`{verb}` cannot be started ({why})"
        fix = f"put an executable named {verb} on the image's PATH, or set an existing entrypoint for the image"
        yield Finding("error", f"no-{verb}", verb, what, fix)
    elif code == _USAGE and _WRONG_ARGUMENTS.search(text):
        what = f"the program takes the word `{verb}` as an invalid argument (exit status 2)"
        yield Finding("error", "argparse", verb, what, "call parse_known_args, or declare a positional argument")
    if code and (found := _NOT_IMPORTED.search(text)):
        fix = "name it in requirements.txt, and Debian packages that it needs in apt.txt, or copy it into the image"
        yield Finding("error", "import", verb, f"it cannot be imported ({found[0]})", fix)
    elif code and (found := _NOT_THERE.search(text)) and not _DATA.search(found[0]):
        fix = "put the file into the algorithm's folder or the image, and use its absolute path"
        yield Finding("error", "not-there", verb, f"it ends before it reads data ({found[0]})", fix)
    if found := _OFFLINE.search(text):
        what = f"it uses a network when it starts ({found[0]})"
        yield Finding("error", "network", verb, what, "put the files into the image, or provide them in a channel")
    if any(_PIP.search(line) for line in lines):
        what = "pip runs when the container starts, but no package index can be reached"
        yield Finding("error", "pip-at-run-time", verb, what, "install in the image")
    paths = {each["behind"] or each["before"] or "?" for each in _READ_ONLY.finditer(text)}
    for path in sorted(paths):
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
    """Whether /ping answers with status 200 in time; False as soon as the container has ended."""
    limit = time.monotonic() + SERVE_SECONDS
    while time.monotonic() < limit and host.wait(0) is None:
        if not ping(host.connect):
            return True
        time.sleep(0.1)
    return False
