"""The SM_* names, from the toolkit itself, without its side effects on us."""

import json
import os
import sys
from pathlib import Path

import pytest

from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.contract.script_names import script_names
from cleanroom_algo.errors import ScriptNamesError

pytestmark = pytest.mark.process  # the toolkit is asked in one of its own


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    paths.config.mkdir(parents=True)
    paths.hyperparameters.write_text(json.dumps({"epochs": "3", "name": "abc", "sagemaker_program": '"train.py"'}))
    paths.input_data_config.write_text(json.dumps({"train": {"TrainingInputMode": "File"}}))
    paths.resource_config.write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}))
    return paths


def test_names_arguments_and_script(paths: Paths) -> None:
    before = dict(os.environ)

    names = script_names(paths, os.environ)

    assert names.variables["SM_CHANNEL_TRAIN"] == str(paths.channel("train"))
    assert names.variables["SM_MODEL_DIR"] == str(paths.model)
    assert names.variables["SM_HP_EPOCHS"] == "3"
    assert names.arguments == ("--epochs", "3", "--name", "abc")
    assert names.entry_point == "train.py"
    assert dict(os.environ) == before
    assert "sagemaker_training" not in sys.modules
    assert not paths.code.exists()


def test_a_broken_configuration_shows_no_value(paths: Paths) -> None:
    paths.resource_config.write_text('{"canary": 4711}')

    with pytest.raises(ScriptNamesError, match="KeyError") as caught:
        script_names(paths, os.environ)

    assert "4711" not in str(caught.value)
