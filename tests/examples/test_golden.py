"""Golden losses: each example on each layout gives the numbers it gave before, on the same rows with the same seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleanroom_algo.contract.manifest import Manifest
from tests.examples.support import write_flights, write_weather
from tests.training.support import Container, run_all, two_hosts

EXAMPLES = Path(__file__).parents[2] / "examples"
TEMPLATES = Path(__file__).parents[2] / "cleanroom_algo/local/templates"
TWO_RANKS = {"CLEANROOM_ALGO_RANKS_PER_HOST": "2"}

# Other processors round otherwise, a wrong weight or order of rows shows from the third digit on.
TOLERANCE = 5e-4


def parts(folder: Path) -> dict[str, str | bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | bytes]:
    folder = tmp_path_factory.mktemp("golden") / "flights"
    write_flights(folder, "1, 3", parts=4)
    return parts(folder)


@pytest.mark.parametrize(
    ("layout", "losses"),
    [
        ("one rank", [0.5732, 0.5196]),
        ("two ranks", [0.6007, 0.5444]),
        ("two hosts", [0.6032, 0.5441]),
        ("two hosts with two ranks", [0.6345, 0.5600]),
    ],
)
def test_flight_delay(tmp_path: Path, flights: dict[str, str | bytes], layout: str, losses: list[float]) -> None:
    settings = {"epochs": "2", "batch_size": "256"}
    algorithm = EXAMPLES / "flight_delay"
    variables = TWO_RANKS if "two ranks" in layout else {}
    if "two hosts" in layout:
        names = sorted(flights)
        shares = [{name: flights[name] for name in names[start::2]} for start in range(2)]
        hosts = two_hosts(tmp_path, algorithm, shares, **settings)
    else:
        hosts = [Container(tmp_path, algorithm, hyperparameters=settings).channel("train", flights)]
    ended = run_all(hosts, **variables)
    assert [each.status for each in ended] == [0] * len(hosts), ended
    assert ended[0].metrics("epoch_train_loss") == pytest.approx(losses, abs=TOLERANCE)


def test_sklearn_logistic(tmp_path: Path) -> None:
    write_weather(tmp_path / "rows", parts=2)
    container = Container(tmp_path / "ml", TEMPLATES / "sklearn/algorithm", hyperparameters={"epochs": "5"})
    ended = container.channel("train", parts(tmp_path / "rows")).run()
    assert ended.status == 0, ended.err
    assert Manifest.read(container.model).metrics == pytest.approx({"epoch": 5, "accuracy": 0.9452}, abs=TOLERANCE)
