"""cleanroom.toml: a whole room from a file, its faults all at once, and the same again when declared twice."""

import os
from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.errors import DeclarationError
from cleanroom_algo.local.planning.inputs import algorithm_source, channel_objects
from cleanroom_algo.local.resources.arns import ASSOCIATION, ML_CONFIGURATION, TABLE_ASSOCIATION, TRAINED_MODEL
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.service_model.shapes import CLEANROOMS
from cleanroom_algo.local.setup.declaration import read_declaration
from cleanroom_algo.local.setup.declaring import Change, Declared, declare
from tests.cli.support import run
from tests.local.support import text_of

VERBS = ("training", "inference")
ROOM = """
[collaboration]
name = "Two"

[members.a]
account = "111111111111"
abilities = ["CAN_QUERY"]
pays = true
output = "s3://a/out"

[members.b]
account = "222222222222"

[tables.left]
owner = "a"
location = "left.csv"
format = "csv"
columns = ["id", "x"]

[tables.right]
owner = "b"
location = "right.csv"
format = "csv"
columns = ["id", "y"]
join_columns = ["id"]

[algorithms.mine]
owner = "a"
image = "algorithm.py"
association = "c3c3c3c3-3333-4333-8333-c3c3c3c3c3c3"

[algorithms.mine.privacy.trainedModels]
maxArtifactSize = { unit = "GB", value = 0.5 }

[channels.joined]
owner = "a"
algorithm = "mine"
query = "SELECT l.x, r.y FROM left l JOIN right r ON l.id = r.id"
"""

BOOLEANS = """
from cleanroom_algo import Schema, Trainer
class Mine(Trainer):
    schema = Schema.of(target="y", x="bool", y="string")
    def model(self): ...
    def loss(self, model, batch): ...
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "left.csv").write_text("id,x,secret\n1,10,s\n2,20,s\n")
    (tmp_path / "right.csv").write_text("id,y\n1,a\n3,c\n")
    (tmp_path / "algorithm.py").write_text("")
    (tmp_path / "cleanroom.toml").write_text(ROOM)
    return tmp_path


def test_a_declared_room_has_channels_that_the_api_shows(folder: Path) -> None:
    with Room(folder / "home") as room:
        arns = declare(room.caller, folder / "cleanroom.toml").channels
        record = room.wait(arns["joined"], timeout=60)
        shown = room.call(
            "GetMLInputChannel",
            {"membershipIdentifier": record.membership, "mlInputChannelArn": record.key},
            "111111111111",
        )
        objects = channel_objects(room.workspace, record)
        association = room.call(
            "GetConfiguredModelAlgorithmAssociation",
            {
                "membershipIdentifier": record.membership,
                "configuredModelAlgorithmAssociationArn": shown["configuredModelAlgorithmAssociations"][0],
            },
            "111111111111",
        )

    assert shown["status"] == "ACTIVE"
    assert shown["numberOfRecords"] == 1
    assert text_of(objects[0]) == "x,y\n10,a\n"
    assert association["privacyConfiguration"]["policies"]["trainedModels"]["maxArtifactSize"]["value"] == 0.5


def test_declaring_again_changes_nothing(folder: Path) -> None:
    with Room(folder / "home") as room:
        arns = declare(room.caller, folder / "cleanroom.toml").channels
        first = room.wait(arns["joined"], timeout=60)
        assert declare(room.caller, folder / "cleanroom.toml") == Declared(arns, ())
        assert room.wait(arns["joined"], timeout=60).updated == first.updated


TEMPLATES = """
[templates.some]
owner = "b"
query = "SELECT x FROM left WHERE id = :id"

[templates.some.parameters.id]
type = "INT"

