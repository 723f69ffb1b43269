"""Hosts in your own AWS account: the same plans as SageMaker jobs, for data that does not fit on one machine.

Requests are pure functions of a plan; boto3 validates them against botocore's model. The objects of the channels are
first copied to a bucket of the account; containers have no network access.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import tarfile
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

from cleanroom_algo.contract.channel import Distribution, InputMode
from cleanroom_algo.contract.environment import JOB_NAME_VARIABLE
from cleanroom_algo.contract.settings import variable
from cleanroom_algo.contract.sizes import GB
from cleanroom_algo.errors import ArtifactsTooLargeError, CleanroomError, HostStartError, JobFailedError, SageMakerError
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.objects.store import S3Objects
from cleanroom_algo.local.plans.inference_plan import InferencePlan
from cleanroom_algo.local.plans.listeners import JobListener
from cleanroom_algo.local.plans.outcomes import InferenceOutcome, JobStatus, TrainingOutcome
from cleanroom_algo.local.plans.run_files import LOG_FILE, MODEL_ARCHIVE, OUTPUT_ARCHIVE
from cleanroom_algo.local.plans.training_plan import AlgorithmSource, TrainingPlan
from cleanroom_algo.local.policies.caps import fitting, hold_to_cap, output_too_large
from cleanroom_algo.local.resources.job_log import JobLog
from cleanroom_algo.local.resources.settings import RoomSettings

POLL_SECONDS = 10.0  # jobs take minutes to start
_NAME_CHARACTERS = 63  # SageMaker API, TrainingJobName
_TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"  # SageMaker developer guide, "Log groups and streams"
_TRANSFORM_LOGS = "/aws/sagemaker/TransformJobs"
_ENDED = {"Completed", "Failed", "Stopped"}


@dataclass(frozen=True)
class Account:
    """The account in which the jobs run.

    Attributes:
        place: an s3:// URI for all files of the jobs.
        role: the ARN of the role that SageMaker assumes.
        region: of the jobs.
        endpoint: URL of a replacement of AWS; None: AWS itself.
        poll_seconds: between two requests for the state of a job.
    """

    chosen_by_itself: ClassVar[bool] = False

    place: str
    role: str
    region: str = "us-east-1"
    endpoint: str | None = None
    poll_seconds: float = POLL_SECONDS

    def client(self, service: str) -> Any:
        """Return boto3's client of a service; boto3 finds the credentials in the environment."""
        import boto3

        make: Any = boto3.client  # its stubs accept only literal names of services
        return make(service, region_name=self.region, endpoint_url=self.endpoint)

    @classmethod
    def runs(cls, _source: AlgorithmSource) -> bool:
        """Return True: a source that is not an image is refused with a reason."""
        return True

    @classmethod
    def missing(cls, _settings: RoomSettings) -> None:
        """Return None: nothing is known before AWS is called."""

    @classmethod
    def of(cls, settings: RoomSettings) -> Self:
        """Return the account that the settings name.

        Raises:
            SageMakerError: CR-HST-004, settings are missing.
        """
        machine = settings.machine
        if machine.sagemaker_place is None or machine.sagemaker_role is None:
            raise SageMakerError(
                "the settings do not say where jobs run in your account",
                expected="sagemaker_role and sagemaker_place in the table [machine] of settings.toml",
                fix="add them, or choose another host_kind",
            )
        return cls(
            machine.sagemaker_place.rstrip("/"), machine.sagemaker_role, machine.region, machine.sagemaker_endpoint
        )

    def train(self, plan: TrainingPlan, listener: JobListener, stopped: threading.Event) -> TrainingOutcome:
        """Run a training job to its end.

        Args:
            plan: of the job.
            listener: gets the output of the containers after the job has ended.
            stopped: set from outside to stop the job.

        Raises:
            SageMakerError: CR-HST-004, AWS refused a request.
            HostStartError: CR-HST-001, the source is not an image.
        """
        _need_image(plan.source.path)
        name, objects = job_name(plan.job_name, plan.run_directory), S3Objects(self.endpoint, self.region)
        plan.run_directory.mkdir(parents=True, exist_ok=True)
        with _refusals("the training job"):
            for channel in plan.channels:
                _upload(objects, channel.objects, f"{self.place}/{name}/input/{channel.name}")
            if plan.base_model is not None:
                place = f"{self.place}/{name}/input/{plan.base_model.channel}/{MODEL_ARCHIVE}"
                objects.put(plan.base_model.archive, place)
            client = self.client("sagemaker")
            client.create_training_job(**training_request(plan, self, name))
            describe = partial(client.describe_training_job, TrainingJobName=name)
            end = _watch(self, stopped, describe, "TrainingJobStatus")
            if stopped.is_set() and end["TrainingJobStatus"] not in _ENDED:
                client.stop_training_job(TrainingJobName=name)
                end = _watch(self, None, describe, "TrainingJobStatus")
            log = plan.run_directory / LOG_FILE
            with JobLog(log) as written:
                for host, text in _log_lines(self, _TRAINING_LOGS, name):
                    written.line(host, "stdout", text)
                    listener.line(host, "stdout", text)
            return _training_outcome(plan, objects, end, log)

    def infer(self, plan: InferencePlan, listener: JobListener, stopped: threading.Event) -> InferenceOutcome:
        """Run an inference job to its end.

        Args:
            plan: of the job.
            listener: gets the output of the containers after the job has ended.
            stopped: set from outside to stop the job.

        Raises:
            SageMakerError: CR-HST-004, AWS refused a request.
            HostStartError: CR-HST-001, the source is not an image.
        """
        _need_image(plan.source.path)
        name, objects = job_name(plan.job_name, plan.run_directory), S3Objects(self.endpoint, self.region)
        outputs = plan.run_directory / "outputs"
        outputs.mkdir(parents=True)
        with _refusals("the transform job"):
            _upload(objects, (each for host in plan.hosts for each in host.objects), f"{self.place}/{name}/input")
            objects.put(plan.model, f"{self.place}/{name}/model/{MODEL_ARCHIVE}")
            client = self.client("sagemaker")
            client.create_model(**model_request(plan, self, name))
            client.create_transform_job(**transform_request(plan, self, name))
            describe = partial(client.describe_transform_job, TransformJobName=name)
            end = _watch(self, stopped, describe, "TransformJobStatus")
            if stopped.is_set() and end["TransformJobStatus"] not in _ENDED:
                client.stop_transform_job(TransformJobName=name)
            client.delete_model(ModelName=name)
            for host, text in _log_lines(self, _TRANSFORM_LOGS, name):
                listener.line(host, "stdout", text)
            prefix = f"{self.place}/{name}/output/"
            for uri in objects.list(prefix):
                target = outputs / uri.removeprefix(prefix)
                target.parent.mkdir(parents=True, exist_ok=True)
                objects.fetch(uri, target)
        return _inference_outcome(plan, end, outputs)


