"""The rows of differences: real operations, real switches, each open question named."""

import pytest

from cleanroom_algo.local.differences import DIFFERENCES, differences_for
from cleanroom_algo.local.operations.registry import ml_operation
from cleanroom_algo.local.resources.settings import Switches
from cleanroom_algo.local.service_model.shapes import CLEANROOMS, ML, operation_names
from tests.cli.support import run


def test_every_operation_and_switch_exists() -> None:
    names = {*operation_names(ML), *operation_names(CLEANROOMS)}

    assert {each for row in DIFFERENCES for each in row.operations} <= names
    assert {row.switch for row in DIFFERENCES} - {""} <= set(Switches.model_fields)


def test_every_switch_has_a_row_that_says_why() -> None:
    assert set(Switches.model_fields) <= {row.switch for row in DIFFERENCES}


def test_every_emulated_operation_has_rows() -> None:
    assert not [
        name for name in ml_operation.emulated if not {row.provenance for row in differences_for(name)} - {"model"}
    ]


def test_nothing_is_called_recorded_without_a_recording() -> None:
    assert not [row for row in DIFFERENCES if row.provenance == "recorded"]


@pytest.mark.parametrize("operation", ["CreateTrainedModel", "StartTrainedModelExportJob"])
def test_the_command_prints_the_rows_of_an_operation(operation: str) -> None:
    done = run("differences", operation, "--json")

    assert done.status == 0
    assert [row["here"] for row in done.json] == [row.here for row in differences_for(operation)]
    assert 0 < len(done.json) < len(DIFFERENCES)


def test_an_unknown_operation_suggests_the_nearest() -> None:
    done = run("differences", "CreateTrainedModels")

    assert done.status == 2
    assert "did you mean 'CreateTrainedModel'" in done.stderr
