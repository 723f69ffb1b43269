"""Templates that cfn-lint accepts, and scripts whose calls fit botocore's model, of rooms with odd texts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom_algo.errors import InvalidRequestError, TemplateError
from cleanroom_algo.local.deploy.api_calls import room_calls
from cleanroom_algo.local.deploy.documents import member_files
from cleanroom_algo.local.deploy.placeholders import distinct, identifier, logical, placeholders
from cleanroom_algo.local.deploy.rehearsal import Rehearsal
from cleanroom_algo.local.deploy.rehearsed import of_algorithm
from cleanroom_algo.local.deploy.stack import Stack
from cleanroom_algo.local.deploy.yaml_text import to_yaml
from cleanroom_algo.local.setup.declaration import read_declaration
from tests.cli.support import run
from tests.local.deploy.support import (
    MEMBERSHIP,
    ODD_LINE,
    ODD_TEXT,
    OWNER,
    QUERY,
    RecordingClient,
    odd_jobs,
    odd_room,
    rehearsal_in,
    store_in,
)

EXAMPLE = Path(__file__).parents[3] / "examples/flight_delay/cleanroom.toml"


def joined(value: Any) -> str:
    """Return the text of a value that CloudFormation joins."""
    between, parts = value["Fn::Join"]
    return str(between.join(parts))


def test_cfn_lint_accepts_the_templates(tmp_path: Path) -> None:
    lint = pytest.importorskip("cfnlint.api", reason="pip install cfn-lint").lint
    with store_in(tmp_path) as store:
        odd_jobs(store)
        alone = of_algorithm(store, "x", [], {"training": (), "inference": ()})
        example = Rehearsal(read_declaration(EXAMPLE))
        room = rehearsal_in(store)
        chosen = [(room, OWNER, True), (room, "third", False), (example, "airline", True), (alone, "author", False)]
        made = [member_files(store, each, member, clean_room=whole, form="yaml") for each, member, whole in chosen]
        texts = [next(iter(each.files.values())) for each in made]
    for text in texts:
        found = [str(match) for match in lint(text, regions=["us-east-1"])]
        assert found == []


def test_a_template_holds_what_was_rehearsed(tmp_path: Path) -> None:
    with store_in(tmp_path) as store:
        room = rehearsal_in(store)
        files = member_files(store, room, OWNER, clean_room=True, form="json").files
    document = json.loads(next(iter(files.values())))
    found = {each["Type"].rpartition("::")[2]: each["Properties"] for each in document["Resources"].values()}
    entry = odd_room().algorithms["日本"]
    container = found["ConfiguredModelAlgorithm"]["TrainingContainerConfig"]
    assert container["Entrypoint"][2] == entry.entrypoint[2]
    assert joined(container["Entrypoint"][1]) == entry.entrypoint[1]
    assert container["Arguments"][:8] == list(entry.arguments[:8])
    assert joined(container["MetricDefinitions"][0]["Regex"]) == entry.metric_definitions[0]["regex"]
    assert joined(found["AnalysisTemplate"]["Source"]["Text"]) == odd_room().templates["day"].query
    policies = found["ConfiguredModelAlgorithmAssociation"]["PrivacyConfiguration"]["Policies"]
    accounts = policies["TrainedModels"]["ContainerLogs"][0]["AllowedAccountIds"]
    assert accounts == [{"Ref": "AWS::AccountId"}, {"Ref": "Account333333333333"}, "999999999999"]
    assert policies["TrainedModels"]["MaxArtifactSize"] == {"Unit": "GB", "Value": 5.5}
    images = [found[each]["RepositoryName"] for each in ("Repository",)]
    assert images == [f"cleanrooms-ml/{distinct('日本-inference')}"]
    roles = [each["Properties"]["RoleName"] for each in document["Resources"].values() if "IAM" in each["Type"]]
    assert len(set(roles)) == 4
    assert all(len(name) <= 64 and name.startswith("cleanrooms-ml-") for name in roles)


def test_a_script_makes_the_calls_that_the_template_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with store_in(tmp_path) as store:
        odd_jobs(store)
        room = rehearsal_in(store)
        outputs = Stack(room, OWNER).outputs
        template, script = member_files(store, room, OWNER, clean_room=False, form="yaml").files.values()
    assert set(outputs.values()) == set(yaml.safe_load(template)["Outputs"])
    client = RecordingClient()
    values = {"AssociationCf2abfArn": "arn:aws:cleanrooms-ml:us-east-1:111111111111:membership/"}
    arn = f"{values['AssociationCf2abfArn']}{MEMBERSHIP}/configured-model-algorithm-association/1"
    known = {"MembershipIdentifier": MEMBERSHIP, "OutputUri": "s3://results/a/b"}
    client.outputs = [{"OutputKey": each, "OutputValue": known.get(each, arn)} for each in outputs.values()]
    monkeypatch.setitem(sys.modules, "boto3", SimpleNamespace(client=lambda _: client))
    monkeypatch.setenv("ACCOUNT_333333333333", "333333333333")
    exec(compile(script, "calls.py", "exec"), {})
    client.outputs = []
    with pytest.raises(SystemExit, match="push the images"):
        exec(compile(script, "calls.py", "exec"), {})
    assert client.calls["put_ml_configuration"]["defaultOutputLocation"]["roleArn"].startswith("arn:aws:iam::1111")
    channel = client.calls["create_ml_input_channel q'1"]["inputChannel"]["dataSource"]
    assert channel["protectedQueryInputParameters"]["sqlParameters"] == {"queryString": QUERY}
    training = client.calls["create_trained_model a 'model' \"${x}\""]
    assert training["hyperparameters"] == {ODD_LINE: ODD_LINE, "accountId": MEMBERSHIP}
    assert training["environment"] == {"X": ODD_TEXT}
    assert training["dataChannels"][0]["mlInputChannelArn"].endswith("ml-input-channel/new")
    inference = client.calls["start_trained_model_inference_job job"]
    assert inference["outputConfiguration"] == {"members": [{"accountId": "333333333333"}]}
    assert inference["trainedModelArn"].endswith("trained-model/new")


def test_what_no_template_can_hold_is_refused(tmp_path: Path) -> None:
    entry = odd_room().algorithms["日本"].model_copy(update={"arguments": ("{{resolve:ssm:x}}",)})
    room = Rehearsal(odd_room().model_copy(update={"algorithms": {"日本": entry}}))
    with pytest.raises(TemplateError) as caught:
        Stack(room, OWNER).document()
    assert str(caught.value.problems[0]).endswith("Arguments[0]: has {{resolve:")
    named = Rehearsal(odd_room().model_copy(update={"algorithms": {"x" * 64: entry}}))
    with pytest.raises(InvalidRequestError):
        Stack(named, OWNER)
    large = entry.model_copy(
        update={"arguments": (), "privacy": {"trainedModels": {"maxArtifactSize": {"unit": "GB", "value": 50}}}}
    )
    stack = Stack(Rehearsal(odd_room().model_copy(update={"algorithms": {"日本": large}})), OWNER)
    assert "maxArtifactSize is 50 GB, and CloudFormation accepts 10" in stack.warnings[0]
    assert not any("Association" in each["Type"] for each in stack.document()["Resources"].values())
    calls = list(room_calls(stack.rehearsal, OWNER))
    assert calls[0].operation == "CreateConfiguredModelAlgorithmAssociation"
    assert {each.name for each in placeholders(calls[0].params)} >= {"ALGORITHM_CF2ABF_ARN"}
    assert "ALGORITHM_CF2ABF_ARN" in stack.outputs


def test_an_image_behind_a_fips_endpoint_is_used_as_it_is() -> None:
    ready = odd_room().algorithms["ready"]
    entry = ready.model_copy(update={"image": ready.image.replace(".ecr.", ".ecr-fips.")})
    room = Rehearsal(odd_room().model_copy(update={"algorithms": {"ready": entry}}))
    assert [each.uri for each in room.images("ready")] == [entry.image]


@settings(max_examples=25, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    )
)
def test_yaml_is_read_as_it_was_written(value: Any) -> None:
    assert yaml.safe_load(to_yaml({"a": value})) == {"a": value}


@pytest.mark.parametrize("names", [("a-b", "a_b", "A-b", "a b"), ("a-1", "a1"), ("x" * 41, "x" * 42), ("日本", "日")])
def test_different_names_stay_different(names: tuple[str, ...]) -> None:
    assert len({identifier(name) for name in names}) == len(names)
    assert len({logical(identifier(name)) for name in names}) == len(names)


def test_the_command_writes_files(tmp_path: Path) -> None:
    done = run("deploy", "template", EXAMPLE, "--output", tmp_path / "out", "--home", tmp_path / "room", "--json")
    assert done.status == 0
    assert [each["member"] for each in done.json] == ["airline", "weather-bureau"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["airline-calls.py", "airline.yaml"]
    assert run("deploy", "template", EXAMPLE, "--member", "x", "--home", tmp_path / "room").status == 2
    words = ("deploy", "template", EXAMPLE, "--output", tmp_path / "out", "--home", tmp_path / "room")
    (tmp_path / "out/airline-calls.py").write_text("mine")
    assert "airline-calls.py" in run(*words).stderr
    assert (tmp_path / "out/airline-calls.py").read_text() == "mine"
    assert run(*words, "--overwrite").status == 0
    assert (tmp_path / "out/airline-calls.py").read_text() != "mine"


def test_an_algorithm_is_looked_into_for_metrics_and_columns(tmp_path: Path) -> None:
    algorithm = EXAMPLE.parent / "algorithm.py"
    assert run("deploy", "template", algorithm, "--output", tmp_path, "--home", tmp_path / "room").status == 0
    (resource,) = (
        each["Properties"]
        for each in yaml.safe_load((tmp_path / "author.yaml").read_text())["Resources"].values()
        if each["Type"] == "AWS::CleanRoomsML::ConfiguredModelAlgorithm"
    )
    metrics = {each["Name"] for each in resource["TrainingContainerConfig"]["MetricDefinitions"]}
    assert "epoch_train_loss" in metrics
    assert '"SELECT carrier, origin, dest, ' in (tmp_path / "author-calls.py").read_text()