def job_name(wanted: str, run_directory: Path) -> str:
    """Return a valid and unique name for SageMaker: each job has its own run directory."""
    suffix = hashlib.sha256(str(run_directory).encode()).hexdigest()[:8]
    plain = re.sub(r"[^A-Za-z0-9]+", "-", wanted).strip("-") or "job"
    return f"{plain[: _NAME_CHARACTERS - len(suffix) - 1].rstrip('-')}-{suffix}"


def training_request(plan: TrainingPlan, account: Account, name: str) -> dict[str, Any]:
    """Return the parameters of CreateTrainingJob.

    Args:
        plan: of the job; its source is an image in a registry from which SageMaker can pull.
        account: where it runs.
        name: of the SageMaker job.
    """
    algorithm: dict[str, Any] = {"TrainingImage": plan.source.image_uri, "TrainingInputMode": plan.input_mode.value}
    for member, words in (
        ("ContainerEntrypoint", plan.source.entrypoint),
        ("ContainerArguments", plan.source.arguments),
    ):
        if words is not None:
            algorithm[member] = list(words)
    environment = dict(plan.environment)
    if plan.max_artifact_bytes is not None:
        environment.setdefault(variable("max_artifact_gb"), f"{plan.max_artifact_bytes / GB:.9g}")
    environment.pop(JOB_NAME_VARIABLE, None)  # SageMaker sets it
    channels = {channel.name: (plan.input_mode, channel.distribution) for channel in plan.channels}
    if plan.base_model is not None:
        channels[plan.base_model.channel] = InputMode.FILE, Distribution.FULLY_REPLICATED
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": algorithm,
        "RoleArn": account.role,
        "HyperParameters": dict(plan.hyperparameters),
        "InputDataConfig": [
            {
                "ChannelName": channel,
                "InputMode": mode.value,
                "DataSource": _s3_source(f"{account.place}/{name}/input/{channel}/", distribution),
            }
            for channel, (mode, distribution) in channels.items()
        ],
        "OutputDataConfig": {"S3OutputPath": account.place},
        "ResourceConfig": {
            "InstanceType": plan.instance_type,
            "InstanceCount": len(plan.hosts),
            "VolumeSizeInGB": plan.volume_gb,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": plan.max_runtime_seconds},
        "EnableNetworkIsolation": True,
        "Environment": environment,
    }


