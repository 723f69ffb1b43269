"""A room with two members: an airline that queries, and a bureau that receives; without the `cleanrooms` operations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from cleanroom_algo.contract.tree import Tree
from cleanroom_algo.local.jobs.packing import Artifacts, merge, pack
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.operations.registry import LocalTerms
from cleanroom_algo.local.resources.settings import Machine, RoomSettings
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.setup.members import create_collaboration, join

AIRLINE, BUREAU, STRANGER = "111122223333", "444455556666", "777788889999"
COLLABORATION_ID = "c0c0c0c0-0000-4000-8000-000000000001"
AIRLINE_ID = "a0a0a0a0-0000-4000-8000-000000000002"
BUREAU_ID = "b0b0b0b0-0000-4000-8000-000000000003"
VERSION = "0a1b2c3d-0000-4000-8000-0123456789ab"
OTHER = "0a1b2c3d-0000-4000-8000-0123456789ff"
ROLE = "arn:aws:iam::111122223333:role/clean-room"
SETTINGS = RoomSettings(machine=Machine(hosts=2))


def text_of(reference: ObjectRef) -> str:
    """Return what an object holds."""
    with reference.open() as file:
        return file.read().decode()


ALGORITHM = """
import signal, sys, time
from pathlib import Path

root = Path(__import__("os").environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # process 1 of a container ends for no other signal
print("started", flush=True)
{body}
(root / "model" / "weights.txt").write_text("1")
"""


SERVE = """#!/usr/bin/env python3
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404, b"")

    def do_POST(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, answer(self.headers["Content-Type"], body))

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

{answer}

port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080))
http.server.ThreadingHTTPServer(("0.0.0.0", port), Answer).serve_forever()
"""
ONE_PER_LINE = """
def answer(kind, body):
    return b"\\n".join(b"1" for _ in body.splitlines())
"""


def algorithm_folder(folder: Path, body: str = "", answer: str = ONE_PER_LINE) -> Path:
    """Return an algorithm of its own kind: a folder with executable `train` and `serve`, which start at once.

    Args:
        folder: for it.
        body: what `train` does.
        answer: a function of a request's content type and body, for `serve`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    programs = {
        "train": "#!/usr/bin/env python3\n" + ALGORITHM.replace("{body}", body),
        "serve": SERVE.replace("{answer}", answer),
    }
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def make_members(room: Room) -> None:
    """Make a collaboration of the airline, which queries and pays, and the bureau, both with all abilities of ML."""
    receives = {"customMLMemberAbilities": ["CAN_RECEIVE_MODEL_OUTPUT", "CAN_RECEIVE_INFERENCE_OUTPUT"]}
    airline = {"accountId": AIRLINE, "displayName": "airline", "memberAbilities": ["CAN_QUERY"]}
    bureau = {"accountId": BUREAU, "displayName": "bureau", "memberAbilities": []}
    members = [{**each, "mlMemberAbilities": receives} for each in (airline, bureau)]
    create_collaboration(room.caller, COLLABORATION_ID, "flights", members)
    for member, membership in zip(members, (AIRLINE_ID, BUREAU_ID), strict=True):
        join(room.caller, COLLABORATION_ID, member, membership, None)


