"""What is fitted on a pipe is the same to the last bit, however its writer pauses."""

from __future__ import annotations

import array
import fcntl
import os
import random
import termios
import threading
import time
from pathlib import Path

import pytest

from cleanroom_algo import Hyperparameters, Trainer
from cleanroom_algo.channels.features import Features
from cleanroom_algo.channels.modes import pipe
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.data.world import World
from cleanroom_algo.training.inputs import Inputs
from cleanroom_algo.training.options import read_options
from tests.training.support import Container

SCHEMA = Schema.of(target="y", a="float64", y="float64")
OPTIONS = read_options(Trainer, Hyperparameters())


def fitted(root: Path, lines: list[str], pieces: int) -> Features:
    """Fit on the lines as a writer delivers them that waits so many times until all is read."""
    container = Container(root, root / "none.py")
    container.channels["train"] = {"TrainingInputMode": "Pipe"}
    container.lay_out()
    fifo = root / "input" / "data" / "train_0"
    fifo.parent.mkdir()
    os.mkfifo(fifo)

    def write() -> None:
        with fifo.open("wb", buffering=0) as stream:
            for start in range(0, len(lines), len(lines) // pieces):
                stream.write("".join(lines[start : start + len(lines) // pieces]).encode())
                held = array.array("i", [1])
                while held[0]:
                    fcntl.ioctl(stream, termios.FIONREAD, held)
                    time.sleep(0.001)

    writer = threading.Thread(target=write)
    writer.start()
    environment = Environment.read({"SAGEMAKER_BASE_DIR": str(root)})
    features = Inputs(environment, None).fit_features(SCHEMA, World(), OPTIONS)
    writer.join(20)
    return features


def test_the_pauses_of_a_writer_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "_GATHER_SECONDS", 0.0)  # each pause ends a table
    draw = random.Random(5)
    lines = [f"{draw.gauss(1e3, 1e-2)!r},{draw.random()!r}\n" for _ in range(1000)]
    whole, paused = (fitted(tmp_path / str(pieces), lines, pieces).to_dict() for pieces in (1, 50))
    assert paused == whole
