"""What a channel in S3 holds: by the beginning of its objects, and not of formats that have to be read whole."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from cleanroom_algo.local.room import Room
from cleanroom_algo.local.summaries import inspection
from cleanroom_algo.local.summaries.inspection import Inspection
from tests.local.objects.conftest import BUCKET, Gate
from tests.local.support import SETTINGS, RoomFixture

ROWS = b"carrier,miles\n" + b"".join(b"AA,%d\n" % number for number in range(1000))


def test_the_beginning_of_objects_in_s3_is_read(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_DOWNLOAD_BYTES", 2000)
    gate.put({"large/a.csv": ROWS, "small/a.csv": ROWS[:500], "packed/a.csv.gz": gzip.compress(ROWS, 0)})
    with Room(tmp_path / "home", SETTINGS) as room:
        (channel,) = RoomFixture(room, tmp_path).room.store.find("ml-input-channel")

        def inspect(prefix: str, before: Inspection | None = None) -> Inspection:
            place = {"location": f"s3://{BUCKET}/{prefix}/"}
            return inspection.inspect(room.workspace, replace(channel, private=place), before)

        large, small, packed = inspect("large"), inspect("small"), inspect("packed")
        assert inspect("large", large) is large

    assert large.profile is not None
    assert small.profile is not None
    assert large.profile.rows in range(200, 350)
    assert large.read == pytest.approx(2000 / len(ROWS), rel=0.02)
    assert small.profile.rows in range(80, 90)
    assert small.read == 1.0
    assert (packed.profile, packed.error) == (None, None)
