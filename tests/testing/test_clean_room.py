"""The fixture `clean_room`: trains and predicts as the commands do, in a room of the test's own."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from cleanroom_algo.errors import (
    AccessDeniedError,
    ChannelDataError,
    InvalidRequestError,
    JobStoppedError,
    NoSuchRecordError,
    SchemaError,
    UsageError,
)
from cleanroom_algo.local import CleanRoom
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.results import check_ended_well
from cleanroom_algo.local.room import Room
from cleanroom_algo.testing import JobFailed

ALGORITHM = """
import json

from cleanroom_algo import Hyperparameters, Predictor, Schema, Trainer


class Knobs(Hyperparameters):
    above: float = 0.0


class Count(Trainer):
    schema = Schema.of(target="late", name="string", distance="float64?", late="bool")
    hyperparameters = Knobs

    def fit(self):
        before = 0 if self.base is None else json.loads(self.base.file("count.json").read_text())["rows"]
        self.count = before + self.table().height
        print("counted", self.count)
        self.log(count=self.count)

    def save(self, directory):
        (directory / "count.json").write_text(json.dumps({"rows": self.count}))


class Far(Predictor):
    def load(self, artifacts):
        self.above = artifacts.hyperparameters(Knobs).above

    def predict(self, frame):
        return ["far" if each else "near" for each in frame["distance"].fill_null(0) > self.above]
"""
FRAME = pl.DataFrame(
    {"name": ["007", "8", "x,y", 'a"b'], "distance": [1.0, 20.0, None, 30.0], "late": [False, True, False, True]}
)

SEPARATED = """
from cleanroom_algo import Csv, Predictor, Schema, Trainer


class Separated(Trainer):
    schema = Schema.of(
        target="y", a="float64?", tags="list[float64]", y="float64",
        csv=Csv(delimiter=";", decimal=",", null_values=["NA"]), extra_columns="ignore",
    )

    def fit(self):
        self.log(a=self.table()["a"].sum())

    def save(self, directory):
        (directory / "none.txt").touch()


class Sum(Predictor):
    def load(self, artifacts):
        pass

    def predict(self, frame):
        return frame["a"].fill_null(-1.0) + frame["tags"].list.sum()
"""

CATEGORIES = """
from cleanroom_algo import Predictor, Schema, Trainer


class Zones(Trainer):
    schema = Schema.of(target="late", zone="string?", carrier="string", late="bool")

    def fit(self):
        self.features = self.fit_features()

    def save(self, directory):
        pass


class Zero(Predictor):
    def load(self, artifacts):
        pass

    def predict_arrays(self, arrays):
        return [0] * arrays.rows
