"""From a record to the run of its job: records become a plan, and what the run leaves becomes members of the record."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cleanroom_algo.contract.channel import Distribution, InputMode
from cleanroom_algo.contract.sizes import GB
from cleanroom_algo.errors import JobError, JobStoppedError, all_errors
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.local.hosts.host_selection import digest_of, host_kind, sagemaker_account
from cleanroom_algo.local.jobs.context import JobContext, JobResult, Runner
from cleanroom_algo.local.jobs.files import LOG_FILE, MODEL_ARCHIVE, OUTPUT_ARCHIVE, USAGE_FILE
from cleanroom_algo.local.jobs.inference.split import is_parquet
from cleanroom_algo.local.jobs.job_log import JobLog, read_lines
from cleanroom_algo.local.objects.mount import unmount_below
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.inference_plan import InferencePlan, spread_objects
from cleanroom_algo.local.plans.training_plan import (
    DEFAULT_MAX_RUNTIME_SECONDS,
    AlgorithmSource,
    BaseModel,
    ChannelPlan,
    TrainingPlan,
    plan_hosts,
)
from cleanroom_algo.local.policies.logs import LogReading, member_logs
from cleanroom_algo.local.policies.publication import Publication
from cleanroom_algo.local.resources.arns import (
    ALGORITHM,
    ASSOCIATION,
    EXPORT_JOB,
    INFERENCE_JOB,
    INPUT_CHANNEL,
    TRAINED_MODEL,
)
from cleanroom_algo.local.resources.store import Record

if TYPE_CHECKING:
    from cleanroom_algo.local.jobs.inference.job import InferenceOutcome
    from cleanroom_algo.local.room import Room

_CSV, _PARQUET = "text/csv", "application/vnd.apache.parquet"  # what an inference job sends; IANA's names
_HEAD_BYTES = 64 * 1024  # of an object's beginning, in which a header is looked for
_TAIL_BYTES = 64 * 1024  # of a log's end, in which the last lines of a container are looked for
_TAIL_LINES = 5
_LINE_CHARACTERS = 200

_RUNNERS: Final = {
    TRAINED_MODEL: "cleanroom_algo.local.jobs.runners:train",
    INFERENCE_JOB: "cleanroom_algo.local.jobs.runners:infer",
    INPUT_CHANNEL: "cleanroom_algo.local.jobs.channel_query:run_query",
    EXPORT_JOB: "cleanroom_algo.local.jobs.export:run_export",
}


def runner_of(kind: str) -> Runner:
    """Return what runs the jobs of a kind; imported now, as DuckDB and others take their time."""
    module, _, attribute = _RUNNERS[kind].partition(":")
    runner: Runner = getattr(import_module(module), attribute)
    return runner


def training_plan(room: Room, record: Record, directory: Path) -> TrainingPlan:
    """Return what the training job of a record will do.

    Args:
        room: the clean room.
        record: of a trained model; it need not be in the store.
        directory: for the run's files.
    """
    document, switches = record.document, room.settings.switches
    resources, association = document["resourceConfig"], _association(room, document)
    channels = tuple(_channel_plan(room, each) for each in document["dataChannels"])
    runtime = document.get("stoppingCondition", {}).get("maxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_SECONDS)
    cap = _policies(association).get("trainedModels", {}).get("maxArtifactSize")
    return TrainingPlan(
        job_name=record.name,
        job_arn=record.key if record.version is None else f"{record.key}/{record.version}",
        run_directory=directory,
        source=_source(room, association, "trainingContainerConfig"),
        hosts=plan_hosts(channels, resources.get("instanceCount", 1)),
        channels=channels,
        input_mode=InputMode(document.get("trainingInputMode", switches.default_input_mode)),
        hyperparameters=document.get("hyperparameters", {}),
        environment=document.get("environment", {}),
        instance_type=resources["instanceType"],
        base_model=_base_model(room, record),
        max_artifact_bytes=None if cap is None else int(cap["value"] * GB),
        max_runtime_seconds=runtime,
        volume_gb=resources["volumeSizeInGB"],
        shuffle_pipes=switches.pipe_order == "shuffled",
        leave_out=switches.overflow == "leave-out",
        file_format=_file_format(channels) if switches.sm_variables == "present" else None,
    )


def inference_plan(room: Room, record: Record, directory: Path) -> InferencePlan:
    """Return what the inference job of a record will do.

    Args:
        room: the clean room.
        record: of an inference job.
        directory: for the run's files.
    """
    document = record.document
    association = _association(room, document)
    channel = _record(room, INPUT_CHANNEL, document["dataSource"]["mlInputChannelArn"])
    objects = room.channel_objects(channel)
    resources = document["resourceConfig"]
    cap = _policies(association).get("trainedModelInferenceJobs", {}).get("maxOutputSize")
    has_header = channel.private.get("has_header")
    switches = room.settings.switches
    whole = switches.inference_on_parquet == "whole-objects" and all(is_parquet(each) for each in objects)
    return InferencePlan(
        job_name=record.name,
        job_arn=record.key,
        run_directory=directory,
        source=_source(room, association, "inferenceContainerConfig"),
        model=room.artifacts(record.parent, document.get("trainedModelVersionIdentifier")) / MODEL_ARCHIVE,
        hosts=spread_objects(objects, resources.get("instanceCount", 1)),
        environment=document.get("environment", {}),
        accept=document["outputConfiguration"].get("accept"),
        max_payload_mb=document.get("containerExecutionParameters", {}).get("maxPayloadInMB"),
        max_output_bytes=None if cap is None else int(cap["value"] * GB),
        instance_type=resources["instanceType"],
        has_header=_looks_like_header(objects) if has_header is None else has_header,
        header_known=has_header is not None,
        header=switches.inference_header,
        lost_rows=switches.inference_lost_rows,
        content_type=_PARQUET if whole else _CSV,
        leave_out=switches.overflow == "leave-out",
        whole_objects=whole,
        max_seconds=room.settings.quotas.inference_job_hours * 3600,
    )


def train(context: JobContext) -> JobResult:
    """Run a training job and keep its artifacts, whole or not at all."""
    from cleanroom_algo.local.jobs.training import TrainingStatus, run_training

    plan = training_plan(context.room, context.record, context.directory)
    shown = digest_of("trainingContainerImageDigest", plan.source)
    if (account := sagemaker_account(context.room)) is not None:
        from cleanroom_algo.local.hosts.sagemaker import train_in

        outcome = train_in(account, plan, context.listener, context.stopped)
    else:
        outcome = run_training(plan, host_kind(context.room, plan.source), context.listener, context.stopped)
    private: dict[str, Any] = {"log": str(outcome.log), "exit_codes": outcome.exit_codes}
    if outcome.status is not TrainingStatus.COMPLETED or outcome.model_archive is None:
        tidy(context.directory)
        reason = outcome.failure_reason or "the job was stopped"
        code = "JobStopped" if outcome.status is TrainingStatus.STOPPED else _status_code(reason)
        if reason.startswith("MaxRuntimeExceeded"):
            code = "MaxRuntimeExceeded"
        private["exit_code"] = int(_exit_status(outcome.exit_codes, code))
        return JobResult(code, reason, shown, private)
    kept = context.room.artifacts(context.record.key, context.record.version)
    kept.mkdir(parents=True, exist_ok=True)
    for archive, name in ((outcome.model_archive, MODEL_ARCHIVE), (outcome.output_archive, OUTPUT_ARCHIVE)):
        if archive is not None:
            archive.replace(kept / name)
    tidy(context.directory)
    sizes = {"raw_bytes": outcome.raw_bytes, "packed_bytes": outcome.packed_bytes}
    return JobResult(
        document=shown,
        private={**private, **sizes, "artifacts": str(kept), "max_artifact_bytes": plan.max_artifact_bytes},
        left_out=outcome.left_out,
    )


def infer(context: JobContext) -> JobResult:
    """Run an inference job and write its outputs to where the receiver wants them."""
    from cleanroom_algo.local.jobs.inference.job import InferenceStatus, run_inference

    plan = inference_plan(context.room, context.record, context.directory)
    shown = digest_of("inferenceContainerImageDigest", plan.source)
    log = context.directory / LOG_FILE
    with JobLog(log) as written:
        context.listener.add(written)
        if (account := sagemaker_account(context.room)) is not None:
            from cleanroom_algo.local.hosts.sagemaker import infer_in

            outcome = infer_in(account, plan, context.listener, context.stopped)
        else:
            outcome = run_inference(plan, host_kind(context.room, plan.source), context.listener, context.stopped)
    private: dict[str, Any] = {"log": str(log), "failed_objects": list(outcome.failed_objects)}
    private["warnings"] = list(outcome.warnings)
    failed = outcome.status is not InferenceStatus.COMPLETED
    if not failed or _keeps_outputs(context.room, outcome):
        private["outputs"] = _publish(context.room, outcome.outputs, context.record.private["output"])
    tidy(context.directory)
    if failed:
        reason = outcome.failure_reason or "the job was stopped"
        if outcome.ended_host is not None:
            reason += _last_lines(context, outcome.ended_host)
        stopped = outcome.status is InferenceStatus.STOPPED
        exit_code = ExitCode.STOPPED if stopped else getattr(outcome.error, "exit_code", ExitCode.ALGORITHM_FAILED)
        code = "JobStopped" if stopped else _status_code(reason)
        return JobResult(code, reason, shown, {**private, "exit_code": int(exit_code)})
    kept = {"rows": outcome.rows, "bytes": outcome.bytes}
    return JobResult(document=shown, private={**private, **kept}, left_out=outcome.left_out)


def _keeps_outputs(room: Room, outcome: InferenceOutcome) -> bool:
    """Whether the outputs of a job that did not succeed are the receiver's; of a stopped one SageMaker stores none."""
    from cleanroom_algo.local.jobs.inference.job import InferenceStatus

    return outcome.status is InferenceStatus.FAILED and room.settings.switches.inference_after_failure == "keep"


