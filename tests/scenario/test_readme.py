"""The README, word for word: its algorithm and its commands, in an empty folder."""

from __future__ import annotations

import os
import random
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README, GUIDE = ((ROOT / name).read_text() for name in ("README.md", "docs/guides/test-an-algorithm.md"))


def test_the_algorithm_and_its_commands(tmp_path: Path) -> None:
    (algorithm,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (block,) = (each for each in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "cleanroom-algo infer" in each)
    commands = [line.partition("#")[0].strip() for line in block.splitlines()]
    assert [command.split()[1] for command in commands] == ["train", "show", "logs", "infer"]
    (tmp_path / "my_algorithm.py").write_text(algorithm)
    write_flights(tmp_path / "data")
    environment = {**os.environ, "CLEANROOM_ALGO_HOME": str(tmp_path / "home")}
    for command in commands:
        words = shlex.split(command)[1:]
        done = subprocess.run(
            [sys.executable, "-m", "cleanroom_algo.cli", *words],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_tests_of_the_guide_for_the_process_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0] for text in (README, GUIDE)]
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_algorithm", raising=False)
    for name, block in zip(("my_algorithm.py", "guide.py"), blocks, strict=True):
        (tmp_path / name).write_text(block)
    tests = [value for name, value in runpy.run_path(str(tmp_path / "guide.py")).items() if name.startswith("test_")]
    assert len(tests) == 2
    for each in tests:
        each()


def test_the_algorithm_is_short() -> None:
    (algorithm,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    trainer = algorithm.split("class MyTrainer")[1].split("class MyPredictor")[0]
    assert len([line for line in trainer.splitlines() if line.strip()]) <= 20


def write_flights(folder: Path) -> None:
    dice = random.Random(3)
    folder.mkdir()
    for part in range(4):
        lines = []
        for _ in range(100):
            distance, wind = dice.uniform(100, 3000), dice.choice(["", "12.5", "30"])
            lines.append(f"{distance:.1f},{wind},{'true' if distance > 1500 else 'false'}\n")
        (folder / f"part-{part:05}.csv").write_text("".join(lines))
