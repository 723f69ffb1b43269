"""GPUs: which words give them to a container, and when a job is warned that there are none."""

from dataclasses import replace
from pathlib import Path

import pytest

from cleanroom_algo.local.hosts import docker, gpus
from cleanroom_algo.local.hosts.docker import DockerJob
from cleanroom_algo.local.hosts.protocol import HostSpec, Limits
from cleanroom_algo.local.plans.instances import has_gpu
from cleanroom_algo.local.plans.training_plan import AlgorithmSource


def test_instance_types_have_gpus_or_none() -> None:
    assert all(
        map(has_gpu, ("ml.g4dn.xlarge", "ml.g5.12xlarge", "ml.g6e.48xlarge", "ml.p3.2xlarge", "ml.p5en.48xlarge"))
    )
    assert not any(map(has_gpu, ("ml.m5.2xlarge", "ml.c7i.xlarge", "ml.t3.medium", "ml.trn1.2xlarge", "ml.r7i.large")))


@pytest.mark.parametrize(
    ("program", "device", "words"),
    [
        ("docker", "nvidia0", ["--gpus", "all"]),
        ("podman", "nvidia0", ["--device", "nvidia.com/gpu=all"]),
        ("docker", "kfd", []),
    ],
)
def test_a_container_is_given_the_gpus_of_its_instance_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, device: str, words: list[str]
) -> None:
    devices, root = tmp_path / "dev", tmp_path / "host/ml"
    devices.mkdir()
    root.mkdir(parents=True)
    (devices / device).touch()
    monkeypatch.setattr(docker, "gpu_words", lambda program: gpus.gpu_words(program, devices))
    job = DockerJob(program, "net", {"algo-1": "10.0.0.10"}, {})
    spec = HostSpec("algo-1", root, AlgorithmSource("image"), "train", limits=Limits(gpus=True))
    without = job.run_words(replace(spec, limits=Limits()), "container")
    given = job.run_words(spec, "container")
    assert [word for word in given if word not in without] == words
    assert " ".join(words) in " ".join(given)
    assert gpus.has_gpu(devices)
