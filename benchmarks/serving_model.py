"""The model that the benchmarks of serving serve: a small network over 20 numbers, and rows for it."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from benchmarks.peers.work import NAMES, Net
from benchmarks.tables import numbers
from cleanroom_algo.channels.features import Features
from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.contract.manifest import Manifest

SCHEMA = Schema([Column(name, "float32", nullable=False) for name in NAMES])

ALGORITHM = """
from benchmarks.peers.work import Net
from cleanroom_algo import Predictor


class Numbers(Predictor):
    def load(self, artifacts):
        self.model = Net()
        self.model.load_state_dict(artifacts.state_dict())
        self.model.eval()

    def predict_arrays(self, arrays):
        return self.forward(self.model, arrays.numeric)
"""


def write_model(folder: Path) -> None:
    """Write the artifacts of an untrained network."""
    folder.mkdir(parents=True)
    save_file(Net().state_dict(), folder / "model.safetensors")
    (folder / "features.json").write_text(json.dumps(Features.plain(SCHEMA).to_dict()))
    Manifest(algorithm="Numbers", table_schema=SCHEMA.to_dict()).write(folder)


def rows_of(count: int) -> bytes:
    """Return rows as CSV without a header."""
    text = numbers(count).write_csv(include_header=False, float_precision=6)
    return text.encode()
