"""Rows that a model cannot read are refused before an inference job starts; what a server may read is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import CleanroomError
from cleanroom_algo.local.first_rows import check_first_rows
from cleanroom_algo.local.room import Room
from tests.local.support import SETTINGS, RoomFixture
from tests.local.ui.support import add_model

SCHEMA = Schema.of(target="late", carrier="string", miles="float32", late="bool")
GOOD = "carrier,miles\nAA,1.5\n"
BAD = "carrier,miles\nAA,1.5\nAA,far\n"


def check(folder: Path, rows: str, *, programs: str = "", **environment: str) -> None:
    """Check rows for a model of an algorithm in a folder."""
    with Room(folder / "home", SETTINGS) as room:
        desk = RoomFixture(room, folder)
        (desk.folder / "data-train/part-0.csv").write_text(rows)
        (desk.folder / "data-train/part-1.csv").unlink()
        algorithm = folder / "mine"
        algorithm.mkdir()
        (algorithm / (programs or "algorithm.py")).write_text("")
        (algorithm / (programs or "algorithm.py")).chmod(0o755)
        (record,) = room.store.find("configured-model-algorithm")
        room.store.update(record, private={"location": str(algorithm)})
        params = {
            "trainedModelArn": add_model(desk, SCHEMA).key,
            "configuredModelAlgorithmAssociationArn": desk.association,
            "dataSource": {"mlInputChannelArn": desk.channel},
            "environment": environment,
        }
        check_first_rows(room.workspace, params)


@pytest.mark.parametrize(
    ("rows", "code", "told"),
    [
        (BAD, "CR-SCH-002", "correct these rows, or train again.*part-0.csv:3:miles: not of type float32: text"),
        ("carrier,miles,more\nAA,1.5,2\n", "CR-SCH-003", "leave these columns out"),
        ('{"carrier": "AA", "miles": 1.5}\n', "CR-SCH-002", "write the rows as CSV"),
        ("PAR1", "CR-JOB-201", "is a Parquet file"),
    ],
)
def test_rows_that_the_server_would_refuse(tmp_path: Path, rows: str, code: str, told: str) -> None:
    with pytest.raises(CleanroomError) as caught:
        check(tmp_path, rows)

    assert caught.value.code == code
    assert re.search(told, str(caught.value), re.DOTALL)


@pytest.mark.parametrize(
    "rows", [GOOD, "AA,1.5\n", "late,miles,carrier\n,1.5,AA\n", "AA,1.5,yes\n", "\n\n" + BAD, "\ufeff" + GOOD, ""]
)
def test_rows_that_the_server_reads(tmp_path: Path, rows: str) -> None:
    check(tmp_path, rows)


@pytest.mark.parametrize("programs", ["serve", "inference.py"])
def test_servers_of_the_algorithm_read_in_their_own_way(tmp_path: Path, programs: str) -> None:
    check(tmp_path, BAD, programs=programs)


@pytest.mark.parametrize(
    "environment", [{"CLEANROOM_ALGO_SERVE_BAD_RECORDS": "placeholder"}, {"SAGEMAKER_PROGRAM": "serve.py"}]
)
def test_variables_may_let_a_container_read_bad_rows(tmp_path: Path, environment: dict[str, str]) -> None:
    check(tmp_path, BAD, **environment)
