"""cleanroom.toml: a whole room from a file, its faults all at once, and the same again when declared twice."""

from pathlib import Path

import pytest

from cleanroom_algo.errors import DeclarationError
from cleanroom_algo.local.planning.inputs import channel_objects
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.setup.declaration import declare, read_declaration
from tests.cli.support import run
from tests.local.support import text_of

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "left.csv").write_text("id,x,secret\n1,10,s\n2,20,s\n")
    (tmp_path / "right.csv").write_text("id,y\n1,a\n3,c\n")
    (tmp_path / "algorithm.py").write_text("")
    (tmp_path / "cleanroom.toml").write_text(ROOM)
    return tmp_path


def test_a_declared_room_has_channels_that_the_api_shows(folder: Path) -> None:
    with Room(folder / "home") as room:
        arns = declare(room.caller, folder / "cleanroom.toml")
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
        arns = declare(room.caller, folder / "cleanroom.toml")
        first = room.wait(arns["joined"], timeout=60)
        assert declare(room.caller, folder / "cleanroom.toml") == arns
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


def test_tables_are_queried_by_the_templates_that_their_owner_approves(folder: Path) -> None:
    toml = folder / "cleanroom.toml"
    toml.write_text(
        ROOM.replace('columns = ["id", "x"]', 'columns = ["id", "x"]\nallowed_templates = ["some"]') + TEMPLATES
    )
    with Room(folder / "home") as room:
        arns = declare(room.caller, toml)
        one, joined = (room.wait(arns[name], timeout=60) for name in ("one", "joined"))
        assert declare(room.caller, toml) == arns
        assert text_of(channel_objects(room.workspace, one)[0]) == "x\n20\n"
    assert joined.status == "CREATE_FAILED"
    assert "its owner has not approved queries of one's own" in joined.document["statusDetails"]["message"]

    wrong = toml.read_text().replace('["some"]', '["sum"]').replace('{ id = "2" }', "{}\nquery = 'SELECT 1'")
    toml.write_text(wrong.replace('join_columns = ["id"]', 'join_columns = ["id"]\nallowed_templates = []'))
    with pytest.raises(DeclarationError) as caught:
        read_declaration(toml)
    paths = {problem.path for problem in caught.value.problems}
    assert paths == {"tables.left.allowed_templates", "tables.right", "channels.one"}


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
    ],
)
def test_what_is_no_declaration(folder: Path, old: str, new: str, fault: str) -> None:
    toml = folder / "cleanroom.toml"
    toml.write_text(ROOM.replace(old, new, 1))

    with Room(folder / "home") as room, pytest.raises(DeclarationError) as caught:
        declare(room.caller, toml)

    assert fault in str(caught.value)
