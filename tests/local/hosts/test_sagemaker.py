"""Plans as SageMaker jobs: the requests fit botocore's model, and moto's services take and answer them."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.validate import ParamValidator
from moto.server import ThreadedMotoServer

from cleanroom_algo.contract.channel import Distribution, InputMode
from cleanroom_algo.errors import HostStartError, SageMakerError
from cleanroom_algo.local.hosts import sagemaker
from cleanroom_algo.local.hosts.sagemaker import (
    Account,
    job_name,
    model_request,
    training_request,
    transform_request,
)
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.inference_plan import InferenceHostPlan, InferencePlan
from cleanroom_algo.local.plans.outcomes import JobStatus
from cleanroom_algo.local.plans.training_plan import AlgorithmSource, BaseModel, ChannelPlan, TrainingPlan, plan_hosts
from tests.local.jobs.support import members

IMAGE = "111122223333.dkr.ecr.us-east-1.amazonaws.com/mine:1"
ROLE = "arn:aws:iam::111122223333:role/sagemaker"


class Silent:
    def line(self, host: str, stream: str, text: str) -> None:
        pass

    def progress(self, progress: object) -> None:
        pass


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """Return an account at moto's services, with a bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    account = Account("s3://mine/clean-room", ROLE, endpoint=f"http://{host}:{port}", poll_seconds=0.05)
    boto3.client("s3", region_name="us-east-1", endpoint_url=account.endpoint).create_bucket(Bucket="mine")
    yield account
    server.stop()


@pytest.fixture
def plan(tmp_path: Path) -> TrainingPlan:
    """Return the plan of a job with everything in it."""
    part = tmp_path / "part-0.csv"
    part.write_text("1,2\n")
    base = tmp_path / "model.tar.gz"
    base.write_bytes(archive({"weights": b"w" * 100}))
    objects = (ObjectRef("nested/part-0.csv", part, 4), ObjectRef("part-1.csv", part, 4))
    channels = (ChannelPlan("train", Distribution.SHARDED_BY_S3_KEY, objects),)
    return TrainingPlan(
        job_name="flight_delay.model",
        job_arn="arn",
        run_directory=tmp_path / "run",
        source=AlgorithmSource(IMAGE, ("python", "main.py"), ("train", "--fast")),
        hosts=plan_hosts(channels, 2),
        channels=channels,
        input_mode=InputMode.FAST_FILE,
        hyperparameters={"epochs": "3"},
        environment={"COLOUR": "red"},
        base_model=BaseModel("base", base),
        max_artifact_bytes=10**9,
        max_runtime_seconds=3600,
    )


@pytest.fixture
def inference(tmp_path: Path, plan: TrainingPlan) -> InferencePlan:
    """Return the plan of an inference job."""
    assert plan.base_model is not None
    return InferencePlan(
        job_name="predictions",
        job_arn="arn",
        run_directory=tmp_path / "inference",
        source=AlgorithmSource(IMAGE),
        model=plan.base_model.archive,
        hosts=(InferenceHostPlan("algo-1", plan.channels[0].objects),),
        environment={"COLOUR": "red"},
        accept="text/csv",
        max_payload_mb=5,
    )


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def faults(operation: str, request: dict[str, Any]) -> str:
    model: Any = botocore.session.get_session().get_service_model("sagemaker")
    validator: Any = ParamValidator()
    return str(validator.validate(request, model.operation_model(operation).input_shape).generate_report())


def test_the_requests_fit_the_model(plan: TrainingPlan, inference: InferencePlan) -> None:
    account = Account("s3://mine/clean-room", ROLE)
    training = training_request(plan, account, "name")

    assert not faults("CreateTrainingJob", training)
    assert not faults("CreateModel", model_request(inference, account, "name"))
    assert not faults("CreateTransformJob", transform_request(inference, account, "name"))
    assert training["EnableNetworkIsolation"] is True
    assert training["AlgorithmSpecification"] == {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "FastFile",
        "ContainerEntrypoint": ["python", "main.py"],
        "ContainerArguments": ["train", "--fast"],
    }
    sources = {each["ChannelName"]: each["DataSource"]["S3DataSource"] for each in training["InputDataConfig"]}
    assert sources["train"]["S3DataDistributionType"] == "ShardedByS3Key"
    assert sources["base"]["S3DataDistributionType"] == "FullyReplicated"
    assert training["Environment"] == {"COLOUR": "red", "CLEANROOM_ALGO_MAX_ARTIFACT_GB": "1"}


@pytest.mark.parametrize("wanted", ["a" * 80, "under_score.dot", "---", "ok"])
def test_job_names(tmp_path: Path, wanted: str) -> None:
    import re

    name = job_name(wanted, tmp_path)

    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name)
    assert name == job_name(wanted, tmp_path) != job_name(wanted, tmp_path / "another")