class RoomFixture:
    """A room with resources to work on.

    Attributes:
        room: with the two members.
        association: ARN of the airline's association; the algorithm may also infer.
        channel: ARN of an ACTIVE channel of the airline.
    """

    def __init__(
        self,
        room: Room,
        folder: Path,
        *,
        body: str = "",
        answer: str = ONE_PER_LINE,
        privacy: dict[str, Any] | None = None,
        name: str = "",
    ) -> None:
        self.room = room
        self.folder = folder
        make_members(room)
        container = {"imageUri": str(algorithm_folder(folder / "algorithm", body, answer))}
        self.algorithm = self.call(
            "CreateConfiguredModelAlgorithm",
            name=f"{name}algorithm",
            roleArn=ROLE,
            trainingContainerConfig=container,
            inferenceContainerConfig=container,
        )["configuredModelAlgorithmArn"]
        policies = {} if privacy is None else {"privacyConfiguration": {"policies": privacy}}
        self.association = self.own(
            "CreateConfiguredModelAlgorithmAssociation",
            name=f"{name}association",
            configuredModelAlgorithmArn=self.algorithm,
            **policies,
        )["configuredModelAlgorithmAssociationArn"]
        self.channel = self.add_channel(f"{name}train")

    def call(self, operation: str, account: str = AIRLINE, **params: Any) -> dict[str, Any]:
        return self.room.call(operation, params, account)

    def own(self, operation: str, **params: Any) -> dict[str, Any]:
        return self.call(operation, membershipIdentifier=AIRLINE_ID, **params)

    def add_channel(self, name: str, rows: int = 4) -> str:
        """Put an ACTIVE channel over a folder of two part files into the room, and return its ARN."""
        folder = self.folder / f"data-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        for part in range(2):
            (folder / f"part-{part}.csv").write_text("".join(f"{row},{part}\n" for row in range(rows)))
        identifier = f"00000000-0000-4000-8000-{int.from_bytes(name.encode()) % 10**12:012d}"
        query = self.query(name, retentionInDays=30)
        terms = LocalTerms(identifier, str(folder), objects=2)
        arn: str = self.room.call("CreateMLInputChannel", query, AIRLINE, terms=terms)["mlInputChannelArn"]
        return arn

    def training(self, **changed: Any) -> dict[str, Any]:
        """Return the parameters of a small training job."""
        return {
            "membershipIdentifier": AIRLINE_ID,
            "name": "model",
            "configuredModelAlgorithmAssociationArn": self.association,
            "resourceConfig": {"instanceType": "ml.m5.2xlarge", "volumeSizeInGB": 1},
            "dataChannels": [{"mlInputChannelArn": self.channel, "channelName": "train"}],
            **changed,
        }

    def train(self, **changed: Any) -> Record:
        """Train to the end and return the record."""
        created = self.room.call("CreateTrainedModel", self.training(**changed), AIRLINE)
        return self.room.wait(created["trainedModelArn"], created.get("versionIdentifier"), timeout=60)

    def use_image(self, uri: str) -> None:
        """Let the algorithm be an image, for training and inference."""
        (algorithm,) = self.room.store.find("configured-model-algorithm")
        container = {"imageUri": uri}
        configs = {"trainingContainerConfig": container, "inferenceContainerConfig": container}
        self.room.store.update(algorithm, document=configs)

    def configure(self, account: str = BUREAU, membership: str = BUREAU_ID) -> None:
        """Give a member an ML configuration, s3://bureau/out."""
        location = {"destination": {"s3Destination": {"s3Uri": "s3://bureau/out"}}, "roleArn": ROLE}
        self.call("PutMLConfiguration", account, membershipIdentifier=membership, defaultOutputLocation=location)

    def export(self, model: str, **changed: Any) -> Record:
        """Export a model to the bureau and return the job's record when it has ended."""
        output = {"members": [{"accountId": BUREAU}]}
        own = {"trainedModelArn": model, "name": "export", "outputConfiguration": output}
        self.own("StartTrainedModelExportJob", **{**own, **changed})
        return self.room.wait(self.room.store.find("trained-model-export-job", limit=1)[0].key, timeout=60)

    def start_inference(self, model: str, **changed: Any) -> str:
        """Start an inference job over the channel for the bureau and return its ARN."""
        asked = {
            "name": "inference",
            "trainedModelArn": model,
            "resourceConfig": {"instanceType": "ml.m5.2xlarge"},
            "outputConfiguration": {"members": [{"accountId": BUREAU}]},
            "dataSource": {"mlInputChannelArn": self.channel},
        }
        created = self.own("StartTrainedModelInferenceJob", **{**asked, **changed})
        return str(created["trainedModelInferenceJobArn"])

    def infer(self, model: str, **changed: Any) -> Record:
        """Run such a job and return its record when it has ended."""
        return self.room.wait(self.start_inference(model, **changed), timeout=60)

    def query(self, name: str = "query", sql: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
        """Return the parameters of a small query; what is not asked of the channel itself is asked of the query."""
        of_channel: dict[str, Any] = {
            key: changed.pop(key) for key in ("payerConfiguration", "retentionInDays") if key in changed
        }
        asked = {"sqlParameters": sql or {"queryString": "SELECT 1 AS x"}, **changed}
        return {
            "membershipIdentifier": AIRLINE_ID,
            "name": name,
            "configuredModelAlgorithmAssociations": [self.association],
            "inputChannel": {"dataSource": {"protectedQueryInputParameters": asked}, "roleArn": ROLE},
            "retentionInDays": 1,
            **of_channel,
        }

    def add_packed_model(self, version: str | None = None) -> Record:
        """Put an ACTIVE model with its archives into the room."""
        record = self.add_model(1, version=version)
        left, folder = self.folder / "left", self.room.workspace.files.artifacts(record.key, version)
        left.mkdir(exist_ok=True)
        (left / "weights.txt").write_text("1")
        with Tree(left) as tree:
            pack(merge({"algo-1": tree}), folder / "model.tar.gz")
        pack(Artifacts(), folder / "output.tar.gz")
        return record

    def add_model(self, number: int, status: str = "ACTIVE", version: str | None = None, **changed: Any) -> Record:
        """Put a trained model's record into the store, as if its job had ended."""
        identifier = f"00000000-0000-4000-8000-{number:012d}"
        arn = f"arn:aws:cleanrooms-ml:us-east-1:{AIRLINE}:membership/{AIRLINE_ID}/trained-model/{identifier}"
        document = {k: v for k, v in self.training().items() if k not in ("membershipIdentifier", "name")}
        record = Record(
            kind="trained-model",
            key=arn,
            version=version,
            account=AIRLINE,
            membership=AIRLINE_ID,
            collaboration=COLLABORATION_ID,
            parent=self.association,
            name=f"model-{number}",
            status=status,
            document=json.loads(json.dumps(document)),
        )
        return self.room.store.insert(replace(record, **changed))


def desk_with(tmp_path: Path, **changed: Any) -> RoomFixture:
    return RoomFixture(Room(tmp_path / "home", SETTINGS.model_copy(update=changed)), tmp_path)
