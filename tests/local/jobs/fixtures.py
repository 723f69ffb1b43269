"""Training jobs on every kind of host that this machine offers."""

from dataclasses import replace
from pathlib import Path

import pytest

from cleanroom_algo.contract.channel import Distribution, InputMode
from cleanroom_algo.local.jobs.training import run_training
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.outcomes import TrainingOutcome
from cleanroom_algo.local.plans.training_plan import AlgorithmSource, ChannelPlan, TrainingPlan, plan_hosts
from tests.local.hosts.kinds import KINDS, place_of
from tests.local.jobs.support import PRELUDE, Job, Lines, Run


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Return a function that makes a plan for a `train` program with the given body."""

    def job(
        body: str, *, hosts: int = 1, parts: int = 0, mode: InputMode = InputMode.FILE, **more: object
    ) -> TrainingPlan:
        folder = tmp_path / "algorithm"
        folder.mkdir(exist_ok=True)
        (folder / "train").write_text(PRELUDE + body)
        (folder / "train").chmod(0o755)
        objects = []
        for number in range(parts):
            path = tmp_path / f"object-{number}"
            path.write_text(f"{number}\n")
            objects.append(ObjectRef(f"nested/part-{number:05}", path, path.stat().st_size))
        channels = (ChannelPlan("train", Distribution.SHARDED_BY_S3_KEY, tuple(objects)),) if parts else ()
        return TrainingPlan(
            job_name="job",
            job_arn="arn:aws:sagemaker:us-east-1:111111111111:training-job/job",
            run_directory=tmp_path / "run",
            source=AlgorithmSource(str(folder)),
            hosts=plan_hosts(channels, hosts),
            channels=channels,
            input_mode=mode,
            **more,  # type: ignore[arg-type]
        )

    return job


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return the name of each kind of host in turn."""
    name: str = request.param
    return name


@pytest.fixture
def run(request: pytest.FixtureRequest, kind: str) -> Run:
    """Return a function that runs a plan on such hosts."""
    place = place_of(request, kind)

    def run(plan: TrainingPlan, lines: Lines | None = None, **more: object) -> TrainingOutcome:
        plan = replace(plan, source=place.source(plan.source))
        return run_training(plan, place.hosts, lines or Lines(), **more)  # type: ignore[arg-type]

    return run