def test_a_training_job(account: Account, plan: TrainingPlan) -> None:
    name = job_name(plan.job_name, plan.run_directory)
    s3 = account.client("s3")
    packed = archive({"weights": b"x" * 50})
    s3.put_object(Bucket="mine", Key=f"clean-room/{name}/output/model.tar.gz", Body=packed)

    outcome = account.train(plan, Silent(), threading.Event())

    assert outcome.status is JobStatus.COMPLETED
    assert outcome.model_archive is not None
    assert outcome.model_archive.read_bytes() == packed
    assert (outcome.raw_bytes, outcome.packed_bytes) == (50, len(packed))
    keys = {each["Key"] for each in s3.list_objects_v2(Bucket="mine")["Contents"]}
    inputs = {key.partition("/input/")[2] for key in keys} - {""}
    assert inputs == {"train/nested/part-0.csv", "train/part-1.csv", "base/model.tar.gz"}
    job = account.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert job["EnableNetworkIsolation"] is True
    assert job["ResourceConfig"]["InstanceCount"] == 2


def test_artifacts_over_the_cap_fail_the_job(account: Account, plan: TrainingPlan) -> None:
    name = job_name(plan.job_name, plan.run_directory)
    body = archive({"weights": bytes(range(256)) * 40})
    account.client("s3").put_object(Bucket="mine", Key=f"clean-room/{name}/output/model.tar.gz", Body=body)

    outcome = account.train(replace(plan, max_artifact_bytes=5000), Silent(), threading.Event())

    assert outcome.status is JobStatus.FAILED
    assert outcome.model_archive is None
    assert "CR-JOB-102" in str(outcome.failure_reason)


def test_an_inference_job(account: Account, inference: InferencePlan) -> None:
    name = job_name(inference.job_name, inference.run_directory)
    s3 = account.client("s3")
    s3.put_object(Bucket="mine", Key=f"clean-room/{name}/output/nested/part-0.csv.out", Body=b"0.1\n0.2\n")

    outcome = account.infer(inference, Silent(), threading.Event())

    assert outcome.status is JobStatus.COMPLETED
    assert (outcome.outputs / "nested/part-0.csv.out").read_bytes() == b"0.1\n0.2\n"
    assert (outcome.rows, outcome.bytes) == (2, 8)
    assert account.client("sagemaker").list_models()["Models"] == []
    capped = replace(inference, max_output_bytes=7, run_directory=inference.run_directory / "again")
    again = job_name(capped.job_name, capped.run_directory)
    s3.put_object(Bucket="mine", Key=f"clean-room/{again}/output/part-0.csv.out", Body=b"0.1\n0.2\n")
    outcome = account.infer(capped, Silent(), threading.Event())
    assert outcome.status is JobStatus.FAILED
    assert not list(outcome.outputs.iterdir())


def test_what_aws_refuses(account: Account, plan: TrainingPlan) -> None:
    with pytest.raises(SageMakerError, match="RoleArn"):
        replace(account, role="nobody").train(plan, Silent(), threading.Event())


def test_a_path_is_no_image(account: Account, plan: TrainingPlan, tmp_path: Path) -> None:
    with pytest.raises(HostStartError, match="file or folder"):
        account.train(replace(plan, source=AlgorithmSource(str(tmp_path))), Silent(), threading.Event())


def test_a_job_that_ran_too_long_is_told_so(
    account: Account, plan: TrainingPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = {"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"}
    monkeypatch.setattr(sagemaker, "_watch", lambda *_: ended)

    outcome = account.train(plan, Silent(), threading.Event())

    assert (outcome.status, outcome.failure_reason) == (JobStatus.STOPPED, "MaxRuntimeExceeded: 3600 s")
    assert outcome.model_archive is None


def test_artifacts_over_the_cap_are_left_out_where_that_is_asked_for(account: Account, plan: TrainingPlan) -> None:
    name = job_name(plan.job_name, plan.run_directory)
    body = archive({"large": bytes(5000), "small": b"x" * 50})
    account.client("s3").put_object(Bucket="mine", Key=f"clean-room/{name}/output/model.tar.gz", Body=body)

    outcome = account.train(replace(plan, max_artifact_bytes=4000, leave_out=True), Silent(), threading.Event())

    assert outcome.status is JobStatus.COMPLETED
    assert members(outcome.model_archive) == {"small": b"x" * 50}
    assert outcome.raw_bytes == 50
    assert outcome.left_out is not None


def test_outputs_over_the_cap_are_left_out_where_that_is_asked_for(account: Account, inference: InferencePlan) -> None:
    name = job_name(inference.job_name, inference.run_directory)
    for key, body in (("a.csv", b"0.1\n0.2\n"), ("b.csv", b"0.3\n")):
        account.client("s3").put_object(Bucket="mine", Key=f"clean-room/{name}/output/{key}.out", Body=body)

    outcome = account.infer(replace(inference, max_output_bytes=5, leave_out=True), Silent(), threading.Event())

    assert outcome.status is JobStatus.COMPLETED
    assert [path.name for path in outcome.outputs.iterdir()] == ["b.csv.out"]
    assert (outcome.rows, outcome.bytes, outcome.failed_objects) == (1, 4, ("a.csv",))
    assert outcome.left_out is not None


def test_whole_objects_are_not_split(inference: InferencePlan) -> None:
    plan = replace(inference, whole_objects=True, content_type="application/vnd.apache.parquet")

    request = transform_request(plan, Account("s3://mine/clean-room", ROLE), "name")

    assert not faults("CreateTransformJob", request)
    assert request["BatchStrategy"] == "SingleRecord"
    assert request["TransformInput"]["SplitType"] == "None"
    assert request["TransformOutput"]["AssembleWith"] == "None"