def model_request(plan: InferencePlan, account: Account, name: str) -> dict[str, Any]:
    """Return the parameters of CreateModel."""
    return {
        "ModelName": name,
        "PrimaryContainer": {
            "Image": plan.source.image_uri,
            "ModelDataUrl": f"{account.place}/{name}/model/{MODEL_ARCHIVE}",
        },
        "ExecutionRoleArn": account.role,
        "EnableNetworkIsolation": True,
    }


def transform_request(plan: InferencePlan, account: Account, name: str) -> dict[str, Any]:
    """Return the parameters of CreateTransformJob.

    Objects are split and assembled by line, as Clean Rooms ML documents, or sent as a whole if the plan says so.
    """
    split, strategy = ("None", "SingleRecord") if plan.whole_objects else ("Line", "MultiRecord")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"{account.place}/{name}/input/"}
    output = {"S3OutputPath": f"{account.place}/{name}/output", "AssembleWith": split}
    if plan.accept:
        output["Accept"] = plan.accept
    request: dict[str, Any] = {
        "TransformJobName": name,
        "ModelName": name,
        "BatchStrategy": strategy,
        "Environment": dict(plan.environment),
        "TransformInput": {
            "DataSource": {"S3DataSource": source},
            "ContentType": plan.content_type,
            "SplitType": split,
        },
        "TransformOutput": output,
        "TransformResources": {"InstanceType": plan.instance_type, "InstanceCount": len(plan.hosts)},
    }
    if plan.max_payload_mb is not None:
        request["MaxPayloadInMB"] = plan.max_payload_mb
    return request


def _training_outcome(plan: TrainingPlan, objects: S3Objects, end: Mapping[str, Any], log: Path) -> TrainingOutcome:
    status = end["TrainingJobStatus"]
    if status == "Failed":
        reason = end.get("FailureReason") or "AlgorithmError: no reason was given"
        return TrainingOutcome(JobStatus.FAILED, reason, {}, log)
    if status == "Stopped":  # the room keeps no artifacts of stopped jobs
        over = end.get("SecondaryStatus") == "MaxRuntimeExceeded"
        reason = f"MaxRuntimeExceeded: {plan.max_runtime_seconds} s" if over else None
        return TrainingOutcome(JobStatus.STOPPED, reason, {}, log)
    place = end.get("ModelArtifacts", {}).get("S3ModelArtifacts", "")
    archives = []
    for name in (MODEL_ARCHIVE, OUTPUT_ARCHIVE):
        for uri in objects.list(place.removesuffix(MODEL_ARCHIVE) + name) if place else ():
            archives.append(plan.run_directory / name)
            objects.fetch(uri, archives[-1])
    by_name = {each.name: each for each in archives}
    try:
        raw_bytes, left_out = _bound(archives, plan)
    except CleanroomError as error:
        return TrainingOutcome(JobStatus.FAILED, str(error), {}, log)
    return TrainingOutcome(
        status=JobStatus.COMPLETED,
        failure_reason=None,
        exit_codes={host.name: 0 for host in plan.hosts},
        log=log,
        model_archive=by_name.get(MODEL_ARCHIVE),
        output_archive=by_name.get(OUTPUT_ARCHIVE),
        raw_bytes=raw_bytes,
        packed_bytes=sum(each.stat().st_size for each in archives),
        left_out=left_out,
    )


