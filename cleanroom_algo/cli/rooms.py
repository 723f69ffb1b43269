"""Opening the local clean room, following a job to its end, and saying how it ended."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleanroom_algo.cli import records
from cleanroom_algo.cli.display import JobDisplay
from cleanroom_algo.cli.options import state_folder
from cleanroom_algo.errors import CleanroomError, JobFailedError, JobStoppedError
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.local.plans.run_files import MODEL_ARCHIVE

if TYPE_CHECKING:
    from cleanroom_algo.local.resources.store import Record
    from cleanroom_algo.local.room import Room

_MANIFEST_BYTES = 1 << 20


@contextmanager
def open_room(home: Path | None) -> Iterator[Room]:
    """Open the room of a state folder; leaving it ends what runs."""
    from cleanroom_algo.channels.memory import keep_freed_memory
    from cleanroom_algo.local.room import Room

    keep_freed_memory()  # of the requests of inference jobs
    with Room(state_folder(home)) as room:
        yield room


def follow(room: Room, arn: str, version: str | None, *, title: str, verbose: bool) -> Record:
    """Show a job until it has ended, and return its record."""
    with JobDisplay(title, verbose=verbose) as display:
        record = room.wait(arn, version, listener=display)
        display.state(f"{record.status} after {display.seconds:.1f} s")
    return record


def outcome(record: Record, log_command: str) -> tuple[CleanroomError, int] | None:
    """Return what to say of a job that did not end well, and the exit status; None if it did."""
    if record.status == "ACTIVE":
        return None
    why = records.reason(record) or "no reason was given"
    cause = re.search(r"CR-[A-Z]{3}-[0-9]{3}", why)
    explain = f"`cleanroom-algo explain {cause[0]}`" if cause else "the reason"
    if record.status == "INACTIVE":
        stopped = JobStoppedError(f"{record.name}: {why}", expected="a job that runs to its end", fix="start it again")
        return stopped, ExitCode.STOPPED
    failed = JobFailedError(
        f"{record.name} is {record.status}: {why}",
        expected="a job that ends ACTIVE",
        fix=f"see {explain}, and what the containers wrote: `{log_command}`",
    )
    return failed, int(record.private.get("exit_code", failed.exit_code))


def model_result(room: Room, record: Record) -> dict[str, Any]:
    """Return what there is to know of a trained version: its record, its artifacts and their manifest."""
    archive = room.workspace.files.artifacts(record.key, record.version) / MODEL_ARCHIVE
    result = records.document(record) | {
        "artifacts": str(archive) if archive.exists() else None,
        "rawBytes": record.private.get("raw_bytes"),
        "packedBytes": record.private.get("packed_bytes"),
        "maxArtifactBytes": record.private.get("max_artifact_bytes"),
    }
    manifest = read_manifest(archive) if archive.exists() else {}
    return result | {name: manifest[name] for name in ("metrics", "steps", "rows") if name in manifest}


def channel_result(record: Record) -> dict[str, Any]:
    """Return what there is to know of an ML input channel: its record, and how its files are to be read."""
    return records.document(record) | {name: record.private.get(name) for name in ("dialect", "warnings")}


def inference_result(record: Record) -> dict[str, Any]:
    """Return what there is to know of an inference job: its record and its outputs."""
    names = ("outputs", "rows", "bytes", "warnings")
    return records.document(record) | {name: record.private.get(name) for name in names}


def read_manifest(archive: Path) -> dict[str, Any]:
    """Return the manifest in packed artifacts, or nothing where a plain algorithm wrote none."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.removeprefix("./") == "manifest.json" and member.isfile() and member.size < _MANIFEST_BYTES:
                file = tar.extractfile(member)
                assert file is not None
                found = json.loads(file.read())
                return found if isinstance(found, dict) else {}
    return {}
