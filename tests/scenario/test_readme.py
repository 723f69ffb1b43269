"""The README, word for word: its algorithm and its commands, in an empty folder."""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_algorithm_and_its_commands(tmp_path: Path) -> None:
    (algorithm,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    commands = [
        line.partition("#")[0].strip()
        for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
        for line in block.splitlines()
        if line.startswith("cleanroom-algo ")
    ]
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
