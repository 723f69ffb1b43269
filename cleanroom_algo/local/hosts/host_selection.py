"""Where the containers of a job run: as the room is set, and as this machine can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cleanroom_algo.errors import SageMakerError, SandboxError
from cleanroom_algo.local.hosts import sandbox
from cleanroom_algo.local.hosts.docker import DockerHosts, image_digest
from cleanroom_algo.local.hosts.process import ProcessHosts
from cleanroom_algo.local.hosts.protocol import HostKind
from cleanroom_algo.local.plans.training_plan import AlgorithmSource
from cleanroom_algo.local.resources.settings import RoomSettings

if TYPE_CHECKING:
    from cleanroom_algo.local.hosts.sagemaker import Account


def host_kind(settings: RoomSettings, source: AlgorithmSource) -> HostKind:
    """Return where the containers of a job run: a file or folder as the room is set, an image in Docker.

    Raises:
        HostError: CR-HST, this machine has none.
    """
    name = settings.machine.host_kind if source.path is not None else "docker"
    switches = settings.switches
    open_network = switches.network == "open"
    if name == "auto":
        name = "process" if open_network or sandbox.missing() else "sandbox"
    if open_network and name == "sandbox":
        raise SandboxError(
            "sandboxes have no network but the job's own, and the settings ask for an open one",
            expected="process or docker hosts where the switch network is open",
            fix='let `host_kind` in settings.toml be "process", or `network` be "none"',
        )
    if name == "docker":
        return DockerHosts(internal=not open_network, hides_opt_ml=switches.image_opt_ml == "hidden")
    return ProcessHosts() if name == "process" else sandbox.SandboxHosts()


def sagemaker_account(settings: RoomSettings) -> Account | None:
    """Return the account in which jobs run, where the room's settings say so.

    Raises:
        SageMakerError: CR-HST-004, the settings do not say where.
    """
    machine = settings.machine
    if machine.host_kind != "sagemaker":
        return None
    if machine.sagemaker_place is None or machine.sagemaker_role is None:
        raise SageMakerError(
            "the settings do not say where jobs run in your account",
            expected="sagemaker_role and sagemaker_place in the table [machine] of settings.toml",
            fix="add them, or choose another host_kind",
        )
    from cleanroom_algo.local.hosts.sagemaker import Account

    place = machine.sagemaker_place.rstrip("/")
    return Account(place, machine.sagemaker_role, machine.region, machine.sagemaker_endpoint)


def digest_of(member: str, source: AlgorithmSource) -> dict[str, str]:
    """Return the member that says which image ran; the file or folder of an algorithm has no digest."""
    digest = image_digest(source.image_uri) if source.path is None else None
    return {} if digest is None else {member: digest}
