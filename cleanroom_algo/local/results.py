"""The results of jobs as small values: models, predictions, exports, failures."""

from __future__ import annotations

import html
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cleanroom_algo.contract.archive import TRAINED_MODEL, extract_file
from cleanroom_algo.contract.manifest import FEATURES_FILE, MANIFEST_FILE
from cleanroom_algo.contract.sizes import GB
from cleanroom_algo.errors import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.errors.status_codes import ALGORITHM_ERROR
from cleanroom_algo.local.failures import error_of
from cleanroom_algo.local.objects.listing import source_of
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.planning.inference import looks_like_header
from cleanroom_algo.local.planning.inputs import channel_objects, record_of_job, source_objects
from cleanroom_algo.local.plans.run_files import MODEL_ARCHIVE, OUTPUT_SUFFIX
from cleanroom_algo.local.query.tables import column_access
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.arns import CONFIGURED_TABLE, MEMBERSHIP
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

    from cleanroom_algo.local.predictions import FirstRows

_LEFT: Final = 'style="text-align: left"'  # notebooks center names and align values to the right
_JSON_BYTES: Final = 1 << 20
_COUNTED_BYTES: Final = 1 << 28  # of a channel: counting takes a fraction of a second


class JobFailed(CleanroomError):  # noqa: N818 (a word of its tests, such as pytest's own)
    """A job did not succeed.

    Attributes:
        code: the error that ended it, such as CR-SCH-002; else `statusDetails.statusCode`, such as AlgorithmError.
        reason: the reason in words: `statusDetails.message`.
        record: of the job.
        error: the error as the command shows it.
        exit_code: the exit status of the command.
    """

    def __init__(self, record: Record, error: CleanroomError) -> None:
        self.record = record
        self.reason = records.reason(record) or "no reason was given"
        stopped = record.status == "INACTIVE"
        self.error = error
        super().__init__(
            self.error.what, expected=self.error.expected, fix=self.error.fix, problems=self.error.problems
        )
        default = ExitCode.STOPPED if stopped else self.error.exit_code
        self.exit_code = ExitCode(record.private.get("exit_code", default))  # type: ignore[misc]
        details: Mapping[str, str] = record.document.get("statusDetails") or {}
        own = re.match(rf"(?:{ALGORITHM_ERROR}: )?(CR-[A-Z]{{3}}-[0-9]{{3}})", self.reason)
        self.code = own[1] if own else details.get("statusCode", self.error.code)  # type: ignore[misc]

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.record, self.error)


def check_ended_well(record: Record, workspace: Workspace) -> None:
    """Check that a job, which has ended, has succeeded.

    Raises:
        JobFailed: it failed or was stopped.
    """
    if record.status != "ACTIVE":
        raise JobFailed(record, error_of(record, workspace))


class LogLine(NamedTuple):
    """A line that a container wrote.

    Attributes:
        time: in ISO 8601, UTC.
        host: of the container.
        stream: stdout or stderr; `job` for messages of the room about the job.
        text: the line.
    """

    time: str
    host: str
    stream: str
    text: str

    def __str__(self) -> str:
        return f"{self.time[:19]} {self.host} | {self.text}"


@dataclass(frozen=True)
class Job:
    """A job that has ended.

    Attributes:
        record: of the job.
        workspace: of the room.
    """

    record: Record = field(repr=False)
    workspace: Workspace = field(repr=False)

    @property
    def name(self) -> str:
        """The job's name."""
        return self.record.name

    @property
    def arn(self) -> str:
        """The ARN of the resource that it created."""
        return self.record.key

    @property
    def status(self) -> str:
        """`ACTIVE` for a job that has succeeded."""
        return self.record.status

    def document(self) -> dict[str, Any]:
        """Return everything known about it, as JSON values."""
        return records.document(self.record)

    def summary(self) -> dict[str, object]:
        """Return the most important facts about it."""
        return {"name": self.name, "status": self.status}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.summary().items())})"

    def _repr_html_(self) -> str:
        rows = (
            f"<tr><th {_LEFT}>{html.escape(name)}</th><td {_LEFT}>{html.escape(str(value))}</td></tr>"
            for name, value in self.summary().items()
        )
        return f"<table>{''.join(rows)}</table>"


