"""Trained models and their versions beside a model of them, in a room whose jobs go on when the test says so."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, precondition, rule

from cleanroom_algo.errors import ConflictError, QuotaExceededError, RequestError, ResourceNotFoundError
from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.resources.states import move
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.room import Room
from tests.local.support import AIRLINE_ID, SETTINGS, RoomFixture

KIND = "trained-model"
PLACES = 3  # active training instances of ml.m5.2xlarge (Clean Rooms user guide, quotas)
TAKES_A_PLACE = {"CREATE_PENDING", "CREATE_IN_PROGRESS", "CANCEL_PENDING"}
UNDER_WAY = {"CREATE_PENDING", "CREATE_IN_PROGRESS"}
Model = tuple[str, str | None]


class ModelMachine(RuleBasedStateMachine):
    """The model: the status of each (ARN, version) in the order of creation, and what each version starts from."""

    models = Bundle("models")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.room = Room(Path(self.folder.name), SETTINGS)
        self.room.caller = Caller(self.room.workspace, lambda: None)  # jobs wait for the test
        self.desk = RoomFixture(self.room, Path(self.folder.name))
        self.statuses: dict[Model, str] = {}
        self.bases: dict[Model, Model] = {}

    def teardown(self) -> None:
        for model, status in self.statuses.items():
            if status in {*UNDER_WAY, "CANCEL_PENDING", "DELETE_PENDING"}:
                self.end(model)
        self.room.close()
        self.folder.cleanup()

    def record(self, model: Model) -> Record:
        found = self.room.store.get(KIND, *model)
        assert found is not None
        return found

    def end(self, model: Model) -> None:
        job = self.room.store.job_of(self.record(model))
        assert job is not None
        assert self.room.store.end_job(job)

    def go(self, model: Model, *statuses: str) -> None:
        for status in statuses:
            move(self.room.store, self.record(model), status)
        self.statuses[model] = statuses[-1]

    def ask(self, operation: str, model: Model, **params: Any) -> dict[str, Any]:
        version = {} if model[1] is None else {"versionIdentifier": model[1]}
        return self.desk.own(operation, trainedModelArn=model[0], **version, **params)

    def refused(self, kind: type[RequestError], operation: str, **params: Any) -> None:
        try:
            self.desk.own(operation, **params)
        except kind:
            return
        raise AssertionError(f"{operation} was not refused")

    def full(self) -> bool:
        return sum(status in TAKES_A_PLACE for status in self.statuses.values()) >= PLACES

    def create(self, base: Model | None) -> Any:
        wanted = self.desk.training(name=f"model-{len(self.statuses)}")
        del wanted["membershipIdentifier"]
        if base is not None:
            version = {} if base[1] is None else {"versionIdentifier": base[1]}
            channel = {"trainedModelArn": base[0], "channelName": "base", **version}
            wanted["incrementalTrainingDataChannels"] = [channel]
        if base is not None and base[1] is not None and self.statuses[base] != "ACTIVE":
            self.refused(ConflictError, "CreateTrainedModel", **wanted)
            return multiple()
        if self.full():
            self.refused(QuotaExceededError, "CreateTrainedModel", **wanted)
            return multiple()
        created = self.desk.own("CreateTrainedModel", **wanted)
        model = created["trainedModelArn"], created.get("versionIdentifier")
        assert (model[1] is None) == (base is None)
        assert model not in self.statuses
        self.statuses[model] = "CREATE_PENDING"
        if base is not None:
            assert model[0] == base[0]
            self.bases[model] = base
        return model

    @rule(target=models)
    def create_base(self) -> Any:
        return self.create(None)

    @rule(target=models, base=models.filter(lambda model: model[1] is not None))
    def create_version_from_version(self, base: Model) -> Any:
        return self.create(base)

    @rule(target=models, base=models)
    def create_version_from_only_the_base(self, base: Model) -> Any:
        alone = [model for model in self.statuses if model[0] == base[0]] == [(base[0], None)]
        if not alone or self.statuses[(base[0], None)] != "ACTIVE":
            return multiple()  # without a version the latest is meant, which the switches' tests try
        return self.create((base[0], None))

    @rule(model=models, fails=st.booleans())
    def job_goes_on(self, model: Model, *, fails: bool) -> None:
        match self.statuses[model]:
            case "CREATE_PENDING":
                self.go(model, "CREATE_IN_PROGRESS")
            case "CREATE_IN_PROGRESS":
                self.end(model)
                self.go(model, "CREATE_FAILED" if fails else "ACTIVE")
            case "CANCEL_PENDING":
                self.end(model)
                self.go(model, "CANCEL_IN_PROGRESS", "INACTIVE")
            case "DELETE_PENDING":
                self.end(model)
                self.go(model, "DELETE_IN_PROGRESS", "INACTIVE")

    @rule(model=models)
    def cancel(self, model: Model) -> None:
        if self.statuses[model] in UNDER_WAY:
            assert self.ask("CancelTrainedModel", model) == {}
            self.statuses[model] = "CANCEL_PENDING"
            return
        version = {} if model[1] is None else {"versionIdentifier": model[1]}
        self.refused(ConflictError, "CancelTrainedModel", trainedModelArn=model[0], **version)

    @rule(model=models)
    def delete(self, model: Model) -> None:
        in_use = any(base == model and self.statuses[each] in UNDER_WAY for each, base in self.bases.items())
        if self.statuses[model] in {"ACTIVE", "CREATE_FAILED"} and not in_use:
            assert self.ask("DeleteTrainedModelOutput", model) == {}
            self.statuses[model] = "DELETE_PENDING"
            return
        version = {} if model[1] is None else {"versionIdentifier": model[1]}
        self.refused(ConflictError, "DeleteTrainedModelOutput", trainedModelArn=model[0], **version)

    @precondition(lambda self: self.statuses)
    @rule(status=st.sampled_from(["CREATE_PENDING", "ACTIVE", "INACTIVE", "CREATE_FAILED"]))
    def versions_of_a_status(self, status: str) -> None:
        for arn in {arn for arn, _ in self.statuses}:
            wanted = [model for model in self.statuses if model[0] == arn and self.statuses[model] == status]
            assert self.pages("ListTrainedModelVersions", trainedModelArn=arn, status=status) == wanted[::-1]

    def pages(self, operation: str, **params: Any) -> list[Model]:
        found: list[Model] = []
        token: dict[str, str] = {}
        while True:
            answer = self.desk.own(operation, maxResults=2, **params, **token)
            found += [(each["trainedModelArn"], each.get("versionIdentifier")) for each in answer["trainedModels"]]
            if "nextToken" not in answer:
                return found
            token = {"nextToken": answer["nextToken"]}

    @invariant()
    def both_hold_the_same(self) -> None:
        versions: dict[str, list[Model]] = {}
        for model, status in self.statuses.items():
            versions.setdefault(model[0], []).append(model)
            if model[1] is not None:  # without a version the latest is shown
                shown = self.ask("GetTrainedModel", model)
                assert (shown["status"], shown["versionIdentifier"]) == (status, model[1])
                (channel,) = shown["incrementalTrainingDataChannels"]
                assert channel.get("versionIdentifier") == self.bases[model][1]
            else:
                assert self.record(model).status == status
        for arn, models in versions.items():
            assert self.pages("ListTrainedModelVersions", trainedModelArn=arn) == models[::-1]
            assert self.desk.own("GetTrainedModel", trainedModelArn=arn).get("versionIdentifier") == models[-1][1]
        assert sorted(self.pages("ListTrainedModels")) == sorted(models[-1] for models in versions.values())
        nobodys = f"arn:aws:cleanrooms-ml:us-east-1:111122223333:membership/{AIRLINE_ID}/trained-model/{AIRLINE_ID}"
        self.refused(ResourceNotFoundError, "GetTrainedModel", trainedModelArn=nobodys)


ModelMachine.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.filter_too_much],  # of few models, none may have a version
)
TestModelMachine = ModelMachine.TestCase
