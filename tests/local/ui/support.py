"""A model with a manifest, and predictions that it has made, without running anything."""

from __future__ import annotations

import io
import json
import tarfile
import time
from dataclasses import replace
from typing import Any

from flask.testing import FlaskClient

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.manifest import FEATURES_FILE, MANIFEST_FILE
from cleanroom_algo.local.resources.store import Record
from tests.local.support import BUREAU, RoomFixture


def settled(browser: FlaskClient, path: str, waited_for: str = 'data-poll="0"') -> str:
    """Return a page as soon as it has a text, by default that it waits for nothing any more."""
    deadline = time.monotonic() + 30
    while waited_for not in (found := browser.get(path).text):
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


def add_model(desk: RoomFixture, schema: Schema | None, features: dict[str, Any] | None = None) -> Record:
    """Put an ACTIVE model into the room whose archive has a manifest."""
    record = desk.add_model(1)
    archive = desk.room.workspace.files.artifacts(record.key, None) / "model.tar.gz"
    archive.parent.mkdir(parents=True)
    manifest = {} if schema is None else {"schema": schema.to_dict(), "metrics": {"epoch_train_loss": 0.25}}
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in {MANIFEST_FILE: manifest, FEATURES_FILE: features or {}}.items():
            text = json.dumps(content).encode()
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return record


def add_predictions(desk: RoomFixture, model: Record, rows: str, answers: str, name: str = "predictions") -> Record:
    """Put an ACTIVE inference job for the bureau into the room, whose channel has one object."""
    channel_arn = desk.add_channel(name)
    folder = desk.folder / f"data-{name}"
    for path in folder.iterdir():
        path.unlink()
    (folder / "part.csv").write_text(rows)
    output = desk.folder / f"output-{name}" / "part.csv.out"
    output.parent.mkdir()
    output.write_text(answers)
    kind = "trained-model-inference-job"
    record = replace(
        model,
        kind=kind,
        key=model.key.replace("trained-model/", f"{kind}/").replace("-000000000001", f"-{len(name):012}"),
        parent=model.key,
        name=name,
        document={
            "dataSource": {"mlInputChannelArn": channel_arn},
            "outputConfiguration": {"members": [{"accountId": BUREAU}]},
            "resourceConfig": {"instanceType": "ml.m5.xlarge"},
        },
        private={"outputs": [str(output)], "rows": rows.count("\n") - 1, "bytes": len(answers)},
    )
    return desk.room.store.insert(record)
