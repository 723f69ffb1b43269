"""Mistakes that published samples for Clean Rooms ML make, and what their authors would have seen here."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from cleanroom_algo.channels.fitting import FeaturesFitter
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import AccessDeniedError, InvalidRequestError
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.local.resources.states import TRANSITIONS
from cleanroom_algo.local.room import Room
from tests.cli.support import run
from tests.scenario.conftest import CliFixture, make_desk

HEADER_EVERY_TIME = """#!/usr/bin/env python3
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404, b"")

    def do_POST(self):
        rows = self.rfile.read(int(self.headers["Content-Length"])).splitlines()
        self.answer(200, b"\\n".join([b"prediction", *(b"1" for row in rows if not row.startswith(b"x,"))]))

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080))
http.server.ThreadingHTTPServer(("0.0.0.0", port), Answer).serve_forever()
"""
TRAIN = "#!/bin/sh\ntouch ${SAGEMAKER_BASE_DIR:-/opt/ml}/model/nothing\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> CliFixture:
    """Return a desk with one trained model, which the tests leave as it is."""
    desk = make_desk(tmp_path_factory.mktemp("desk"))
    assert desk.train().status == ExitCode.OK
    return desk


def check(algorithm: Path, *words: str) -> list[dict[str, str]]:
    findings: list[dict[str, str]] = json.loads(run("check", algorithm, *words, "--json").stdout)["findings"]
    return findings


def programs(folder: Path, **texts: str) -> Path:
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def test_a_parser_that_ends_on_the_word_train(desk: CliFixture) -> None:
    folder = programs(
        desk.folder / "strict",
        train="#!/usr/bin/env python3\nimport argparse\nargparse.ArgumentParser().parse_args()\n",
    )

    checked = check(folder)
    trained = desk.run("train", folder, "--channel", f"train={desk.data}")

    findings = [each for each in checked if each["name"] == "argparse"]
    assert findings
    assert all("parse_known_args" in each["fix"] for each in findings)
    assert trained.status == ExitCode.ALGORITHM_FAILED
    assert "unrecognized arguments: train" in desk.run("logs", "strict").stdout


def test_a_hyperparameter_that_nothing_reads(desk: CliFixture) -> None:
    assert "hyperparameter-not-read" in {each["name"] for each in check(desk.algorithm, "--no-start")}


def test_a_column_less_than_expected_is_an_error_not_a_shift(desk: CliFixture) -> None:
    for path in desk.data.iterdir():
        lines = [line.rsplit(",", 1)[0] for line in path.read_text().splitlines()]
        path.write_text("\n".join(lines) + "\n")

    done = desk.train()

    assert done.status == ExitCode.CONTRACT
    assert "CR-SCH-003" in done.stderr
    assert "y" in done.stderr
    assert desk.artifacts() == []


def test_every_part_file_is_read(desk: CliFixture) -> None:
    for path in list(desk.data.iterdir()):
        other = desk.data / f"also-{path.name}"
        other.write_text(path.read_text())

    desk.train("--json")

    assert "read 80 rows" in desk.run("logs", "mean-algorithm").stdout


def test_a_header_in_every_answer_can_be_seen(desk: CliFixture) -> None:
    folder = programs(desk.folder / "chatty", train=TRAIN, serve=HEADER_EVERY_TIME)
    rows = 300_000  # 8 bytes each: more than one request of at most 1 MB
    (desk.data / "part-00000.csv").write_text("x,y\n" + "1.5,2.5\n" * rows)
    assert desk.run("train", folder, "--channel", f"train={desk.data}").status == ExitCode.OK

    done = desk.run("infer", "chatty", "--channel", desk.data / "part-00000.csv", "--max-payload-mb", 1, "--json")

    lines = Path(done.json["outputs"][0]).read_text().splitlines()
    assert lines.count("prediction") > 1
    assert lines.count("1") == rows


def test_a_column_that_is_missing_at_inference_is_not_zero(trained: CliFixture) -> None:
    narrow = trained.folder / "narrow"
    narrow.mkdir()
    (narrow / "part-00000.csv").write_text("label\na\nb\n")

    done = trained.run("infer", "mean-algorithm", "--channel", narrow)

    assert done.status == ExitCode.CONTRACT
    assert "part-00000.csv:1: 1 field(s) instead of 2; 3 such rows" in done.stderr  # without the target
    assert trained.run("show", "--json").json["trainedModelInferenceJobs"] == []


def test_an_index_that_is_read_as_a_feature_is_told_once(trained: CliFixture) -> None:
    indexed = trained.folder / "indexed.csv"
    frame = pd.DataFrame({"x": [0.5, 1.5, 2.5, 3.5], "label": None})
    frame.to_csv(indexed, header=False)

    done = trained.run("infer", "mean-algorithm", indexed)

    assert done.status == ExitCode.OK
    [warning] = [line for line in done.stderr.splitlines() if "warning:" in line]
    assert "indexed.csv has no header, and its first fields count 0, 1, 2, like an index of pandas" in warning
    assert "index=False" in warning
    frame.to_csv(indexed, header=False, index=False)
    assert "warning:" not in trained.run("infer", "mean-algorithm", indexed).stderr


def test_without_policies_nobody_sees_logs(trained: CliFixture) -> None:
    with Room(trained.home) as room:
        (model,) = room.store.find("trained-model")

    seen = trained.run("logs", model.name, "--as", model.account)

    assert seen.stdout == ""
    assert "no containerLogs policy" in seen.stderr


def test_without_an_export_policy_nobody_gets_the_model(trained: CliFixture) -> None:
    with Room(trained.home) as room:
        (model,) = room.store.find("trained-model")
        asked = {
            "membershipIdentifier": model.membership,
            "trainedModelArn": model.key,
            "name": "export",
            "outputConfiguration": {"members": [{"accountId": model.account}]},
        }
        with pytest.raises(AccessDeniedError) as caught:
            room.call("StartTrainedModelExportJob", asked, model.account)

    assert "allow no exports" in str(caught.value)
    assert "create associations with this policy" in str(caught.value)


def test_waiting_for_a_status_that_never_comes(trained: CliFixture) -> None:
    """The samples wait for CANCELLED; a cancelled model ends INACTIVE, and asking for the other is an error."""
    with Room(trained.home) as room:
        (model,) = room.store.find("trained-model")
        asked = {"membershipIdentifier": model.membership, "trainedModelArn": model.key, "status": "CANCELLED"}
        with pytest.raises(InvalidRequestError) as caught:
            room.call("ListTrainedModelVersions", asked, model.account)

    assert [problem.path for problem in caught.value.problems] == ["status"]
    assert "did you mean 'CANCEL_FAILED'?" in str(caught.value) or "must be one of" in str(caught.value)
    assert not any("CANCELLED" in table or "DELETED" in table for table in TRANSITIONS.values())


def test_features_do_not_depend_on_the_mini_batch() -> None:
    """The samples make columns of the categories that a request happens to hold."""
    schema = Schema.of(target="y", colour="string", x="float32", y="float32")
    rows = pl.DataFrame({"colour": ["red", "blue", "green"], "x": [1.0, 2.0, 3.0], "y": [0.0, 1.0, 0.0]})
    fitter = FeaturesFitter(schema)
    fitter.update(rows)
    features = fitter.finish()

    whole = features.transform(rows)
    for row in range(rows.height):
        alone = features.transform(rows[row : row + 1])
        assert alone.numeric[0].tolist() == whole.numeric[row].tolist()
        assert alone.categorical[0].tolist() == whole.categorical[row].tolist()


MANY_TO_MANY = """
[collaboration]
name = "Shop"
[members.a]
account = "111111111111"
abilities = ["CAN_QUERY"]
pays = true
[tables.users]
owner = "a"
location = "users.csv"
format = "csv"
columns = ["user", "age"]
[tables.orders]
owner = "a"
location = "orders.csv"
format = "csv"
columns = ["user", "amount"]
[algorithms.mine]
owner = "a"
image = "mean_algorithm.py"
[channels.joined]
owner = "a"
algorithm = "mine"
query = "SELECT DISTINCT u.user, u.age, o.amount FROM users u JOIN orders o ON u.user = o.user"
"""


def test_a_join_that_multiplies_rows_can_be_seen(desk: CliFixture) -> None:
    """DISTINCT does not make a row of each user again; the number of records says so before anything is trained."""
    (desk.folder / "users.csv").write_text("user,age\n1,30\n2,40\n")
    (desk.folder / "orders.csv").write_text("user,amount\n1,5\n1,6\n1,7\n2,8\n")
    (desk.folder / "cleanroom.toml").write_text(MANY_TO_MANY)

    (channel,) = desk.run("declare", desk.folder / "cleanroom.toml", "--json").json["mlInputChannels"]

    assert channel["status"] == "ACTIVE"
    assert channel["numberOfRecords"] == 4  # of two users
