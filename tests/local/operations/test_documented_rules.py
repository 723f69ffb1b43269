"""Rules that the documentation states: each is enforced, or a warning in the log, as its switch says."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.errors import AccessDeniedError, ConflictError, InvalidRequestError
from cleanroom_algo.local.resources.settings import RoomSettings, Switches
from cleanroom_algo.local.room import Room
from tests.local.support import BUREAU, ROLE, RoomFixture

SEVERAL = {"instanceType": "ml.c5.xlarge", "volumeSizeInGB": 1, "instanceCount": 2}
FOREIGN = ROLE.replace("111122223333", BUREAU)


def twice(desk: RoomFixture) -> None:
    desk.add_model(1)
    desk.call("CreateTrainedModel", **desk.training(name="model-1"))


def together(desk: RoomFixture) -> None:
    desk.call("CreateTrainedModel", **desk.training(resourceConfig=SEVERAL))


def borrowed(desk: RoomFixture) -> None:
    asked = desk.query()
    desk.call("CreateMLInputChannel", **{**asked, "inputChannel": {**asked["inputChannel"], "roleArn": FOREIGN}})


def elsewhere(desk: RoomFixture) -> None:
    desk.configure()
    channel = desk.room.store.get("ml-input-channel", desk.channel)
    assert channel is not None
    desk.room.store.update(channel, document={"configuredModelAlgorithmAssociations": [f"{desk.association}x"]})
    desk.start_inference(desk.add_model(1).key)


RULES: list[Any] = [
    ("unique_model_names", twice, ConflictError, "already has a trained model with this name", "warn"),
    ("distributed_instance_types", together, InvalidRequestError, "ml.g5.24xlarge", "warn"),
    ("inference_association", elsewhere, InvalidRequestError, "for another configured model", "enforce"),
    ("foreign_roles", borrowed, AccessDeniedError, f"the role belongs to account {BUREAU}", "enforce"),
]


@pytest.mark.parametrize(("switch", "break_it", "error", "words", "default"), RULES)
@pytest.mark.process
def test_a_rule_is_enforced_or_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, switch: str, break_it: Any, error: Any, words: str, default: str
) -> None:
    assert getattr(Switches(), switch) == default
    for side in ("enforce", "warn"):
        folder = tmp_path / side
        folder.mkdir()
        with Room(folder / "home", RoomSettings(switches=Switches(**{switch: side}))) as room:
            desk = RoomFixture(room, folder)
            if side == "enforce":
                with pytest.raises(error, match=words):
                    break_it(desk)
                continue
            with caplog.at_level(logging.WARNING, "cleanroom_algo.local"):
                break_it(desk)
            told = [each.getMessage() for each in caplog.records if "AWS refuses" in each.getMessage()]
            assert len(told) == 1
            assert words in told[0]
