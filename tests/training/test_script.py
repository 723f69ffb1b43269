"""Scripts written for SageMaker run unchanged, with true statuses, signals and failure texts."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.training.support import Container, finish, wait_for_line

SCRIPT = """
import argparse, json, os, signal, sys, time

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--action", default="")
parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
arguments = parser.parse_args()

def check(value):
    if arguments.action == "raise":
        raise ValueError(f"cannot use row {value!r}")

if arguments.action == "wait":
    def end(number, frame):
        open(os.path.join(arguments.model_dir, "saved"), "w").close()
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    print("waiting", flush=True)
    time.sleep(600)
check(open(os.path.join(arguments.train, "part")).read().strip())
if arguments.action == "exit":
    sys.exit(7)
if arguments.action == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if arguments.action == "own":
    os.makedirs(os.environ["SM_OUTPUT_DIR"], exist_ok=True)
    with open(os.path.join(os.environ["SM_OUTPUT_DIR"], "failure"), "w") as file:
        file.write("my own words")
    sys.exit(2)
with open(os.path.join(arguments.model_dir, "model.json"), "w") as file:
    json.dump({"epochs": arguments.epochs, "hosts": os.environ["SM_HOSTS"]}, file)
"""


def script(tmp_path: Path, action: str = "") -> Container:
    values = {"epochs": "12"} | ({"action": action} if action else {})
    container = Container(tmp_path / "ml", tmp_path / "none", hyperparameters=values)
    container.channel("train", {"part": "Jane,4711.25\n"}).variables["SAGEMAKER_PROGRAM"] = "train.py"
    code = container.root / "code"
    code.mkdir()
    (code / "train.py").write_text(SCRIPT)
    container.model.mkdir()
    return container


def test_a_script_runs_unchanged(tmp_path: Path) -> None:
    container = script(tmp_path)
    ended = container.run()
    assert ended.status == 0, ended.err
    assert json.loads((container.model / "model.json").read_text()) == {"epochs": 12, "hosts": '["algo-1"]'}
    assert container.failure == ""


@pytest.mark.parametrize(
    ("action", "status", "cause"),
    [
        ("raise", 1, "ValueError: cannot use row <value>\n  at train.py:13 in check: raise ValueError"),
        ("exit", 7, "CR-TRN-008  train.py exited with status 7"),
        ("kill", 137, "CR-TRN-008  train.py was ended by SIGKILL"),
        ("own", 2, "my own words"),
    ],
)
def test_a_script_fails_truly(tmp_path: Path, action: str, status: int, cause: str) -> None:
    container = script(tmp_path, action)
    assert container.run().status == status
    assert container.failure.startswith(cause)
    assert "Jane" not in container.failure


def test_a_script_gets_the_signal(tmp_path: Path) -> None:
    container = script(tmp_path, "wait")
    process = container.start()
    wait_for_line(process, "waiting")
    process.send_signal(signal.SIGTERM)
    assert finish(process, 20).status == 143
    assert (container.model / "saved").exists()
    assert container.failure == ""