@dataclass(frozen=True, repr=False)
class TrainedModel(Job):
    """A version of a trained model."""

    @property
    def version(self) -> str | None:
        """The version's identifier; None for the base version."""
        return self.record.version

    @property
    def archive(self) -> Path:
        """Its model.tar.gz, which exists after the job has succeeded."""
        return self.workspace.files.artifacts(self.record.key, self.record.version) / MODEL_ARCHIVE

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest of a Trainer; empty for artifacts of an algorithm that writes none."""
        return self._read(MANIFEST_FILE)

    @property
    def features(self) -> dict[str, Any]:
        """The fitted features of a Trainer; empty for artifacts without them."""
        return self._read(FEATURES_FILE)

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric that a Trainer logged."""
        return dict(self.manifest.get("metrics", {}))

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The names of the files in its artifacts."""
        return tuple(sorted(_file_sizes(self.archive, self.archive.stat().st_mtime_ns)))

    @property
    def sizes(self) -> dict[str, int]:
        """The bytes of each file in its artifacts; if there is a manifest, of those that it lists."""
        listed = self.manifest.get("files")
        if listed:
            return {name: each["bytes"] for name, each in listed.items()}
        return _file_sizes(self.archive, self.archive.stat().st_mtime_ns)

    def rows_of(self, channel: Record) -> int | None:
        """Return how many rows a channel of the training has.

        Rows in files on this machine are counted with the schema in the manifest, unless this would take too long or
        the files may have changed since the training.
        """
        from cleanroom_algo.channels.modes.file import count_rows
        from cleanroom_algo.channels.objects import Object
        from cleanroom_algo.channels.schema import Schema

        if "numberOfRecords" in channel.document:
            return int(channel.document["numberOfRecords"])
        location, schema = channel.private.get("location"), self.manifest.get("schema")
        if schema is None or location is None or not isinstance(source_of(location), Path):
            return None
        try:
            found = [
                Object(each.key, each.place, each.size)
                for each in channel_objects(self.workspace, channel)
                if isinstance(each.place, Path) and each.place.stat().st_mtime < self.record.created
            ]
            size = sum(each.size for each in found)
            if size != round(channel.document.get("sizeInGb", 0) * GB) or size > _COUNTED_BYTES:
                return None
            return sum(count_rows(each, Schema.from_dict(schema)) for each in found)
        except (CleanroomError, OSError):  # the files no longer exist, or cannot be read any more
            return None

    def _read(self, name: str) -> dict[str, Any]:
        return _read_json(self.archive, name, self.archive.stat().st_mtime_ns) if self.archive.exists() else {}

    def extract(self, folder: Path) -> Path:
        """Unpack the artifacts into a new folder, and return it."""
        extract_file(self.archive, folder, subject=TRAINED_MODEL)
        return folder

    def document(self) -> dict[str, Any]:
        """Return its record, its artifacts and the facts about the training in their manifest."""
        private = self.record.private
        known = {
            "artifacts": str(self.archive) if self.archive.exists() else None,
            "rawBytes": private.get("raw_bytes"),
            "packedBytes": private.get("packed_bytes"),
            "maxArtifactBytes": private.get("max_artifact_bytes"),
        }
        trained = {name: self.manifest[name] for name in ("metrics", "steps", "rows") if name in self.manifest}
        return super().document() | known | trained

    def summary(self) -> dict[str, object]:
        """Return the most important facts about it."""
        metrics = {name: f"{value:.6g}" for name, value in self.metrics.items()}
        version = {} if self.version is None else {"version": self.version[:8]}
        return {**super().summary(), **version, **metrics}


@dataclass(frozen=True, repr=False)
class InferenceJob(Job):
    """The predictions of a model for the rows of a channel.

    Attributes:
        inputs: the rows, if they came as a frame; None if they are read from the channel's objects.
    """

    inputs: pl.DataFrame | None = field(default=None, repr=False)

    @property
    def outputs(self) -> list[str]:
        """The paths, or URIs in S3, of the objects with predictions: one for each object of the channel."""
        return list(self.record.private.get("outputs") or ())

    @property
    def warnings(self) -> list[str]:
        """What may be slow or wrong, although the job does not fail."""
        return list(self.record.private.get("warnings") or ())

    @cached_property
    def predictions(self) -> pl.DataFrame:
        """The rows, each with its prediction, in their order.

        A single column of predictions is named `prediction`. Several columns have the algorithm's names if the job
        wrote JSON Lines (`accept="application/jsonlines"`). CSV has no names, so the columns are then named
        `prediction_0` and so on.

        Raises:
            PredictionsUnreadableError: CR-JOB-208, there is not one for each row, or their format is not known.
        """
        from cleanroom_algo.local.predictions import beside_inputs

        answered, has_header = self._answered()
        return beside_inputs(self.inputs, answered, has_header=has_header, delimiter=self._delimiter)

    def first_rows(self, most_bytes: int, *, with_rows: bool = True) -> FirstRows:
        """Return the first predictions, with their rows.

        Args:
            most_bytes: about this many bytes of each are read.
            with_rows: whether the rows are read, too.

        Raises:
            PredictionsUnreadableError: CR-JOB-208, there is not one for each row, or their format is not known.
        """
        from cleanroom_algo.local.predictions import first_rows

        answered, has_header = self._answered()
        return first_rows(
            answered, has_header=has_header, delimiter=self._delimiter, most_bytes=most_bytes, with_rows=with_rows
        )

    @property
    def model(self) -> TrainedModel | None:
        """The version that predicted; None if it no longer exists."""
        found = records.model_of(self.workspace.store, self.record)
        return None if found is None else TrainedModel(found, self.workspace)

    @property
    def predicts_training_rows(self) -> bool:
        """Whether the model was trained on the objects that it predicts: they say little about others."""
        channels = [] if self.model is None else self.model.record.document.get("dataChannels", [])
        arns = [each["mlInputChannelArn"] for each in channels if each["channelName"] != "validation"]
        own, *trained = (
            self.workspace.store.get(records.CHANNEL, each) for each in (*records.channels_of(self.record), *arns)
        )
        places = {each.private.get("location", each.key) for each in trained if each is not None}
        return own is not None and own.private.get("location", own.key) in places

    def contents(self) -> dict[str, bytes]:
        """Return the content of each output, by its name."""
        found: dict[str, bytes] = {}
        for uri in self.outputs:
            for each in source_objects(self.workspace.settings, source_of(uri)):
                with each.open() as file:
                    found[each.key] = file.read()
        return found

    @property
    def _delimiter(self) -> str:
        """What separates the fields of the rows."""
        model = self.model
        schema = None if model is None else model.manifest.get("schema")
        delimiter: str = (schema or {}).get("csv", {}).get("delimiter", ",")
        return delimiter

    def _answered(self) -> tuple[list[tuple[ObjectRef, ObjectRef]], bool]:
        """Return the objects of the channel with their outputs, and whether they begin with a header."""
        (arn,) = records.channels_of(self.record)
        channel = record_of_job(self.workspace, records.CHANNEL, arn)
        objects = channel_objects(self.workspace, channel)
        answered = [(each, self._answer(each)) for each in objects if each.size]
        known = channel.private.get("has_header")
        return answered, looks_like_header(objects) if known is None else known

    def _answer(self, asked: ObjectRef) -> ObjectRef:
        """Return the object with the predictions for one of the channel."""
        found = [uri for uri in self.outputs if uri.endswith(f"/{asked.key}{OUTPUT_SUFFIX}")]
        (answer,) = source_objects(self.workspace.settings, source_of(min(found, key=len)))
        return answer

    def document(self) -> dict[str, Any]:
        """Return its record and its outputs."""
        names = ("outputs", "rows", "bytes", "warnings")
        return super().document() | {name: self.record.private.get(name) for name in names}

    def summary(self) -> dict[str, object]:
        """Return the most important facts about it."""
        return {**super().summary(), "rows": self.record.private.get("rows"), "warnings": len(self.warnings)}

    def _repr_html_(self) -> str:
        from cleanroom_algo.errors import PredictionsUnreadableError

        try:
            shown: str = self.predictions._repr_html_()
        except PredictionsUnreadableError:
            shown = ""
        warnings = "".join(f"<p>warning: {html.escape(each)}</p>" for each in self.warnings)
        return super()._repr_html_() + warnings + shown


@dataclass(frozen=True, repr=False)
class ExportJob(Job):
    """The files of a model that were exported to a member."""

    @property
    def outputs(self) -> list[str]:
        """The paths, or URIs in S3, of the exported files."""
        return list(self.record.private.get("outputs") or ())

    def summary(self) -> dict[str, object]:
        """Return the most important facts about it."""
        return {**super().summary(), "files": len(self.outputs)}


def document(record: Record, workspace: Workspace) -> dict[str, Any]:
    """Return everything known about a resource, as JSON values: its record, and further values of its kind."""
    if record.kind == records.MODEL:
        return TrainedModel(record, workspace).document()
    if record.kind == records.INFERENCE:
        return InferenceJob(record, workspace).document()
    if record.kind == records.TABLE:
        return records.document(record) | _table_document(record, workspace)
    own = ("dialect", "warnings") if record.kind == records.CHANNEL else ()  # how to read its files
    return records.document(record) | {name: record.private.get(name) for name in own}


def _table_document(association: Record, workspace: Workspace) -> dict[str, Any]:
    """Return where a table is, who owns it, and who may use which columns for what."""
    configured = workspace.store.get(CONFIGURED_TABLE, association.parent)
    owner = workspace.store.get(MEMBERSHIP, association.membership)
    access = [each._asdict() for each in column_access(workspace.store, association)]
    return {
        "owner": None if owner is None else owner.name,
        "location": None if configured is None else configured.private["location"],
        "columnAccess": access,
    }


@lru_cache(maxsize=256)  # the complete archive is unpacked
def _file_sizes(archive: Path, modified: int) -> dict[str, int]:  # noqa: ARG001 (another archive may be in the same place)
    with tarfile.open(archive) as tar:
        return {each.name.removeprefix("./"): each.size for each in tar if each.isfile()}


@lru_cache(maxsize=256)  # the complete archive is unpacked to find it
def _read_json(archive: Path, name: str, modified: int) -> dict[str, Any]:  # noqa: ARG001 (of another archive there)
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.removeprefix("./") == name and member.isfile() and member.size < _JSON_BYTES:
                file = tar.extractfile(member)
                assert file is not None
                found = json.loads(file.read())
                return found if isinstance(found, dict) else {}
    return {}
