"""The image of the example, built from this repository's Dockerfile: the main job runs in its containers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.images.engine import BASE, Engine

ROOT = Path(__file__).parents[2]
IMAGE = "localhost/flight-delay"


@pytest.mark.timeout(1500)
def test_the_main_job_runs_in_the_containers_of_the_example_image(engine: Engine, tmp_path: Path) -> None:
    built = engine.call(
        *(sys.executable, "-m", "cleanroom_algo.cli", "build", ROOT / "examples/flight_delay", "--json"),
        *("--tag", IMAGE, "--engine", "buildah", "--base-image", BASE, "--", *engine.build_words()),
    )
    result = json.loads(built)
    assert (result["image"], result["engine"]) == (IMAGE, "buildah")
    check_the_image(engine)
    checked = engine.call(sys.executable, "-m", "cleanroom_algo.cli", "check", IMAGE, "--json")
    assert json.loads(checked) == {"findings": []}
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
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^flight-delay .* ACTIVE ", done.stdout, re.MULTILINE)) == 2
    (aucs,) = re.findall(r"^november-december +ACTIVE +\d+ +(0\.\d+) +(0\.\d+)", done.stdout, re.MULTILINE)
    ours, baseline = map(float, aucs)
    assert ours > baseline
