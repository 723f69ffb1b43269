"""A server with two tables, and a new collaboration for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.local.api.cleanrooms.collaboration import Members
from tests.local.api.server import Up, up
from tests.local.support import algorithm_folder

SETTINGS = """
[quotas]
requests_per_second = false
[machine]
hosts = 2
[glue_tables]
"travel.flights" = "tables/flights.csv"
"sky.weather" = "tables/weather"
"sky.gone" = "tables/gone"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    home = tmp_path_factory.mktemp("home")
    (home / "settings.toml").write_text(SETTINGS)
    (home / "tables" / "weather").mkdir(parents=True)
    (home / "tables" / "flights.csv").write_text("hour,distance,late,tail\n1,100,0,N1\n2,200,1,N2\n3,300,0,N3\n")
    (home / "tables" / "weather" / "part-0.csv").write_text("hour,wind\n1,5\n2,7\n")
    (home / "tables" / "weather" / "part-1.csv").write_text("hour,wind\n3,9\n")
    algorithm_folder(home / "algorithm")
    with up(home) as running:
        yield running


@pytest.fixture
def members(server: Up) -> Members:
    return Members(server)