def _last_lines(context: JobContext, host: str) -> str:
    """Return what a host's container wrote last, as far as the account of the job may see it."""
    room, record = context.room, context.record
    written = read_lines(context.directory / LOG_FILE, last_bytes=_TAIL_BYTES)
    lines = [line for line in written if line["host"] == host and line["stream"] != "job"]
    switches = room.settings.switches
    reading = LogReading(switches.log_filter, switches.redaction_placeholder)
    seen = member_logs(lines, None, Publication.of(room.store, record), record.account, reading).lines[-_TAIL_LINES:]
    shown = [line["text"][:_LINE_CHARACTERS] for line in seen]
    return "\n  log       " + "\n            ".join(shown) if shown else ""


def _publish(room: Room, outputs: Path, uri: str) -> list[str]:
    return [
        room.objects.put(path, f"{uri}/{path.relative_to(outputs).as_posix()}")
        for path in sorted(outputs.rglob("*"))
        if path.is_file()
    ]


def discard(room: Room, record: Record) -> None:
    """Remove what a resource holds besides its record and its log.

    Raises:
        OSError: something cannot be removed.
    """
    if record.kind == TRAINED_MODEL:
        _remove(room.artifacts(record.key, record.version))
    elif record.kind == INPUT_CHANNEL:
        _remove(room.channel_directory(record))
    directory = room.run_directory(record)
    if directory.exists():
        tidy(directory)