[channels.one]
owner = "a"
algorithm = "mine"
template = "some"
parameters = { id = "2" }
"""


def test_the_file_and_the_command_choose_the_engine(folder: Path) -> None:
    toml = folder / "cleanroom.toml"
    toml.write_text(ROOM + '[queries]\nengine = "spark"\n[queries.spark]\n"spark.sql.session.timeZone" = "CET"\n')
    refused = run("declare", toml, "--home", folder / "home", "--json")
    assert "CR-JOB-404" in refused.stdout  # no pyspark, no Java, or a property that decides about values
    assert run("declare", toml, "--home", folder / "home", "--engine", "duckdb").status == 0
    wrong = toml.read_text().replace('"spark"\n', '"sparc"\n')
    toml.write_text(wrong)
    with pytest.raises(DeclarationError, match=r"queries\.engine"):
        read_declaration(toml)


def test_another_engine_computes_a_channel_again(folder: Path) -> None:
    toml = folder / "cleanroom.toml"
    with Room(folder / "home") as room:
        arn = declare(room.caller, toml).channels["joined"]
        record = room.wait(arn, timeout=60)
        room.store.update(record, private={"computed_by": ["spark", "spark.master=local[1]"]}, touch=False)
        assert declare(room.caller, toml).changes == (Change("channels.joined", "changed", "queries"),)
        assert room.wait(arn, timeout=60).private["computed_by"] == ["duckdb"]


def test_tables_are_queried_by_the_templates_that_their_owner_approves(folder: Path) -> None:
    toml = folder / "cleanroom.toml"
    toml.write_text(
        ROOM.replace('columns = ["id", "x"]', 'columns = ["id", "x"]\nallowed_templates = ["some"]') + TEMPLATES
    )
    with Room(folder / "home") as room:
        arns = declare(room.caller, toml).channels
        one, joined = (room.wait(arns[name], timeout=60) for name in ("one", "joined"))
        again = declare(room.caller, toml)
        room.wait(arns["joined"], timeout=60)
        assert text_of(channel_objects(room.workspace, one)[0]) == "x\n20\n"
    assert again == Declared(arns, (Change("channels.joined", "changed", "it is CREATE_FAILED"),))
    assert joined.status == "CREATE_FAILED"
    assert "its owner has not approved queries without a template" in joined.document["statusDetails"]["message"]

    wrong = toml.read_text().replace('["some"]', '["sum"]').replace('{ id = "2" }', "{}\nquery = 'SELECT 1'")
    toml.write_text(wrong.replace('join_columns = ["id"]', 'join_columns = ["id"]\nallowed_templates = []'))
    with pytest.raises(DeclarationError) as caught:
        read_declaration(toml)
    paths = {problem.path for problem in caught.value.problems}
    assert paths == {"tables.left.allowed_templates", "tables.right", "channels.one"}


def test_what_changed_is_changed_and_the_rest_says_why_not(folder: Path) -> None:
    toml, right = folder / "cleanroom.toml", folder / "right.csv"
    with Room(folder / "home") as room:
        arn = declare(room.caller, toml).channels["joined"]
        first = room.wait(arn, timeout=60)
        toml.write_text(
            ROOM.replace('columns = ["id", "x"]', 'columns = ["id", "x", "secret"]')
            .replace("SELECT l.x, r.y", "SELECT l.secret, r.y")
            .replace("[algorithms.mine]", '[algorithms.mine]\ninference_image = "serve:1"\narguments = ["fit"]')
            .replace("value = 0.5", "value = 0.25")
            .replace('abilities = ["CAN_QUERY"]\npays = true\noutput = "s3://a/out"', 'output = "s3://a/new"')
        )
        declared = declare(room.caller, toml)
        assert declared.channels == {"joined": arn}
        second = room.wait(arn, timeout=60)
        assert text_of(channel_objects(room.workspace, second)[0]) == "secret,y\ns,a\n"
        association = room.store.get(ASSOCIATION, first.parent)
        assert association is not None
        sources = [algorithm_source(room.workspace, association, f"{each}ContainerConfig") for each in VERBS]
        configured = room.store.get(ML_CONFIGURATION, second.membership)

        right.write_text("id,y\n1,b\n")
        os.utime(right, (second.created + 1, second.created + 1))
        newer = declare(room.caller, toml)
        third = room.wait(arn, timeout=60)
        assert text_of(channel_objects(room.workspace, third)[0]) == "secret,y\ns,b\n"

        toml.write_text(toml.read_text().replace("[tables.left]", "[tables.other]").replace("FROM left", "FROM other"))
        renamed = declare(room.caller, toml)
        room.wait(arn, timeout=60)

    kept = "abilities, pays cannot be changed once a member has joined; "
    assert [(each.done, each.entry, each.why.partition("`")[0]) for each in declared.changes] == [
        ("kept", "members.a", kept),
        ("changed", "members.a", "output"),
        ("changed", "algorithms.mine", "arguments, inference_image, privacy"),
        ("changed", "tables.left", "columns"),
        ("changed", "channels.joined", "query, the table left"),
    ]
    assert sources[0].arguments == ("fit",)
    assert sources[0].path == (folder / "algorithm.py").resolve()
    assert sources[1].image_uri == "serve:1"
    assert configured is not None
    assert configured.document["defaultOutputLocation"]["destination"]["s3Destination"]["s3Uri"] == "s3://a/new"
    assert [each.entry for each in newer.changes] == ["members.a", "channels.joined"]
    assert newer.changes[1].why == "the files of the table right"
    assert [each.entry for each in renamed.changes] == ["members.a", "channels.joined", "tables.left"]
    assert "is not in the file" in renamed.changes[2].why


def test_a_query_that_failed_runs_again(folder: Path) -> None:
    toml, home = folder / "cleanroom.toml", folder / "home"
    toml.write_text(ROOM.replace("right.csv", "nothere.csv"))
    assert run("declare", toml, "--home", home).status != 0
    (folder / "right.csv").rename(folder / "nothere.csv")
    done = run("declare", toml, "--home", home)
    assert done.status == 0
    assert "changed  channels.joined: it is CREATE_FAILED\n" in done.stderr


def test_the_verb_says_what_the_queries_gave(folder: Path) -> None:
    done = run("declare", folder / "cleanroom.toml", "--home", folder / "home", "--json")

    assert done.status == 0
    (channel,) = done.json["mlInputChannels"]
    assert (channel["name"], channel["status"], channel["numberOfRecords"]) == ("joined", "ACTIVE", 1)


def test_a_query_that_breaks_the_rules_fails_its_channel_with_the_reason(folder: Path) -> None:
    toml = folder / "cleanroom.toml"
    toml.write_text(ROOM.replace("SELECT l.x, r.y", "SELECT l.x, r.id"))

    done = run("declare", toml, "--home", folder / "home")

    assert done.status != 0
    assert "is a join column" in done.stderr


def test_all_faults_at_once(folder: Path) -> None:
    toml = folder / "cleanroom.toml"
    toml.write_text(
        ROOM.replace('owner = "b"', 'owner = "bb"').replace('algorithm = "mine"', 'algorithm = "mien"')
        + '\n[tables.third]\nowner = "a"\nlocation = "x"\ncolumns = ["u"]\njoin_columns = ["v"]\n'
    )

    with pytest.raises(DeclarationError) as caught:
        read_declaration(toml)

    assert {problem.path for problem in caught.value.problems} == {
        "tables.right.owner",
        "channels.joined.algorithm",
        "tables.third.join_columns",
    }
    assert "did you mean 'mine'" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('account = "111111111111"', 'account = "11"', "members.a.account"),
        ("[collaboration]", "[colaboration]", "colaboration"),
        ("= 0.5", "= 0.5, extra = 1", "algorithms.mine.privacy"),
        ('unit = "GB"', 'unit = "MB"', "algorithms.mine.privacy"),
        ("[members.a]", "[members.a", "is not TOML"),
        ('columns = ["', 'columns = ["length (cm)", "', "'length (cm)' has characters other than lowercase letters"),
    ],
)
def test_what_is_no_declaration(folder: Path, old: str, new: str, fault: str) -> None:
    toml = folder / "cleanroom.toml"
    toml.write_text(ROOM.replace(old, new, 1))

    with Room(folder / "home") as room, pytest.raises(DeclarationError) as caught:
        declare(room.caller, toml)

    assert fault in str(caught.value)


def test_declared_channels_are_used_by_name(folder: Path) -> None:
    home, toml = folder / "home", folder / "cleanroom.toml"
    assert run("declare", toml, "--home", home).status == 0

    def request(*words: object) -> Any:
        done = run("train", *words, "--home", home, "--print-request", "--json")
        return done.json.get("error", done.json)

    own = request("--channel", "room:joined", "--hosts", 2)
    (channel,) = own["dataChannels"]
    assert channel["channelName"] == "train"
    assert channel["mlInputChannelArn"].startswith("arn:aws:cleanrooms-ml:us-east-1:111111111111:membership/")
    assert own["configuredModelAlgorithmAssociationArn"].endswith("/c3c3c3c3-3333-4333-8333-c3c3c3c3c3c3")
    assert own["name"] == "mine"
    assert request(folder / "algorithm.py", "--channel", "train=room:joined")["dataChannels"] == [channel]
    both = request("--channel", "train=room:joined", "--channel", f"validation={folder / 'right.csv'}")
    assert both["dataChannels"][0] == channel
    assert both["membershipIdentifier"] == own["membershipIdentifier"]

    (folder / "other.py").write_text("")
    refused = request(folder / "other.py", "--channel", "room:joined", "--entrypoint", "python other.py")
    assert refused["code"] == "CR-ROM-003"
    assert len(refused["problems"]) == 2
    assert "did you mean 'joined'" in request("--channel", "room:joinde")["what"]

    entered = request(folder / "other.py", "--channel", folder / "right.csv", "--arguments", "fit 'a b'")
    plain = request(folder / "other.py", "--channel", folder / "right.csv")
    name = "configuredModelAlgorithmAssociationArn"
    assert entered[name] != plain[name]  # what an association stands for cannot be edited
    assert request(folder / "other.py", "--channel", folder / "right.csv", "--arguments", "'")["code"] == "CR-CLI-001"


def test_tables_are_shown_with_who_may_see_which_columns(folder: Path) -> None:
    home = folder / "home"
    run("declare", folder / "cleanroom.toml", "--home", home)
    shown = run("show", "--home", home).stdout
    assert "left of a\n  read by a, b: id, x\nright of b\n  read by a, b: y\n  compared by a, b: id\n" in shown
    table = run("show", "right", "--home", home)
    assert [line.split() for line in table.stdout.splitlines()[4:]] == [
        ["COLUMN", "MAY", "BE", "BY"],
        ["y", "read", "a,", "b"],
        ["id", "compared", "a,", "b"],
    ]
    assert run("show", "right", "--home", home, "--json").json["columnAccess"][1]["use"] == "compared"


def test_a_table_has_an_access_budget(folder: Path) -> None:
    toml = folder / "cleanroom.toml"

    def limited(budget: str) -> None:
        toml.write_text(ROOM.replace('"left.csv"', f'"left.csv"\naccess_budget = {budget}'))

    with Room(folder / "home") as room:

        def left() -> list[tuple[str, int]]:
            shown = room.call(
                "ListPrivacyBudgets",
                {"membershipIdentifier": association.membership, "privacyBudgetType": "ACCESS_BUDGET"},
                association.account,
                service=CLEANROOMS,
            )
            (budget,) = shown["privacyBudgetSummaries"]
            return [
                (each["budgetType"], each["remainingBudget"]) for each in budget["budget"]["accessBudget"]["details"]
            ]

        limited("{ CALENDAR_DAY = 3, LIFETIME = 9 }")
        joined = declare(room.caller, toml).channels["joined"]
        association = next(each for each in room.store.find(TABLE_ASSOCIATION) if each.name == "left")
        assert room.wait(joined, timeout=60).status == "ACTIVE"
        assert left() == [("CALENDAR_DAY", 2), ("LIFETIME", 8)]
        assert declare(room.caller, toml).changes == ()

        limited("{ LIFETIME = 1 }")
        changed = Change("tables.left.access_budget", "changed", "access_budget")
        assert declare(room.caller, toml).changes == (changed,)
        assert left() == [("LIFETIME", 0)]

        toml.write_text(ROOM.replace("SELECT l.x, r.y", "SELECT l.x AS z, r.y"))
        kept, _ = declare(room.caller, toml).changes
        assert (kept.entry, kept.done) == ("tables.left.access_budget", "kept")
        assert "CR-JOB-408" in room.wait(joined, timeout=60).document["statusDetails"]["message"]

        limited("{ CALENDAR_DAY = 3, CALENDAR_WEEK = 5 }")
        with pytest.raises(DeclarationError, match=r"tables\.left\.access_budget.*one period and LIFETIME"):
            declare(room.caller, toml)


SYNTHETIC = """
[templates.alike]
owner = "b"
query = "SELECT id, x, x * 2 AS y, id % 3 AS z, id % 2 = 0 AS even FROM left"

