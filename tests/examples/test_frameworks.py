"""Lightning, Accelerate and Transformers on two hosts of this library's launcher, one of them without a row."""

from __future__ import annotations

import random
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

from cleanroom_algo.contract.algorithm import find_class, load_algorithm
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.predictor import Predictor
from cleanroom_algo.testing import load_predictor, predict
from tests.training.support import csv_rows, listing, run_all, two_hosts

EXAMPLES = Path(__file__).parents[2] / "examples/frameworks"
WORDS = {"true": ["good", "great", "fine"], "false": ["bad", "awful", "poor"]}


def reviews(rows: int) -> str:
    draw = random.Random(0)
    lines = []
    for _ in range(rows):
        good = draw.choice(["true", "false"])
        lines.append(f"{draw.choice(WORDS[good])} {draw.choice(['bread', 'tea', 'soup'])},{good}\n")
    return "".join(lines)


@pytest.mark.parametrize("name", ["lightning_delay", "accelerate_delay", "transformers_reviews"])
def test_a_framework_trains_on_both_hosts(tmp_path: Path, name: str) -> None:
    package = name.partition("_")[0]
    if find_spec(package) is None:
        pytest.skip("the extra `frameworks` is absent")
    code = EXAMPLES / f"{name}.py"
    rows = reviews(200) if package == "transformers" else csv_rows(400)
    hosts = two_hosts(tmp_path, code, [{"a": rows}, {}])
    for host in hosts:
        host.variables["CLEANROOM_ALGO_MAX_ARTIFACT_GB"] = "0.001"

    ended = run_all(hosts)

    assert [host.status for host in ended] == [0, 0], ended
    assert [len(host.metrics("loss")) > 0 for host in ended] == [True, False]  # the first rank alone writes them
    assert listing(hosts[1].model) == []
    predictor = load_predictor(find_class(load_algorithm(code), Predictor), Artifacts(hosts[0].model))
    schema = predictor.artifacts.schema
    frame = pl.read_csv(rows.encode(), has_header=False, schema=schema.polars_schema())
    predicted = predict(predictor, frame.drop(schema.target or ""))["prediction"]
    assert ((predicted > 0.5) == frame[:, -1]).to_numpy().mean() > 0.8
