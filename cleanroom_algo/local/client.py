"""`CleanRoom`: the local clean room from Python, in scripts, notebooks and tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from cleanroom_algo.channels.memory import keep_freed_memory
from cleanroom_algo.channels.schema import Csv, Schema
from cleanroom_algo.contract.hyperparameters import as_texts
from cleanroom_algo.errors import UsageError
from cleanroom_algo.local import notebook
from cleanroom_algo.local.hosts.registry import HOST_KINDS
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.room_files import state_folder
from cleanroom_algo.local.resources.settings import RoomSettings
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.results import ExportJob, InferenceJob, Job, LogLine, TrainedModel, check_ended_well
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.setup.calls import (
    INFER,
    ROOM_CHANNEL,
    JobCall,
    inference_call,
    make_call,
    room_channel,
    training_call,
)
from cleanroom_algo.local.setup.channel_data import ChannelData, as_frame, channel_source, declared_csv, is_frame
from cleanroom_algo.local.setup.quick_requests import Configured
from cleanroom_algo.local.written_log import WrittenLog

Follow: TypeAlias = Callable[[Room, Record], Record]
"""Waits for a job: takes its record at the start, and returns its record at the end."""
Distribution: TypeAlias = Literal["FullyReplicated", "ShardedByS3Key"]
InputMode: TypeAlias = Literal["File", "FastFile", "Pipe"]


class CleanRoom:
    """A local clean room: train, predict and export as in the service, with the same operations.

    Use it as a context manager, or close it: this ends the jobs of this process.

    Example:
        >>> with CleanRoom() as room:
        ...     model = room.train("my_algorithm.py", train="data/", hosts=2)
        ...     room.infer(model, "new/").predictions

    Args:
        home: the state folder; by default that of the command: CLEANROOM_ALGO_HOME, or one in the user's data folder.
        host_kind: where containers run: auto, process, sandbox, docker or sagemaker; None: as in the room's settings.
        follow: waits for a job; by default without output, in a notebook with a line that shows its progress.

    Raises:
        RoomStateError: CR-ROM-002. RoomSettingsError: CR-ROM-005. UsageError: CR-CLI-001, no such kind of hosts.
    """

    def __init__(
        self, home: str | Path | None = None, *, host_kind: str | None = None, follow: Follow | None = None
    ) -> None:
        keep_freed_memory()  # inference jobs allocate memory for their requests
        self.home = state_folder(home)
        self._follow = follow or (notebook.follow if notebook.in_notebook() else _wait)
        self.room = Room(self.home, _settings(self.home, host_kind))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the jobs of this process, and close the state folder."""
        self.room.close()

    # --- jobs -------------------------------------------------------------------------------------------------------

    def train(
        self,
        algorithm: str | Path | None = None,
        channels: Mapping[str, ChannelData] | None = None,
        *,
        name: str | None = None,
        hosts: int = 1,
        distribution: Distribution = "FullyReplicated",
        input_mode: InputMode = "File",
        instance_type: str = "ml.m5.2xlarge",
        hyperparameters: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
        base_model: TrainedModel | str | None = None,
        max_runtime: int | None = None,
        policies: Mapping[str, Any] | None = None,
        entrypoint: Sequence[str] = (),
        arguments: Sequence[str] = (),
        **channel: ChannelData,
    ) -> TrainedModel:
        """Train, and return the model when the job has succeeded.

        Args:
            algorithm: a Python file, a folder with algorithm.py, or an image; not needed with declared channels.
            channels: data by channel name; needed only for names that are parameters of this method.
            name: of the trained model; by default that of the algorithm.
            hosts: 1 to 5; a frame is divided into as many objects.
            distribution: of all channels.
            input_mode: of the job.
            instance_type: as in the request.
            hyperparameters: of any JSON type; the platform gets them as strings.
            environment: variables of the containers.
            base_model: the version to start from, or its name as for the commands.
            max_runtime: seconds after which the job is stopped.
            policies: `privacyConfiguration.policies` of the algorithm's association: maximum sizes, logs, exports.
            entrypoint: the program that trains, instead of the image's.
            arguments: its arguments, instead of the word `train`.
            channel: data by channel name: `train=FRAME, validation="data/validation"`; `"room:NAME"` is a declared
                channel.

        Raises:
            JobFailed: the job failed or was stopped.
            RequestError: the service would refuse the request.
            AlgorithmNotFoundError: CR-CON-004, there is nothing at the algorithm's path.
            BindingError: CR-ROM-003, the algorithm or a channel does not exist, or does not belong to this request.
            RoomError: CR-ROM-004 or CR-ROM-007, a prefix in S3 cannot be listed, or has no objects.
        """
        data = {**(channels or {}), **channel}
        csv = declared_csv(algorithm) if any(is_frame(each) for each in data.values()) else None
        call = training_call(
            self.room.caller,
            algorithm,
            {each: self._source(value, each, parts=hosts, csv=csv) for each, value in data.items()},
            name=name,
            hosts=hosts,
            distribution=distribution,
            input_mode=input_mode,
            instance_type=instance_type,
            hyperparameters=as_texts(hyperparameters or {}),
            environment=environment,
            base_model=None if base_model is None else self._record(base_model),
            max_runtime=max_runtime,
            configured=Configured(policies, entrypoint, arguments),
        )
        return TrainedModel(self._run(call), self.room.workspace)

    def infer(
        self,
        model: TrainedModel | str,
        data: ChannelData,
        *,
        name: str | None = None,
        instances: int = 1,
        instance_type: str = "ml.m5.2xlarge",
        accept: str | None = None,
        max_payload_mb: int | None = None,
        environment: Mapping[str, str] | None = None,
        algorithm: str | Path | None = None,
    ) -> InferenceJob:
        """Predict, and return the job with its predictions when it has succeeded.

        Args:
            model: the model, or its name as for the commands.
            data: the rows to predict.
            name: of the job; by default based on that of the model.
            instances: 1 to 10; a frame is divided into as many objects.
            instance_type: as in the request.
            accept: content type of the predictions; by default the algorithm's choice.
            max_payload_mb: maximum size of a request to a container, 1 to 100.
            environment: variables of the containers.
            algorithm: another algorithm than the one that trained the model.

        Raises:
            JobFailed: the job failed or was stopped.
            SchemaError: the model cannot read the first rows; nothing was started.
            RequestError: the service would refuse the request.
            AlgorithmNotFoundError: CR-CON-004, there is nothing at the algorithm's path.
            BindingError: CR-ROM-003, the data does not exist.
            RoomError: CR-ROM-004 or CR-ROM-007, a prefix in S3 cannot be listed, or has no objects.
        """
        frame = as_frame(data) if is_frame(data) else None
        record = self._record(model)
        schema = TrainedModel(record, self.room.workspace).manifest.get("schema")
        csv = Csv() if schema is None else Schema.from_dict(schema).csv
        call = inference_call(
            self.room.caller,
            record,
            self._source(data if frame is None else frame, "inference", parts=instances, csv=csv),
            algorithm=algorithm,
            name=name,
            instances=instances,
            instance_type=instance_type,
            accept=accept,
            max_payload_mb=max_payload_mb,
            environment=environment,
        )
        return InferenceJob(self._run(call), self.room.workspace, frame)

    def export(self, model: TrainedModel | str, *, to: str | None = None, name: str | None = None) -> ExportJob:
        """Export the artifacts of a model to a member, and return the job when it has succeeded.

        Args:
            model: the model, or its name as for the commands.
            to: the member's account; by default the one that trained.
            name: of the job; by default that of the model.

        Raises:
            JobFailed: the job failed.
            RequestError: the service would refuse the request, as it does without a policy for exports.
        """
        record = self._record(model)
        version = {} if record.version is None else {"trainedModelVersionIdentifier": record.version}
        params = {
            "membershipIdentifier": record.membership,
            "name": name or record.name,
            "trainedModelArn": record.key,
            "outputConfiguration": {"members": [{"accountId": to or record.account}]},
            **version,
        }
        self.room.call("StartTrainedModelExportJob", params, record.account)
        (started,) = self.room.store.find(records.EXPORT, limit=1)  # the operation does not return its ARN
        return ExportJob(self._ended(started), self.room.workspace)

    def _run(self, call: JobCall) -> Record:
        return self._ended(start(self.room, call))

    def _ended(self, started: Record) -> Record:
        try:
            record = self._follow(self.room, started)
        except KeyboardInterrupt:  # in a notebook, the process and the job would continue
            self.room.store.stop_job(started)
            self.room.supervisor.wake()
            raise
        self.room.forget_unstarted(record)
        check_ended_well(record, self.room.workspace)
        return record

    # --- what is there ----------------------------------------------------------------------------------------------

    def models(self) -> list[TrainedModel]:
        """Return all versions of all trained models, the newest first."""
        found = self.room.store.find(records.MODEL)
        return [TrainedModel(each, self.room.workspace) for each in found]

    def model(self, name: str) -> TrainedModel:
        """Return a model by its name or ARN; `:VERSION` after it selects a version.

        Raises:
            NoSuchRecordError: CR-CLI-007.
        """
        return TrainedModel(self._record(name), self.room.workspace)

    def logs(self, job: Job | str, as_account: str | None = None) -> list[LogLine]:
        """Return the output of the containers of a job.

        Args:
            job: a model or an inference job, or its name as for the commands.
            as_account: of the member whose view to return; None for the complete log.

        Raises:
            NoSuchRecordError: CR-CLI-007, there is no such job, it has no log, or the account is not a member.
        """
        kinds = (records.MODEL, records.INFERENCE)
        record = job.record if isinstance(job, Job) else records.find(self.room.store, job, kinds)
        seen = WrittenLog.read(self.room.workspace, record, as_account).seen_by(as_account)
        return [LogLine(**line) for line in seen.lines]

    def _record(self, model: TrainedModel | str) -> Record:
        if isinstance(model, TrainedModel):
            return model.record
        return records.find(self.room.store, model, (records.MODEL,))

    def _source(self, data: ChannelData, name: str, *, parts: int, csv: Csv | None) -> Any:
        if isinstance(data, str) and data.startswith(ROOM_CHANNEL):
            return room_channel(self.room.store, data)
        return channel_source(data, self.room.workspace.files.frames, parts=parts, csv=csv, name=name)


def start(room: Room, call: JobCall) -> Record:
    """Start a job, and return its record.

    Raises:
        RequestError: the service would refuse the request. And what `check_first_rows` raises; no record is left then.
    """

    def check() -> None:
        if call.operation == INFER:
            from cleanroom_algo.local.first_rows import check_first_rows  # polars takes long to import

            check_first_rows(room.workspace, call.params)

    return make_call(room.caller, call, check)


def _settings(home: Path, host_kind: str | None) -> RoomSettings | None:
    if host_kind is None:
        return None
    if host_kind not in ("auto", *HOST_KINDS):
        raise UsageError(
            f"{host_kind!r} is not a kind of hosts",
            expected=f"auto, {', '.join(HOST_KINDS)}",
            fix="choose one of these as host_kind",
        )
    settings = RoomSettings.read(home)
    return settings.model_copy(update={"machine": settings.machine.model_copy(update={"host_kind": host_kind})})


def _wait(room: Room, started: Record) -> Record:
    return room.wait(started.key, started.version)