[templates.alike.synthetic]
epsilon = 8.0
max_attack_score = 0.7
categorical = ["z", "even"]
numerical = ["id", "x", "y"]
predictive = ["even"]

[channels.generated]
owner = "a"
algorithm = "mine"
template = "alike"
"""


def test_a_template_with_synthetic_output_makes_a_channel_with_a_score(folder: Path) -> None:
    toml, rows = folder / "cleanroom.toml", range(1500)
    (folder / "left.csv").write_text("id,x\n" + "".join(f"{each},{each % 40}\n" for each in rows))
    toml.write_text(
        ROOM.replace('columns = ["id", "x"]', 'columns = ["id", "x"]\nallowed_templates = ["alike"]') + SYNTHETIC
    )
    with Room(folder / "home") as room:
        arn = declare(room.caller, toml).channels["generated"]
        record = room.wait(arn, timeout=60)
        asked = {"membershipIdentifier": record.membership, "mlInputChannelArn": arn}
        shown = room.call("GetMLInputChannel", asked, "111111111111")
        assert [each for each in declare(room.caller, toml).changes if each.entry == "channels.generated"] == []
        toml.write_text(toml.read_text().replace("0.7", "0.8"))
        changed = declare(room.caller, toml).changes
        room.wait(arn, timeout=60)

    assert record.status == "ACTIVE", record.document["statusDetails"]
    assert shown["numberOfRecords"] == len(rows)
    configuration = shown["syntheticDataConfiguration"]
    assert configuration["syntheticDataParameters"]["columnClassification"]["columnMapping"][1] == {
        "columnName": "even",
        "columnType": "CATEGORICAL",
        "isPredictiveValue": True,
    }
    (score,) = configuration["syntheticDataEvaluationScores"]["dataPrivacyScores"]["membershipInferenceAttackScores"]
    assert score["attackVersion"] == "DISTANCE_TO_CLOSEST_RECORD_V1"
    assert 0.3 < score["score"] < 0.7
    assert Change("templates.alike", "changed", "synthetic") in changed
    assert Change("channels.generated", "changed", "the template alike") in changed

    toml.write_text(toml.read_text().replace('predictive = ["even"]', 'predictive = ["odd"]'))
    with pytest.raises(
        DeclarationError, match=r"templates\.alike\.synthetic\.predictive: 'odd' is not among the columns"
    ):
        read_declaration(toml)


@pytest.mark.process
def test_check_reads_rows_of_a_declared_channel(folder: Path) -> None:
    home, toml = folder / "home", folder / "cleanroom.toml"
    assert run("declare", toml, "--home", home).status == 0
    (folder / "algorithm.py").write_text(BOOLEANS)
    (folder / "other.py").write_text(BOOLEANS)

    def check(algorithm: str, channel: str) -> Any:
        return run("check", folder / algorithm, "--channel", channel, "--home", home, "--json").json

    (found,) = (each for each in check("algorithm.py", "room:joined")["findings"] if each["name"] == "schema")
    assert (found["severity"], "x: not of type bool" in found["what"]) == ("error", True)
    assert check("other.py", "train=room:joined")["error"]["code"] == "CR-ROM-003"
    with Room(home) as room:
        assert room.store.count(TRAINED_MODEL) == 0
