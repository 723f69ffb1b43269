"""Quotas, rates, and names that are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.errors import (
    ConflictError,
    QuotaExceededError,
)
from cleanroom_algo.local.api.throttle import rate
from cleanroom_algo.local.resources.settings import Quotas
from cleanroom_algo.local.resources.states import TRANSITIONS
from tests.local.support import (
    BUREAU,
    BUREAU_ID,
    OTHER,
    ROLE,
    RoomFixture,
    desk_with,
)


def start_training(desk: RoomFixture) -> None:
    desk.call("CreateTrainedModel", **desk.training())


def start_inference(desk: RoomFixture) -> None:
    output = {"members": [{"accountId": BUREAU}]}
    desk.own(
        "StartTrainedModelInferenceJob",
        name="inference",
        trainedModelArn=desk.add_model(99).key,
        resourceConfig={"instanceType": "ml.m5.2xlarge"},
        outputConfiguration=output,
        dataSource={"mlInputChannelArn": desk.channel},
    )


def start_version(desk: RoomFixture) -> None:
    channel = {"trainedModelArn": desk.add_model(0).key, "channelName": "base"}
    desk.call("CreateTrainedModel", **desk.training(incrementalTrainingDataChannels=[channel]))


def start_query(desk: RoomFixture) -> None:
    desk.call("CreateMLInputChannel", **desk.query())


def add_algorithm(desk: RoomFixture) -> None:
    container = {"imageUri": "x"}
    desk.call("CreateConfiguredModelAlgorithm", name="one-more", roleArn=ROLE, trainingContainerConfig=container)


def add_association(desk: RoomFixture) -> None:
    desk.own("CreateConfiguredModelAlgorithmAssociation", name="one-more", configuredModelAlgorithmArn=desk.algorithm)


@dataclass(frozen=True)
class Bound:
    """A quota: what is there already counts, what does not count is there as well, and then one more is asked for."""

    name: str
    kind: str
    take: Callable[[RoomFixture], None]
    one: Mapping[str, Any] = field(default_factory=dict)
    used: int = 0


OTHERS = {"membership": BUREAU_ID}  # of the same account, in another collaboration
BOUNDS = [
    Bound("training_jobs_per_membership", "trained-model", start_training),
    Bound("training_jobs_per_account", "trained-model", start_training, OTHERS),
    Bound("training_instances_per_account", "trained-model", start_training, OTHERS),
    Bound("inference_jobs_per_membership", "trained-model-inference-job", start_inference),
    Bound("inference_jobs_per_account", "trained-model-inference-job", start_inference, OTHERS),
    Bound("input_channels_per_membership", "ml-input-channel", start_query, used=1),
    Bound("algorithms_per_account", "configured-model-algorithm", add_algorithm, used=1),
    Bound("associations_per_membership", "configured-model-algorithm-association", add_association, used=1),
]


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: bound.name)
@pytest.mark.parametrize("past", [0, 1])
def test_a_quota_at_its_limit_and_one_past_it(tmp_path: Path, bound: Bound, past: int) -> None:
    desk = desk_with(tmp_path, quotas=Quotas(**{bound.name: 3}))
    desk.configure()
    for number in range(3 - bound.used - 1 + past):
        desk.add_model(number, kind=bound.kind, status="CREATE_PENDING", **bound.one)
    if bound.kind in TRANSITIONS:
        desk.add_model(50, kind=bound.kind, status="CREATE_FAILED", **bound.one)
    if past:
        with pytest.raises(QuotaExceededError) as caught:
            bound.take(desk)
        assert caught.value.quota_value == 3
        assert caught.value.quota_name
    else:
        bound.take(desk)
    desk.room.close()


def test_the_quotas_are_the_documented_ones() -> None:
    """Clean Rooms user guide, "Quotas for AWS Clean Rooms ML"."""
    quotas = Quotas()
    of_jobs = (quotas.training_jobs_per_membership, quotas.training_jobs_per_account)
    assert of_jobs == (quotas.inference_jobs_per_membership, quotas.inference_jobs_per_account) == (5, 10)
    assert (quotas.training_instances_per_account, quotas.versions_per_trained_model) == (10, 100)
    assert (quotas.associations_per_membership, quotas.algorithms_per_account) == (1000, 1000)
    assert (quotas.input_channels_per_membership, quotas.inference_job_hours) == (100, 25)
    assert quotas.instances_of_type == {"ml.m5.2xlarge": 3, "ml.m5.4xlarge": 3, "ml.m5.12xlarge": 3}
    assert rate("CreateTrainedModel") == rate("StartTrainedModelInferenceJob") == (1, 3)
    assert rate("CreateMLInputChannel")[0] == rate("PutMLConfiguration")[0] == 10
    assert rate("StartTrainedModelExportJob")[0] == 10
    assert rate("GetTrainedModel")[0] == rate("ListTrainedModels")[0] == 50
    assert rate("DeleteTrainedModelOutput") == (2, 10)


@pytest.mark.parametrize(("count", "allowed"), [(3, True), (4, False)])
def test_instances_of_a_type(desk: RoomFixture, *, count: int, allowed: bool) -> None:
    resources = {"instanceType": "ml.m5.2xlarge", "volumeSizeInGB": 1, "instanceCount": count}
    asked = desk.training(resourceConfig=resources)
    if allowed:
        desk.call("CreateTrainedModel", **asked)
        return
    with pytest.raises(QuotaExceededError, match=r"ml\.m5\.2xlarge"):
        desk.call("CreateTrainedModel", **asked)


@pytest.mark.parametrize("past", [0, 1])
def test_versions_of_a_model(tmp_path: Path, past: int) -> None:
    desk = desk_with(tmp_path, quotas=Quotas(versions_per_trained_model=3))
    desk.add_model(0, version=OTHER, status="INACTIVE")
    for number in range(1 + past):
        desk.add_model(0, version=f"0a1b2c3d-0000-4000-8000-{number:012d}")
    if past:
        with pytest.raises(QuotaExceededError, match="Versions"):
            start_version(desk)
    else:
        start_version(desk)
    desk.room.close()


def test_quotas_can_be_changed_and_left(tmp_path: Path) -> None:
    for name, quotas in (("few", Quotas(training_jobs_per_membership=0)), ("off", Quotas(enabled=False))):
        desk = desk_with(tmp_path / name, quotas=quotas)
        for number in range(6):
            desk.add_model(number, status="CREATE_PENDING")
        try:
            desk.call("CreateTrainedModel", **desk.training())
        except QuotaExceededError:
            assert name == "few"
        else:
            assert name == "off"
        desk.room.close()


def test_names_of_algorithms_associations_and_channels_are_unique(desk: RoomFixture) -> None:
    container = {"imageUri": "x"}
    with pytest.raises(ConflictError):
        desk.call("CreateConfiguredModelAlgorithm", name="algorithm", roleArn=ROLE, trainingContainerConfig=container)
    arn = desk.algorithm
    with pytest.raises(ConflictError):
        desk.own("CreateConfiguredModelAlgorithmAssociation", name="association", configuredModelAlgorithmArn=arn)
