"""What a predictor reads of the artifacts, and what it is told of changes since training."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cleanroom_algo.contract.algorithm import source_hash
from cleanroom_algo.contract.hyperparameters import Hyperparameters
from cleanroom_algo.contract.manifest import Manifest
from cleanroom_algo.errors import ModelFilesError
from cleanroom_algo.serving.artifacts import Artifacts


class Before(Hyperparameters):
    rate: float = 0.5


class Since(Hyperparameters):
    rate: float = 0.25
    depth: int = 4


def artifacts(folder: Path, **members: object) -> Artifacts:
    Manifest(algorithm="Mine", **members).write(folder)
    return Artifacts(folder)


def test_a_changed_default_does_not_change_the_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = artifacts(tmp_path, hyperparameters=Before().effective())
    with caplog.at_level(logging.WARNING):
        assert found.hyperparameters(Since) == Since(rate=0.5, depth=4)
    assert "without these hyperparameters; their defaults are used: depth" in caplog.text


def test_values_that_were_left_out_are_missed(tmp_path: Path) -> None:
    with pytest.raises(ModelFilesError, match="without their values"):
        artifacts(tmp_path, hyperparameters={"rate": None}).hyperparameters(Before)


def test_other_sources_than_in_training_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    code, model = tmp_path / "late.py", tmp_path / "model"
    model.mkdir()
    code.write_text("a = 1\n")
    found = artifacts(model, source_hash=source_hash(code))
    with caplog.at_level(logging.WARNING):
        found.tell_changes(str(code))
        assert caplog.text == ""
        code.write_text("a = 2\n")
        found.tell_changes(str(code))
    assert "the source files of the algorithm have changed" in caplog.text
