"""Pages of lists, tags, and what a request that fails leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.errors import (
    InvalidRequestError,
    NotEmulatedError,
    RequestError,
    ResourceNotFoundError,
)
from cleanroom_algo.local.resources.settings import RoomSettings
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.service_model.shapes import operation_names
from tests.local.support import (
    AIRLINE,
    AIRLINE_ID,
    BUREAU,
    SETTINGS,
    VERSION,
    RoomFixture,
)


def test_pages_lose_nothing_and_survive_a_restart(tmp_path: Path) -> None:
    with Room(tmp_path / "home", SETTINGS) as room:
        desk = RoomFixture(room, tmp_path)
        for number in range(25):
            desk.add_model(number)
    seen: list[str] = []
    token: dict[str, str] = {}
    for _ in range(4):
        with Room(tmp_path / "home", SETTINGS) as room:
            page = room.call(
                "ListTrainedModels", {"membershipIdentifier": AIRLINE_ID, "maxResults": 7, **token}, AIRLINE
            )
        seen += [each["name"] for each in page["trainedModels"]]
        token = {"nextToken": page["nextToken"]} if "nextToken" in page else {}
    assert seen == [f"model-{number}" for number in reversed(range(25))]
    assert not token


def test_pages_have_no_gaps_when_a_version_comes_in_between(desk: RoomFixture) -> None:
    for number in range(6):
        desk.add_model(number)
    first = desk.own("ListTrainedModels", maxResults=3)
    desk.add_model(1, version=VERSION)  # of a model on the second page
    second = desk.own("ListTrainedModels", maxResults=3, nextToken=first["nextToken"])

    names = [each["name"] for page in (first, second) for each in page["trainedModels"]]
    assert names == [f"model-{number}" for number in reversed(range(6))]
    assert second["trainedModels"][1]["versionIdentifier"] == VERSION
    assert "nextToken" not in second


def test_a_token_belongs_to_one_list(desk: RoomFixture) -> None:
    for number in range(3):
        desk.add_model(number)
    token = desk.own("ListTrainedModels", maxResults=1)["nextToken"]
    assert "model" not in token
    for operation, params in (
        ("ListMLInputChannels", {"nextToken": token}),
        ("ListTrainedModels", {"nextToken": "x" + token}),
        ("ListTrainedModels", {"nextToken": "AAAA"}),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            desk.own(operation, **params)
        assert [problem.path for problem in caught.value.problems] == ["nextToken"]


def test_tags(desk: RoomFixture) -> None:
    arn = desk.association
    desk.call("TagResource", resourceArn=arn, tags={"a": "1", "b": "2"})
    desk.call("UntagResource", resourceArn=arn, tagKeys=["a", "z"])
    assert desk.call("ListTagsForResource", resourceArn=arn)["tags"] == {"b": "2"}
    with pytest.raises(InvalidRequestError):  # 50 are documented, although the model has 200
        desk.call("TagResource", resourceArn=arn, tags={f"k{number}": "" for number in range(50)})
    with pytest.raises(InvalidRequestError):
        desk.call("TagResource", resourceArn=arn, tags={"aws:x": ""})
    with pytest.raises(ResourceNotFoundError):
        desk.call("ListTagsForResource", BUREAU, resourceArn=arn)


@pytest.mark.parametrize(
    "name", [each for each in operation_names() if "Audience" in each or "TrainingDataset" in each]
)
def test_what_is_not_emulated_says_so(desk: RoomFixture, name: str) -> None:
    with pytest.raises(NotEmulatedError, match=name):
        desk.room.call(name, {})


def test_a_request_that_fails_changes_nothing(desk: RoomFixture) -> None:
    before = desk.room.store.count("trained-model")
    faulty: list[dict[str, Any]] = [
        {"dataChannels": []},
        {"mlModelTrainingPayerAccountId": BUREAU},
        {"tags": {"aws:": ""}},
    ]
    for changed in faulty:
        with pytest.raises(RequestError):
            desk.call("CreateTrainedModel", **desk.training(**changed))
    assert desk.room.store.count("trained-model") == before
    assert desk.room.store.jobs() == []


def test_settings_of_a_state_folder(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[quotas]\nenabled = false\n[switches]\nget_default = 'base'\n")
    settings = RoomSettings.read(tmp_path)
    assert (settings.quotas.enabled, settings.switches.get_default) == (False, "base")
