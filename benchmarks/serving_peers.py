"""What people run today: Flask applications around the same model, with the parsers that published recipes use.

`gunicorn benchmarks.serving_peers:pandas_app` and so on; the model lies in the folder MODEL.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from flask import Flask, Response, request
from numpy.typing import NDArray
from safetensors.torch import load_file

COLUMNS = 20
SPLIT_BYTES = 64_000  # below, splitting the text is quicker than any reader's fixed cost

Table = NDArray[np.float32]


class Net(torch.nn.Module):
    """A small network over 20 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(COLUMNS, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return one number per row."""
        predicted: torch.Tensor = self.layers(rows)
        return predicted.squeeze(1)


def with_pandas(body: bytes) -> Table:
    """Parse as most recipes do."""
    import pandas as pd

    table: Table = pd.read_csv(io.BytesIO(body), header=None, dtype=np.float32).to_numpy()
    return table


def with_pyarrow(body: bytes) -> Table:
    """Parse as the fastest of them do: by splitting what is short, by pyarrow what is long."""
    import pyarrow as pa
    import pyarrow.csv as pc

    if len(body) < SPLIT_BYTES:
        return np.array(body.replace(b"\n", b",").rstrip(b",").split(b","), dtype=np.float32).reshape(-1, COLUMNS)
    names = [f"f{number}" for number in range(COLUMNS)]
    table = pc.read_csv(
        pa.BufferReader(body),
        read_options=pc.ReadOptions(column_names=names, use_threads=False),
        convert_options=pc.ConvertOptions(column_types=dict.fromkeys(names, pa.float32())),
    )
    return np.column_stack([column.to_numpy() for column in table.columns])


def application(parse: Callable[[bytes], Table]) -> Flask:
    """Return a Flask application around the model."""
    torch.set_num_threads(1)
    net = Net()
    net.load_state_dict(load_file(Path(os.environ["MODEL"]) / "model.safetensors"))
    net.eval()
    app = Flask(__name__)

    @app.get("/ping")
    def ping() -> Response:
        return Response(status=200)

    @app.post("/invocations")
    def invocations() -> Response:
        with torch.inference_mode():
            predicted = net(torch.from_numpy(parse(request.get_data()))).numpy()
        return Response("\n".join(map(str, predicted.tolist())), mimetype="text/csv")

    return app


def pandas_app() -> Flask:
    """Return the application that parses with pandas."""
    return application(with_pandas)


def pyarrow_app() -> Flask:
    """Return the application that parses with pyarrow."""
    return application(with_pyarrow)
