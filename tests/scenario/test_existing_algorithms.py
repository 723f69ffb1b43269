"""Algorithms that know nothing of this library run unchanged, on every kind of host."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.local.hosts import sandbox
from tests.images.engine import Engine
from tests.scenario.conftest import CliFixture

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
def desk_on(request: pytest.FixtureRequest, desk: CliFixture) -> CliFixture:
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


def train(desk: CliFixture, folder: object, *words: object) -> None:
    channel = ("--channel", f"train={desk.data}", "--hyperparameter", "epochs=2")
    done = desk.run("train", folder, *channel, *words)
    assert done.status == ExitCode.OK, done.stderr


@pytest.mark.parametrize(("serve", "answer"), [(SERVE, "1"), (FLASK, "2")], ids=["stdlib", "flask"])
def test_programs_that_train_and_serve(desk_on: CliFixture, programs: Programs, serve: str, answer: str) -> None:
    train(desk_on, programs(train=TRAIN, serve=serve))

    done = desk_on.run("infer", "existing", "--channel", desk_on.data, "--instances", "2", "--json")

    assert done.status == ExitCode.OK, done.stderr
    lines = [line for path in done.json["outputs"] for line in Path(path).read_text().splitlines()]
    assert lines == [answer] * 40


def test_a_sagemaker_script(desk_on: CliFixture, programs: Programs) -> None:
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
def test_how_programs_fail(desk_on: CliFixture, programs: Programs, text: str, reason: str) -> None:
    folder = programs(train=text)

    done = desk_on.run("train", folder, "--channel", f"train={desk_on.data}")

    assert done.status == ExitCode.ALGORITHM_FAILED
    assert reason in desk_on.model()["statusDetails"]["message"]
    assert desk_on.artifacts() == []


def copy_packages(target: Path, *names: str) -> None:
    """Copy installed packages as an image's `pip install` would have left them, compiled parts left out."""
    for name in names:
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or ():
            if ".." not in file.parts and file.suffix not in {".so", ".pyc"}:
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(Path(str(distribution.locate_file(file))), target / file)


@pytest.mark.parametrize(("serve", "answer"), [(SERVE, "1"), (FLASK, "2")], ids=["stdlib", "flask"])
def test_an_image_with_programs_of_its_own(
    engine: Engine, desk: CliFixture, tmp_path: Path, serve: str, answer: str
) -> None:
    packages = tmp_path / "packages"
    copy_packages(packages, "flask", "werkzeug", "jinja2", "markupsafe", "click", "itsdangerous", "blinker")
    lines = ("COPY train serve /usr/local/bin/", "COPY packages /opt/packages", "ENV PYTHONPATH=/opt/packages")
    alone = TRAIN.replace('test "$1" = train', "test $# = 0")  # without an entrypoint the word names the program
    image = engine.build("own", *lines, files={"train": alone, "serve": serve, "packages": packages})

    train(desk, image, "--hosts", "2", "--name", "existing")
    done = desk.run("infer", "existing", "--channel", desk.data, "--json")

    assert done.status == ExitCode.OK, done.stderr
    lines_of_all = [line for path in done.json["outputs"] for line in Path(path).read_text().splitlines()]
    assert lines_of_all == [answer] * 40


def test_an_image_whose_entrypoint_has_arguments(engine: Engine, desk: CliFixture) -> None:
    main = "import runpy, sys\nprint('told', sys.argv[1:])\nif sys.argv[-1] == 'serve': runpy.run_path('serve.py')\n"
    weights = "else: open('/opt/ml/model/rows', 'w').write('1')\n"
    lines = ("COPY main.py serve.py /opt/program/", "WORKDIR /opt/program")
    entrypoint = 'ENTRYPOINT ["python3", "main.py", "--always"]'
    image = engine.build("entrypoint", *lines, entrypoint, files={"main.py": main + weights, "serve.py": SERVE})

    train(desk, image, "--name", "entrypoint")
    done = desk.run("infer", "entrypoint", "--channel", desk.data, "--json")

    assert "told ['--always', 'train']" in desk.run("logs", "entrypoint").stdout
    assert done.status == ExitCode.OK, done.stderr
    assert "told ['--always', 'serve']" in desk.run("logs", done.json["name"]).stdout


SAMPLE = """
import argparse, os
parser = argparse.ArgumentParser()
parser.add_argument("--model_dir", default=os.environ.get("SM_MODEL_DIR", "/opt/ml/model"))
parser.add_argument("--train_dir", default=os.environ.get("SM_CHANNEL_TRAIN", "/opt/ml/input/data/train"))
parser.add_argument("--train_file_format", default=os.environ.get("FILE_FORMAT", "csv"))
arguments, _ = parser.parse_known_args()
print("read", len(os.listdir(arguments.train_dir)), "files of", arguments.train_file_format)
open(os.path.join(arguments.model_dir, "weights"), "w").close()
"""


@pytest.mark.parametrize("switch", ["visible", "hidden"])
def test_an_image_with_its_code_below_opt_ml(engine: Engine, desk: CliFixture, switch: str) -> None:
    """The form of the user guide's sample; `hidden` is the other reading of the documentation."""
    entrypoint = 'ENTRYPOINT ["python3", "/opt/ml/code/train.py"]'
    image = engine.build("sample", "COPY train.py /opt/ml/code/", entrypoint, files={"train.py": SAMPLE})
    desk.home.mkdir()
    (desk.home / "settings.toml").write_text(f'[switches]\nimage_opt_ml = "{switch}"\nsm_variables = "present"\n')

    done = desk.run("train", image, "--channel", f"train={desk.data}", "--name", "sample")

    if switch == "visible":
        assert done.status == ExitCode.OK, done.stderr
        assert "read 3 files of csv" in desk.run("logs", "sample").stdout
    else:
        assert done.status == ExitCode.ALGORITHM_FAILED
        assert "can't open file '/opt/ml/code/train.py'" in desk.run("logs", "sample").stdout