def _channel_plan(room: Room, channel: Mapping[str, Any]) -> ChannelPlan:
    distribution = channel.get("s3DataDistributionType", room.settings.switches.default_distribution)
    objects = room.channel_objects(_record(room, INPUT_CHANNEL, channel["mlInputChannelArn"]))
    return ChannelPlan(channel["channelName"], Distribution(distribution), objects)


def _base_model(room: Room, record: Record) -> BaseModel | None:
    base = record.private.get("base")
    if base is None:
        return None
    archive = room.artifacts(base["key"], base.get("version")) / MODEL_ARCHIVE
    if not archive.exists():
        raise JobStoppedError(
            "the artifacts of the base model are not there any more",
            expected=f"{archive}",
            fix="train the base again, or start from another version",
        )
    return BaseModel(base["channelName"], archive, packed=room.settings.switches.base_model_form == "packed")


def _association(room: Room, document: Mapping[str, Any]) -> Record:
    return _record(room, ASSOCIATION, document["configuredModelAlgorithmAssociationArn"])


def _source(room: Room, association: Record, config: str) -> AlgorithmSource:
    algorithm = _record(room, ALGORITHM, association.parent)
    container: Mapping[str, Any] = algorithm.document[config]
    return AlgorithmSource(
        image_uri=algorithm.private.get("algorithm", container["imageUri"]),
        entrypoint=_words(container, "entrypoint"),
        arguments=_words(container, "arguments"),
    )


