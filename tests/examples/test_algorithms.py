"""The examples, started as the platform starts a container: real rows in, a model and its predictions out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.algorithm import find_class, load_algorithm
from cleanroom_algo.contract.manifest import Manifest
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.predictor import Predictor
from cleanroom_algo.serving.scoring.prediction import answer
from examples.flight_delay.evaluation import area_under_curve, baseline, read_parts
from tests.examples.support import write_flights, write_weather
from tests.preloaded import PreloadedProcess

EXAMPLES = Path(__file__).parents[2] / "examples"
TEMPLATES = Path(__file__).parents[2] / "cleanroom_algo/local/templates"


def train(root: Path, algorithm: Path, hyperparameters: dict[str, str]) -> Manifest:
    """Run `train` in a root that the platform could have laid out; its channel is already there."""
    config = root / "input/config"
    config.mkdir(parents=True)
    for folder in ("model", "output/data"):
        (root / folder).mkdir(parents=True)
    channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    hosts = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "lo"}
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    (config / "inputdataconfig.json").write_text(json.dumps({"train": channel}))
    (config / "resourceconfig.json").write_text(json.dumps(hosts))
    own = {"SAGEMAKER_BASE_DIR": str(root), "CLEANROOM_ALGO_ALGORITHM": str(algorithm)}
    process = PreloadedProcess("cleanroom_algo.training", "train", env=os.environ | own)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "[metric]" in out
    manifest = Manifest.read(root / "model")
    manifest.verify(root / "model")
    return manifest


def predict(root: Path, algorithm: Path, frame: pl.DataFrame) -> np.ndarray:
    artifacts = Artifacts(root / "model")
    predictor = find_class(load_algorithm(algorithm), Predictor)()
    predictor.artifacts = artifacts
    predictor.load(artifacts)
    predictions = answer(predictor, frame)["prediction"]
    for first, rows in [*((row, 1) for row in range(50)), (3, 50), (200, 300)]:  # in whatever request a row arrives
        assert answer(predictor, frame[first : first + rows])["prediction"].equals(predictions[first : first + rows])
    return predictions.to_numpy()


def test_flight_delays_are_told_better_than_by_the_hour_alone(tmp_path: Path) -> None:
    algorithm = EXAMPLES / "flight_delay"
    channel = tmp_path / "root/input/data/train"
    write_flights(channel, "1, 3, 5, 7", parts=3)
    write_flights(tmp_path / "held-out", "9, 11", parts=2)
    manifest = train(tmp_path / "root", algorithm, {"epochs": "8", "batch_size": "256"})
    assert manifest.rows == 8 * read_parts(channel).height

    held_out = read_parts(tmp_path / "held-out")
    scores = predict(tmp_path / "root", algorithm, held_out.drop("late"))
    truth = held_out["late"].to_numpy()
    trivial = area_under_curve(baseline(read_parts(channel), held_out), truth)
    assert 0.5 < trivial < area_under_curve(scores, truth)


def test_rain_by_scikit_learn(tmp_path: Path) -> None:
    algorithm = TEMPLATES / "sklearn/algorithm"
    channel = tmp_path / "root/input/data/train"
    write_weather(channel, parts=2)
    manifest = train(tmp_path / "root", algorithm, {"penalty": "0.001"})
    assert set(manifest.files) == {"estimator.safetensors", "features.json"}
    assert manifest.metrics["accuracy"] > 0.9

    assert manifest.table_schema is not None
    schema = Schema.from_dict(manifest.table_schema)
    frame = pl.read_csv(channel / "part-00000.csv", schema=schema.polars_schema())
    scores = predict(tmp_path / "root", algorithm, frame.drop("rain"))
    alone = predict(tmp_path / "root", algorithm, frame.drop("rain")[7:8])
    assert area_under_curve(scores, frame["rain"].to_numpy()) > 0.9
    assert alone[0] == scores[7]  # the same bits, whatever request a row comes in


@pytest.mark.parametrize(
    ("scores", "expected"), [([0.1, 0.4, 0.35, 0.8], 0.75), ([1, 1, 1, 1], 0.5), ([0, 0, 1, 1], 1.0)]
)
def test_the_area_under_the_curve(scores: list[float], expected: float) -> None:
    truth = np.array([False, False, True, True])
    assert area_under_curve(np.array(scores, dtype=np.float64), truth) == expected