"""


@pytest.fixture
def algorithm(tmp_path: Path) -> Path:
    path = tmp_path / "algorithm.py"
    path.write_text(ALGORITHM)
    return path


def test_a_server_reads_csv_as_the_schema_declares_it(clean_room: CleanRoom, tmp_path: Path) -> None:
    (tmp_path / "algorithm.py").write_text(SEPARATED)
    rows = ';a;tags;y\n0;1,5;"[1, 2.5]";2,5\n1;NA;[];3,5\n'
    model = clean_room.train(tmp_path / "algorithm.py", train={"a.csv": rows})
    assert model.metrics == {"a": 1.5}

    job = clean_room.infer(model, {"a.csv": rows})
    assert job.warnings == []  # the header names all columns, so it is known to be one
    assert job.predictions["prediction"].to_list() == [5.0, -1.0]
    assert job.predictions["a"].to_list() == ["1,5", "NA"]

    frame = pl.DataFrame({"a": [1.5, None], "tags": [[1.0, 2.5], []], "y": [2.5, 3.5]})
    assert clean_room.train(tmp_path / "algorithm.py", train=frame, name="frame").metrics == {"a": 1.5}
    found = clean_room.infer(model, frame)
    assert found.predictions["prediction"].to_list() == [5.0, -1.0]
    (tmp_path / "algorithm.py").write_text(SEPARATED.replace('delimiter=";"', "delimiter=chr(59)"))
    assert clean_room.train(tmp_path / "algorithm.py", train=frame, name="computed").metrics == {"a": 1.5}


def test_categories_that_are_written_in_another_way_are_a_warning(clean_room: CleanRoom, tmp_path: Path) -> None:
    (tmp_path / "algorithm.py").write_text(CATEGORIES)
    zones = pl.Series("zone", [1094, None, 1] * 20)
    rows = pl.DataFrame({"zone": zones.cast(pl.Float64), "carrier": ["AA", "B6", "DL"] * 20, "late": [True] * 60})
    model = clean_room.train(tmp_path / "algorithm.py", train=rows)
    assert clean_room.infer(model, rows).warnings == []

    job = clean_room.infer(model, rows.with_columns(zone=zones), instances=2, name="other")
    [warning] = job.warnings
    assert "no value that the model knows in zone; write the values as in the training data" in warning
    lines = [line.text for line in clean_room.logs(job) if "unknown categories" in line.text]
    assert len([line for line in lines if " WARNING " in line]) == 2  # of each process once
    assert not any("AA" in line or "carrier" in line for line in lines)


def test_rows_of_training_and_of_validation_and_no_rows(clean_room: CleanRoom, algorithm: Path) -> None:
    held_out = FRAME.reverse()
    model = clean_room.train(algorithm, train=FRAME, validation=held_out)
    assert clean_room.infer(model, FRAME, name="own").predicts_training_rows
    assert not clean_room.infer(model, held_out, name="other").predicts_training_rows
    [warning] = clean_room.infer(model, FRAME.clear(), name="none").warnings
    assert "the channel has no rows" in warning


def test_a_model_is_trained_trained_on_and_asked(clean_room: CleanRoom, algorithm: Path) -> None:
    model = clean_room.train(algorithm, train=FRAME, input_mode="FastFile", hyperparameters={"above": 15})
    newer = clean_room.train(algorithm, train={"a.csv": FRAME.write_csv()}, base_model=model)

    assert (model.version, model.metrics) == (None, {"count": 4.0})
    assert (newer.arn, newer.metrics) == (model.arn, {"count": 8.0})
    assert set(model.files) == {"count.json", "manifest.json"}
    assert [each.version for each in clean_room.models()] == [newer.version, None]
    assert clean_room.model(f"{model.name}:base").metrics == model.metrics
    assert ("algo-1", "counted 8") in [(line.host, line.text) for line in clean_room.logs(newer)]

    job = clean_room.infer(model, FRAME, instances=2, max_payload_mb=1)
    assert job.warnings == []
    assert job.predictions.equals(FRAME.with_columns(prediction=pl.Series(["near", "far", "near", "far"])))
    before = clean_room.room.store.find("ml-input-channel")
    with pytest.raises(SchemaError, match=r"a\.csv:2:distance"):
        clean_room.infer(model, {"a.csv": "name,distance\nx,far\n"})
    with pytest.raises(InvalidRequestError, match="slashes"):
        clean_room.infer(model, FRAME, name="x/../y")
    assert clean_room.room.store.find("ml-input-channel") == before  # what is refused leaves nothing
    again = clean_room.infer(newer, {"a.csv": FRAME.drop("late").write_csv()})
    assert again.predictions["name"].to_list() == FRAME["name"].to_list()


def test_policies_decide_what_members_get(clean_room: CleanRoom, algorithm: Path) -> None:
    account = "111122223333"
    policies = {
        "trainedModels": {"containerLogs": [{"allowedAccountIds": [account], "filterPattern": "counted"}]},
        "trainedModelExports": {"maxSize": {"unit": "GB", "value": 0.1}, "filesToExport": ["MODEL"]},
    }
    model = clean_room.train(algorithm, train=FRAME, policies=policies)
    assert [line.text for line in clean_room.logs(model, as_account=account)] == ["counted 4"]
    assert [Path(each).name for each in clean_room.export(model).outputs] == ["model.tar.gz"]
    with pytest.raises(AccessDeniedError, match="no exports"):
        clean_room.export(clean_room.train(algorithm, train=FRAME, name="without"))


def test_what_fails_is_raised_with_its_code_and_reason(clean_room: CleanRoom, algorithm: Path) -> None:
    with pytest.raises(JobFailed) as failed:
        clean_room.train(algorithm, train={"a.csv": "name,distance,late\nx,1.0,maybe\n"})
    assert failed.value.code == "CR-SCH-002"
    assert "train/a.csv:2:late" in failed.value.reason
    with pytest.raises(ChannelDataError, match="the channel 'train' cannot be created from set"):
        clean_room.train(algorithm, train={1, 2})
    with pytest.raises(NoSuchRecordError, match="nothing"):
        clean_room.infer("nothing", FRAME)


def test_an_interrupted_cell_ends_its_job(tmp_path: Path) -> None:
    train = tmp_path / "algorithm" / "train"
    train.parent.mkdir()
    train.write_text("#!/bin/sh\necho started\nexec sleep 600\n")
    train.chmod(0o755)
    seen: list[Record] = []

    def interrupt(room: Room, started: Record) -> Record:
        running = threading.Event()
        room.supervisor.listen(started.key, started.version, SimpleNamespace(line=lambda *_: running.set()))
        seen.append(started)
        assert running.wait(60)
        raise KeyboardInterrupt

    with CleanRoom(tmp_path / "room", host_kind="process", follow=interrupt) as room:
        with pytest.raises(KeyboardInterrupt):
            room.train(train.parent, train=FRAME)
        record = room.room.wait(seen[0].key, timeout=60)
    with pytest.raises(JobFailed, match="stopped") as stopped:
        check_ended_well(record, room.room.workspace)
    assert stopped.value.code == JobStoppedError.code


def test_a_notebook_shows_progress_and_results(
    tmp_path: Path, algorithm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    handle = SimpleNamespace(update=shown.append)

    def show(text: str, *, display_id: bool) -> SimpleNamespace:
        shown.append(text)
        return handle

    display = SimpleNamespace(HTML=str, display=show)
    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=True), display=display)
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    with CleanRoom(tmp_path / "room", host_kind="process") as room:
        model = room.train(algorithm, train=FRAME)
    assert shown[0].startswith("<code>algorithm  starting")
    assert shown[-1].startswith("<code>algorithm  ACTIVE")
    assert re.search(r">count</th><td [^>]*>4</td>", model._repr_html_())
    with pytest.raises(UsageError, match="'docket' is not a kind of hosts"):
        CleanRoom(tmp_path / "room", host_kind="docket")
