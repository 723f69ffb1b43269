"""What a newcomer does on the first day, and what comes of it."""

from __future__ import annotations

import io
import json
import re

import pytest

from tests.scenario.conftest import CliFixture


def test_train_show_logs_infer_clean(desk: CliFixture) -> None:
    trained = desk.train("--hyperparameter", "power=2", "--json")
    assert trained.status == 0, trained.stderr
    assert trained.json["status"] == "ACTIVE"
    assert trained.stderr.count("algo-1 | read 40 rows") == 1
    name = trained.json["name"]

    assert desk.model()["status"] == "ACTIVE"
    assert desk.model()["hyperparameters"] == {"power": "2"}
    assert name in desk.run("show").stdout
    screen = desk.run("show", name).stdout
    assert screen.startswith(f"{name}:base  ACTIVE  ")
    assert f"  train  40 rows  3 objects  {sum(each.stat().st_size for each in desk.data.iterdir())} bytes  " in screen
    assert f"\n      {desk.data}\n" in screen
    assert re.search(r"^  power +2$", screen, re.MULTILINE)
    assert "\n  2 bytes  rows.txt\n" in screen
    assert f"\n  algorithm {desk.algorithm}\n" in screen

    logs = desk.run("logs", name)
    assert logs.status == 0
    assert "read 40 rows" in logs.stdout

    predicted = desk.run("infer", name, "--channel", desk.data, "--json")
    assert predicted.status == 0, predicted.stderr
    assert predicted.json["status"] == "ACTIVE"
    assert predicted.json["rows"] == 40

    second = desk.train("--base-model", name, "--json")
    assert second.status == 0, second.stderr
    assert second.json["trainedModelArn"] == trained.json["trainedModelArn"]
    assert second.json["versionIdentifier"]
    assert len(desk.models()) == 2
    screen = desk.run("show", name).stdout
    assert f"\n  trained from  {name}:base\n" in screen
    assert f"\n  version       {name}:base  ACTIVE  " in screen

    assert desk.run("clean").status == 2  # a state folder may hold days of work: it must be asked for by name
    assert desk.run("clean", "--yes").status == 0
    assert not desk.home.exists() or not any(desk.home.iterdir())


def test_an_own_fit_is_told_that_two_hosts_share_the_objects(desk: CliFixture) -> None:
    trained = desk.train("--hosts", 2, "--distribution", "ShardedByS3Key", "--json")
    assert trained.status != 0
    assert "CR-TRN-006  " in trained.stderr
    assert "s3DataDistributionType to FullyReplicated" in trained.stderr


def test_the_plan_runs_nothing(desk: CliFixture) -> None:
    words = (desk.algorithm, "--channel", f"train={desk.data}", "--hosts", 2)
    planned = desk.run("plan", *words, "--json")
    assert planned.status == 0, planned.stderr
    assert len(planned.json["hosts"]) == 2
    assert desk.models() == []


def test_the_request_file_goes_the_same_way(desk: CliFixture) -> None:
    written = desk.folder / "request.json"
    planned = desk.run("plan", desk.algorithm, "--channel", f"train={desk.data}", "--print-request")
    assert planned.status == 0, planned.stderr
    written.write_text(planned.stdout)
    request = json.loads(planned.stdout)
    assert request["dataChannels"][0]["channelName"] == "train"
    assert request["environment"] == {"CLEANROOM_ALGO_TRACEBACKS": "whole"}
    bound = ("--algorithm", desk.algorithm, "--channel", f"train={desk.data}")
    trained = desk.run("train", "--request", written, *bound, "--json")
    assert trained.status == 0, trained.stderr


def test_a_failed_retraining_hides_nothing(desk: CliFixture) -> None:
    assert desk.train("--hyperparameter", "power=2").status == 0
    assert desk.train("--hyperparameter", "power=3").status == 0
    assert desk.train("--name", "plain").status == 0
    compared = desk.run("compare", "mean-algorithm", "plain", "--json").json
    assert compared["hyperparameter power"] == ["3", "1.0"]  # the default of the second
    assert desk.run("clean", "plain").status == 0
    desk.algorithm.write_text(desk.algorithm.read_text().replace("print(", "raise ValueError('no'); print("))
    assert desk.train().status != 0

    rows = [line.split() for line in desk.run("show").stdout.splitlines() if line.startswith("mean-algorithm ")][:3]
    assert [row[2] for row in rows] == ["CREATE_FAILED", "ACTIVE", "ACTIVE"]  # the newest first
    assert [row[-1] for row in rows[1:]] == ["power=3", "power=2"]
    assert desk.run("show", "mean-algorithm", "--json").json["status"] == "ACTIVE"
    assert "ValueError" in desk.run("logs", "mean-algorithm").stdout  # that of the newest
    failed = desk.run("show", desk.models()[-1]["trainedModelArn"]).stdout
    assert failed.startswith("mean-algorithm:base  CREATE_FAILED  ")
    assert "\nCR-JOB-303  mean-algorithm: ValueError: no\n  fix       correct mean_algorithm.py:" in failed
    assert desk.run("logs", "mean-algorithm", "--follow").stdout == desk.run("logs", "mean-algorithm").stdout
    compared = desk.run("compare", "mean-algorithm", "mean-algorithm", "--json").json
    assert compared["hyperparameter power"] == ["3", "3"]
    assert compared["channel train"] == [str(desk.data)] * 2

    assert desk.run("clean", "--failed", "--json").json == {"removed": ["mean-algorithm"]}
    assert [each["status"] for each in desk.models()] == ["ACTIVE", "ACTIVE"]
    assert desk.run("clean", "nothing").status != 0
    assert len(desk.run("clean", "mean-algorithm", "--json").json["removed"]) == 2
    assert desk.models() == []


def test_rows_go_in_and_predictions_come_out(desk: CliFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.run("train", desk.algorithm, "--channel", desk.data).status == 0
    request = desk.run("infer", "mean-algorithm", desk.data, "--print-request").json
    assert request["outputConfiguration"]["members"] == [{"accountId": "111122223333"}]
    assert desk.run("show", "--json").json["trainedModelInferenceJobs"] == []

    monkeypatch.setattr("sys.stdin", io.StringIO("x,label,y\n2,a,0\n5,b,0\n"))
    beside = desk.run("infer", "mean-algorithm", "-", "--beside", "--output", desk.folder / "out")
    assert (beside.status, beside.stdout) == (0, "x,label,y,prediction\n2,a,0,1.0\n5,b,0,2.5\n"), beside.stderr
    assert (desk.folder / "out/predictions.csv").read_text() == beside.stdout
