"""The image of the example, built from this repository's Dockerfile: the main job runs in its containers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.local.hosts.docker import DockerHosts
from cleanroom_algo.local.hosts.protocol import HostSpec
from cleanroom_algo.local.plans.training_plan import AlgorithmSource
from tests.images.engine import BASE, Engine
from tests.scenario.conftest import make_desk
from tests.scenario.test_existing_algorithms import SCRIPT

ROOT = Path(__file__).parents[2]
IMAGE = "localhost/flight-delay"


@pytest.mark.timeout(1500)
def test_the_main_job_runs_in_the_containers_of_the_example_image(engine: Engine, tmp_path: Path) -> None:
    built = engine.call(
        *(sys.executable, "-m", "cleanroom_algo.cli", "build", ROOT / "examples/flight_delay", "--json"),
        *("--tag", IMAGE, "--engine", "buildah", "--base-image", BASE, "--", *engine.build_words()),
        "--layers=false",  # nothing is built again from here, and each layer with torch costs 25 core-seconds
    )
    result = json.loads(built)
    assert (result["image"], result["engine"]) == (IMAGE, "buildah")
    check_the_image(engine)
    checked = engine.call(sys.executable, "-m", "cleanroom_algo.cli", "check", IMAGE, "--json")
    assert json.loads(checked) == {"findings": []}
    check_that_nothing_is_compiled_at_a_start(engine)
    check_process_one(engine, tmp_path)
    check_scripts(engine, tmp_path)
    check_the_main_job(engine, tmp_path)


def check_the_image(engine: Engine) -> None:
    (image,) = json.loads(engine.call("podman", "image", "inspect", IMAGE))
    assert image["Config"]["Entrypoint"] == ["/opt/venv/bin/dumb-init", "--single-child", "--", "/usr/local/bin/start"]
    assert image["Size"] < 1_300_000_000
    words = ("run", "--rm", "--network", "none", "--entrypoint", "sh", IMAGE, "-c", LOOK)
    inside = engine.call("podman", *words).split("\n")
    assert inside[0] == "/usr/local/bin/train /usr/local/bin/serve"
    assert inside[1:4] == ["no gcc", "no pip", "no /opt/ml"]
    assert inside[4] == "['torch', 'polars', 'flask'] without the local clean room"


LOOK = """
echo $(command -v train) $(command -v serve)
command -v gcc || echo no gcc
command -v pip || echo no pip
test -e /opt/ml || echo no /opt/ml
python - <<'END'
import importlib.util, torch, polars, flask
import cleanroom_algo
print([m.__name__ for m in (torch, polars, flask)], end=" ")
print("with" if importlib.util.find_spec("cleanroom_algo.local") else "without", "the local clean room")
END
"""


START = """
python -v -c 'import torch.distributed, cleanroom_algo.training.process.rank, cleanroom_algo.serving.server.app' \
  2>&1 |
  grep '^# code object from /opt/' | grep -v '\\.pyc' | wc -l
"""


def check_that_nothing_is_compiled_at_a_start(engine: Engine) -> None:
    inside = engine.call("podman", "run", "--rm", "--network", "none", "--entrypoint", "sh", IMAGE, "-c", START)
    assert inside.strip() == "0"


PROCESSES = """#!/usr/bin/env python3
import os, select, signal, sys, time
from pathlib import Path

read, write = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:  # an orphan as soon as its parent has ended
        while os.getppid() != 1: time.sleep(0.01)
        os.write(write, b"%d" % os.getpid())
    os._exit(0)
os.wait()
orphan = Path("/proc", os.read(read, 20).decode())
limit = time.monotonic() + 60
while orphan.exists() and time.monotonic() < limit: time.sleep(0.01)
print("orphan left" if orphan.exists() else "orphan reaped", flush=True)

asked, ask = os.pipe()
if os.fork() == 0:
    seen = []
    signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
    os.write(write, b"1")
    os.read(asked, 1)
    print("child told" if seen else "child not told", flush=True)
    os._exit(0)
os.read(read, 1)

def end(*_):
    os.write(ask, b"1")
    os.wait()
    sys.exit(42)

signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True: signal.pause()
"""


def check_process_one(engine: Engine, folder: Path) -> None:
    image = engine.build("processes", "COPY train /opt/algorithm/", base=IMAGE, files={"train": PROCESSES})
    root = folder / "host/ml"
    root.mkdir(parents=True)
    lines = []
    with DockerHosts().open(["algo-1"]) as hosts:
        host = hosts.launch(HostSpec("algo-1", root, AlgorithmSource(image), "train"))
        for _, line in host.lines:
            lines.append(line)
            if line == "ready":
                host.terminate()
    assert (lines, host.wait()) == (["orphan reaped", "ready", "child not told"], 42)


INFERENCE = """
from pathlib import Path

def model_fn(model_dir):
    return len(list(Path(model_dir).glob("model-algo-*")))

def input_fn(body, content_type):
    return [line for line in body.splitlines() if not line.startswith("x,")]

def predict_fn(rows, model):
    return [model] * len(rows)

def output_fn(predictions, accept):
    return "\\n".join(map(str, predictions))
"""


def check_scripts(engine: Engine, folder: Path) -> None:
    lines = ("COPY train.py inference.py /opt/ml/code/", "ENV SAGEMAKER_PROGRAM=train.py")
    image = engine.build("script", *lines, base=IMAGE, files={"train.py": SCRIPT, "inference.py": INFERENCE})
    desk = make_desk(folder)
    words = ("--name", "script", "--hosts", "2", "--hyperparameter", "epochs=2")

    done = desk.run("train", image, "--channel", f"train={desk.data}", *words)

    assert done.status == ExitCode.OK, done.stderr
    log = desk.run("logs", "script").stdout
    assert all(f"epochs 2 files 3 of {host}" in log for host in ("algo-1", "algo-2"))
    inferred = desk.run("infer", "script", "--channel", desk.data, "--json")
    assert inferred.status == ExitCode.OK, inferred.stderr
    assert [line for path in inferred.json["outputs"] for line in Path(path).read_text().splitlines()] == ["2"] * 40


def check_the_main_job(engine: Engine, folder: Path) -> None:
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "examples.flight_delay.demo", "--image", IMAGE],
        cwd=folder,
        env=engine.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^flight-delay .* ACTIVE ", done.stdout, re.MULTILINE)) == 2
    (aucs,) = re.findall(r"^november-december +ACTIVE +\d+ +(0\.\d+) +(0\.\d+)", done.stdout, re.MULTILINE)
    ours, baseline = map(float, aucs)
    assert ours > baseline
