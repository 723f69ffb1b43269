"""The kinds of hosts: a row for each one, in the order in which `auto` tries them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from cleanroom_algo.local.hosts.protocol import HostKind, RunsWholeJobs, SelectableKind

if TYPE_CHECKING:
    from cleanroom_algo.local.plans.training_plan import AlgorithmSource
    from cleanroom_algo.local.resources.settings import RoomSettings

_HERE = "cleanroom_algo.local.hosts"

HOST_KINDS: Final = {
    "sandbox": f"{_HERE}.sandbox:SandboxHosts",
    "process": f"{_HERE}.process:ProcessHosts",
    "docker": f"{_HERE}.docker:DockerHosts",
    "sagemaker": f"{_HERE}.sagemaker:Account",
}
"""By the name in `machine.host_kind`: a `SelectableKind`, imported when it is used."""


def hosts_for(settings: RoomSettings, source: AlgorithmSource) -> HostKind | RunsWholeJobs:
    """Return the kind of hosts for the containers of a job: that of the settings, but images need one that runs images.

    Raises:
        HostError: CR-HST, this machine has none, or the settings are not sufficient.
    """
    wanted = settings.machine.host_kind
    if wanted != "auto" and (source.path is not None or _kind(wanted).runs(source)):
        return _kind(wanted).of(settings)
    for name in HOST_KINDS:
        kind = _kind(name)
        if kind.chosen_by_itself and kind.runs(source) and kind.missing(settings) is None:
            return kind.of(settings)
    raise AssertionError("process hosts run every file and folder, docker hosts every image")


def _kind(name: str) -> type[SelectableKind]:
    module, _, attribute = HOST_KINDS[name].partition(":")
    kind: type[SelectableKind] = getattr(import_module(module), attribute)
    return kind
