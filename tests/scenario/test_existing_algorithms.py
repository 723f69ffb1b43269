"""Algorithms that know nothing of this library run unchanged, on every kind of host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cleanroom_algo.contract.exit_codes import ExitCode
from cleanroom_algo.local.hosts import sandbox
from tests.images.engine import BASE, Engine
from tests.scenario.conftest import Desk

TRAIN = """#!/bin/sh
set -e
root=${SAGEMAKER_BASE_DIR:-/opt/ml}
test "$1" = train
cat "$root"/input/data/train/* | wc -l > "$root/model/rows"
grep -q epochs "$root/input/config/hyperparameters.json"
"""
SERVE = """#!/usr/bin/env python3
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # else process 1 lives until SIGKILL, 30 s later
assert open(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml") + "/model/rows").read()

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, b"\\n".join(b"1" for line in body.splitlines() if not line.startswith(b"x,")))

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080))
http.server.ThreadingHTTPServer(("0.0.0.0", port), Answer).serve_forever()
"""
FLASK = """#!/usr/bin/env python3
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
from flask import Flask, request

app = Flask(__name__)

@app.get("/ping")
def ping():
    return ""

@app.post("/invocations")
def invocations():
    return "\\n".join("2" for line in request.data.splitlines() if not line.startswith(b"x,"))

app.run(host="0.0.0.0", port=int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080)))
"""
SCRIPT = """
import argparse, os
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
arguments = parser.parse_args()
print("epochs", arguments.epochs, "files", len(os.listdir(arguments.train)), "of", os.environ["SM_CURRENT_HOST"])
open(os.path.join(arguments.model_dir, "model-" + os.environ["SM_CURRENT_HOST"]), "w").close()
"""

Programs = Callable[..., Path]


@pytest.fixture(params=["process", "sandbox"])
def desk_on(request: pytest.FixtureRequest, desk: Desk) -> Desk:
    """Return a desk on each kind of host that runs folders."""
    if request.param == "sandbox" and (reason := sandbox.missing()):
        pytest.skip(reason)
    desk.run_on(request.param)
    return desk


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """Return a function that makes a folder of executables."""

    def programs(**texts: str) -> Path:
        folder = tmp_path / "existing"
        folder.mkdir()
        for name, text in texts.items():
            path = folder / name.replace("_py", ".py")
            path.write_text(text)
            path.chmod(0o755)
        return folder

    return programs


def train(desk: Desk, folder: object, *words: object) -> None:
    channel = ("--channel", f"train={desk.data}", "--hyperparameter", "epochs=2")
    done = desk.run("train", folder, *channel, *words)
    assert done.status == ExitCode.OK, done.stderr


@pytest.mark.parametrize(("serve", "answer"), [(SERVE, "1"), (FLASK, "2")], ids=["stdlib", "flask"])
def test_programs_that_train_and_serve(desk_on: Desk, programs: Programs, serve: str, answer: str) -> None:
    train(desk_on, programs(train=TRAIN, serve=serve))

    done = desk_on.run("infer", "existing", "--channel", desk_on.data, "--instances", "2", "--json")

    assert done.status == ExitCode.OK, done.stderr
    lines = [line for path in done.json["outputs"] for line in Path(path).read_text().splitlines()]
    assert lines == [answer] * 40


def test_a_sagemaker_script(desk_on: Desk, programs: Programs) -> None:
    folder = programs(train_py=SCRIPT)

    train(desk_on, folder, "--environment", "SAGEMAKER_PROGRAM=train.py", "--hosts", "2")

    log = desk_on.run("logs", "existing").stdout
    assert "epochs 2 files 3 of algo-1" in log
    assert "epochs 2 files 3 of algo-2" in log


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#!/bin/sh\nexit 9\n", "Exit Code: 9"),
        ("#!/bin/sh\necho own words > ${SAGEMAKER_BASE_DIR:-/opt/ml}/output/failure; exit 1\n", "own words"),
        ("#!/usr/bin/env python3\nimport argparse; argparse.ArgumentParser().parse_args()\n", "Exit Code: 2"),
    ],
    ids=["status", "failure-file", "argparse"],
)
def test_how_programs_fail(desk_on: Desk, programs: Programs, text: str, reason: str) -> None:
    folder = programs(train=text)

    done = desk_on.run("train", folder, "--channel", f"train={desk_on.data}")

    assert done.status == ExitCode.ALGORITHM_FAILED
    assert reason in desk_on.model()["statusDetails"]["message"]
    assert desk_on.artifacts() == []


def test_an_image_with_programs_of_its_own(engine: Engine, desk: Desk, programs: Programs) -> None:
    image = engine.image_of(programs(train=TRAIN, serve=SERVE))

    train(desk, image, "--hosts", "2", "--name", "existing")
    done = desk.run("infer", "existing", "--channel", desk.data, "--json")

    assert done.status == ExitCode.OK, done.stderr
    lines = [line for path in done.json["outputs"] for line in Path(path).read_text().splitlines()]
    assert lines == ["1"] * 40


def test_an_image_whose_entrypoint_has_arguments(engine: Engine, desk: Desk, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "main.py").write_text("import sys; print('told', sys.argv[1:])")
    entrypoint = 'ENTRYPOINT ["python3", "/opt/program/main.py", "--always"]'
    (context / "Containerfile").write_text(f"FROM {BASE}\nCOPY main.py /opt/program/\n{entrypoint}\n")
    engine.call("buildah", "build", "--quiet", "--tag", "localhost/entrypoint", context)

    train(desk, "localhost/entrypoint", "--name", "entrypoint")

    assert "told ['--always', 'train']" in desk.run("logs", "entrypoint").stdout