def _file_format(channels: tuple[ChannelPlan, ...]) -> str:
    first = next((each for channel in channels for each in channel.objects), None)
    return "parquet" if first is not None and is_parquet(first) else "csv"


def _words(container: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    return tuple(container[name]) if name in container else None


def _policies(association: Record) -> Mapping[str, Any]:
    policies: Mapping[str, Any] = association.document.get("privacyConfiguration", {}).get("policies", {})
    return policies


def _record(room: Room, kind: str, key: str) -> Record:
    found = room.store.get(kind, key)
    if found is None:
        raise JobError(
            f"the {kind.replace('-', ' ')} of the job is not there any more",
            expected="that it stays until the job has ended",
            fix="create it again, and start the job again",
        )
    return found


def _looks_like_header(objects: tuple[ObjectRef, ...]) -> bool:
    """Whether the first object begins with names: no field of its first line is empty, a number, or there twice.

    The platform never says so and does not need to know; here it decides which line a second request may repeat.
    """
    first = next((each for each in objects if each.size), None)
    if first is None:
        return False
    with first.open() as file:
        line = file.read(_HEAD_BYTES).partition(b"\n")[0].decode("utf-8", "replace").strip("\r\ufeff")
    fields = [field.strip('" ') for field in line.split(",")]
    names = all(field and not _is_number(field) for field in fields)
    return names and len(set(fields)) == len(fields) and not line.startswith(("{", "["))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _status_code(reason: str) -> str:
    head = reason.split("\n")[0].split(":")[0].split(" ")[0]
    return head if head.startswith("CR-") or head.isidentifier() else "AlgorithmError"


def _exit_status(exit_codes: Mapping[str, int], code: str) -> ExitCode:
    if code == "JobStopped":
        return ExitCode.STOPPED
    if (kind := all_errors().get(code)) is not None:
        return kind.exit_code  # the room's own error, whatever the containers made of it
    return ExitCode.CONTRACT if ExitCode.CONTRACT in exit_codes.values() else ExitCode.ALGORITHM_FAILED


def tidy(directory: Path) -> None:
    """Remove everything of a run but its log and what its hosts took."""
    unmount_below(directory)
    for path in directory.iterdir():
        if path.name not in {LOG_FILE, USAGE_FILE}:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        # Delivered objects and unpacked archives may be read-only; their folders decide whether they can go.
        for folder in (path, *(each for each in path.rglob("*") if each.is_dir() and not each.is_symlink())):
            folder.chmod(folder.stat().st_mode | 0o700)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
