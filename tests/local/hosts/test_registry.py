"""Which hosts a job gets."""

from pathlib import Path
from typing import Any, get_args

import pytest

from cleanroom_algo.errors import SageMakerError, SandboxError
from cleanroom_algo.local.hosts import sandbox
from cleanroom_algo.local.hosts.docker import DockerHosts
from cleanroom_algo.local.hosts.process import ProcessHosts
from cleanroom_algo.local.hosts.protocol import RunsWholeJobs
from cleanroom_algo.local.hosts.registry import HOST_KINDS, hosts_for
from cleanroom_algo.local.hosts.sagemaker import Account
from cleanroom_algo.local.hosts.sandbox import SandboxHosts
from cleanroom_algo.local.plans.training_plan import AlgorithmSource
from cleanroom_algo.local.resources.settings import Machine, RoomSettings, Switches

IMAGE = AlgorithmSource("registry/image:1")
ISOLATED = ProcessHosts if sandbox.missing() else SandboxHosts


def settings(host_kind: Any, network: Any = "none", **machine: Any) -> RoomSettings:
    return RoomSettings(machine=Machine(host_kind=host_kind, **machine), switches=Switches(network=network))


@pytest.mark.parametrize(
    ("chosen", "of_a_file", "of_an_image"),
    [
        (settings("auto"), ISOLATED, DockerHosts),
        (settings("auto", "open"), ProcessHosts, DockerHosts),
        (settings("process"), ProcessHosts, DockerHosts),
        (settings("docker"), DockerHosts, DockerHosts),  # which refuses the file with its reason
        (settings("sagemaker", sagemaker_place="s3://mine", sagemaker_role="arn"), Account, Account),
    ],
    ids=["auto", "open", "process", "docker", "sagemaker"],
)
def test_what_runs_where(tmp_path: Path, chosen: RoomSettings, of_a_file: type, of_an_image: type) -> None:
    assert type(hosts_for(chosen, AlgorithmSource(str(tmp_path)))) is of_a_file
    assert type(hosts_for(chosen, IMAGE)) is of_an_image


def test_settings_that_do_not_fit(tmp_path: Path) -> None:
    source = AlgorithmSource(str(tmp_path))
    with pytest.raises(SandboxError, match="open"):
        hosts_for(settings("sandbox", "open"), source)
    with pytest.raises(SageMakerError, match="where jobs run"):
        hosts_for(settings("sagemaker"), source)


def test_every_kind_is_in_the_settings_and_only_an_account_runs_whole_jobs() -> None:
    assert {*get_args(Machine.model_fields["host_kind"].annotation)} == {"auto", *HOST_KINDS}
    assert not isinstance(ProcessHosts(), RunsWholeJobs)
    assert isinstance(Account("s3://mine", "arn"), RunsWholeJobs)
