"""A model that predicts NaN: at the start it is refused, later it is told."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import polars as pl
import pytest

from cleanroom_algo.serving.scoring.scorer import nan_rows
from tests.serving.support import ALGORITHM, Container, Start, write_algorithm

NAN = float("nan")


@pytest.mark.parametrize(
    ("columns", "count"),
    [
        ({"a": [1.0, 2.0]}, 0),
        ({"a": [NAN, 2.0, None]}, 1),
        ({"a": [NAN, 2.0], "b": [NAN, NAN]}, 2),
        ({"a": [float("inf"), float("-inf")]}, 0),
        ({"a": ["nan"], "b": [1]}, 0),
        ({"a": []}, 0),
    ],
)
def test_rows_with_nan_are_counted(columns: dict[str, list[object]], count: int) -> None:
    assert nan_rows(pl.DataFrame(columns)) == count


def test_poisoned_weights_end_the_server_with_the_reason(
    container: Container, start_server: Start, tmp_path: Path
) -> None:
    text = ALGORITHM.replace(
        "        self.model.eval()",
        "        self.model.eval()\n        self.model.layers[2].bias.data.fill_(float('nan'))",
    )
    root = tmp_path / "ml"
    root.mkdir()
    (root / "model").symlink_to(container.root / "model")
    server = start_server(Container(root, write_algorithm(tmp_path, text)), wait=False)
    assert server.process.wait(60) == 1
    failure = (root / "output" / "failure").read_text()
    assert "CR-SRV-010" in failure
    assert "NaN" in failure


def test_nan_of_single_rows_is_answered_counted_and_told(
    container: Container, start_server: Start, tmp_path: Path
) -> None:
    text = ALGORITHM.replace(
        "        return self.forward(self.model, arrays.numeric, arrays.categorical)",
        "        predicted = self.forward(self.model, arrays.numeric, arrays.categorical).clone()\n"
        "        predicted[[hour == 13 for hour in frame['hour']]] = float('nan')\n"
        "        return predicted",
    )
    server = start_server(
        Container(container.root, write_algorithm(tmp_path, text)),
        CLEANROOM_ALGO_SERVE_WORKERS="1",
        CLEANROOM_ALGO_LOG_LEVEL="INFO",
    )
    for _ in range(2):
        lines = server.invoke(b"AA,1.5,3\nAA,1.5,13\nB6,2,13\n").split(b"\n")
        assert [line == b"NaN" for line in lines] == [False, True, True]
    assert server.invoke(b"AA,1.5,13\n", Accept="application/json") == b'{"predictions":[{"prediction":null}]}'
    with contextlib.suppress(ProcessLookupError):
        assert server.stop(signal.SIGTERM) == 0
    log = server.log.read_text()
    assert log.count("are returned as NaN") == 1
    assert "2 of 3" in log
    assert "serving_nan=5" in log