def _bound(archives: Sequence[Path], plan: TrainingPlan) -> tuple[int, ArtifactsTooLargeError | None]:
    """Remove files from the archives that exceed the maximum size; return the bytes of all, and the error if any."""
    sizes: dict[str, int] = {}
    for archive in archives:
        with tarfile.open(archive) as members:
            sizes |= {f"{archive.name}: {member.name}": member.size for member in members}
    kept, left_out = hold_to_cap(sizes, plan.max_artifact_bytes, leave_out=plan.leave_out)
    if left_out is not None:
        for archive in archives:
            _keep(archive, kept)
    return sum(sizes[name] for name in kept), left_out


def _keep(archive: Path, kept: Collection[str]) -> None:
    draft = archive.with_name(f".{archive.name}")
    with tarfile.open(archive) as source, tarfile.open(draft, "w:gz") as target:
        for member in source:
            if f"{archive.name}: {member.name}" in kept:
                target.addfile(member, source.extractfile(member) if member.isreg() else None)
    draft.replace(archive)


def _inference_outcome(plan: InferencePlan, end: Mapping[str, Any], outputs: Path) -> InferenceOutcome:
    if end["TransformJobStatus"] != "Completed":
        error = JobFailedError(
            end.get("FailureReason") or "the transform job failed without a reason",
            expected="a transform job that ends Completed",
            fix="read its log in the account",
        )
        failed = end["TransformJobStatus"] == "Failed"
        status = JobStatus.FAILED if failed else JobStatus.STOPPED
        return InferenceOutcome(status, str(error) if failed else None, outputs, error=error if failed else None)
    sizes = {path.relative_to(outputs).as_posix(): path.stat().st_size for path in sorted(_files(outputs))}
    cap, size = plan.max_output_bytes, sum(sizes.values())
    too_large = output_too_large(size, cap) if cap is not None and size > cap else None
    kept = {*sizes} if too_large is None or cap is None else fitting(sizes, cap if plan.leave_out else 0)
    for name in sizes.keys() - kept:
        (outputs / name).unlink()
    failed_objects = tuple(sorted(name.removesuffix(".out") for name in sizes.keys() - kept))
    failure = None if plan.leave_out else too_large
    return InferenceOutcome(
        status=JobStatus.FAILED if failure else JobStatus.COMPLETED,
        failure_reason=str(failure) if failure else None,
        outputs=outputs,
        bytes=sum(sizes[name] for name in kept),
        rows=sum(_lines_in(outputs / name) for name in kept),
        failed_objects=failed_objects,
        error=failure,
        left_out=too_large if plan.leave_out else None,
    )


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _lines_in(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _watch(account: Account, stopped: threading.Event | None, describe: Any, member: str) -> dict[str, Any]:
    """Poll a job until it has ended or is to be stopped; return its last description."""
    pause = stopped or threading.Event()
    while True:
        found: dict[str, Any] = describe()
        if found[member] in _ENDED or pause.wait(account.poll_seconds):
            return found


def _upload(objects: S3Objects, references: Iterable[ObjectRef], place: str) -> None:
    for each in references:
        with each.open() as source:
            objects.send(source, f"{place}/{each.key}")


def _s3_source(uri: str, distribution: Distribution) -> dict[str, Any]:
    return {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": distribution.value}}


def _log_lines(account: Account, group: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield (host, line) from CloudWatch Logs; streams are named JOB/HOST-NUMBER."""
    from botocore.exceptions import ClientError

    pages = account.client("logs").get_paginator("filter_log_events")
    with contextlib.suppress(ClientError):  # a job that did not start has no log
        for page in pages.paginate(logGroupName=group, logStreamNamePrefix=f"{name}/"):
            for event in page["events"]:
                stream = event["logStreamName"].rpartition("/")[2]
                yield "-".join(stream.split("-")[:2]), event["message"]


def _need_image(path: Path | None) -> None:
    if path is not None:
        raise HostStartError(
            f"{path} is a file or folder of this machine",
            expected="the URI of an image in a registry of the account",
            fix="build and push the image, and set imageUri to its URI",
        )


@contextlib.contextmanager
def _refusals(what: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise SageMakerError(
            f"AWS refused {what}: {error}",
            expected="credentials, a role, a bucket and quotas with which SageMaker can run it",
            fix="correct [machine] in settings.toml, or the account's permissions",
        ) from error
