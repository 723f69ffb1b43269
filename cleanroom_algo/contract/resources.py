"""The hosts of a job, as resourceconfig.json describes them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class InstanceGroup(BaseModel):
    """A group of equal instances; an ordinary job has one, named "homogeneousCluster"."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    instance_group_name: str
    instance_type: str | None = None
    hosts: tuple[str, ...] = ()
    """In no particular order: the hosts of a real job list them in different orders."""


class ResourceConfig(BaseModel):
    """The hosts of a job and which one this is (SageMaker developer guide, "Distributed training configuration").

    Names may change between jobs and may not resolve at first; `algo-1` is never hard-coded.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    current_host: str
    hosts: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(lambda names: tuple(sorted(names)))]
    network_interface_name: str = "eth0"  # what every listing of a real job shows
    current_instance_type: str | None = None
    current_group_name: str | None = None
    instance_groups: tuple[InstanceGroup, ...] = ()
    topology: Any = None

    @model_validator(mode="after")
    def _current_host_is_listed(self) -> ResourceConfig:
        if self.current_host not in self.hosts:
            raise ValueError("current_host is not among hosts")
        if len(set(self.hosts)) != len(self.hosts):
            raise ValueError("a host is listed twice")
        return self

    @property
    def host_rank(self) -> int:
        """This host's place among the sorted top-level hosts, from 0; the instance groups list them in any order."""
        return self.hosts.index(self.current_host)

    @property
    def host_count(self) -> int:
        """How many hosts the job has: 1 to 5 in Clean Rooms ML (botocore model, ResourceConfig.instanceCount)."""
        return len(self.hosts)

    @property
    def first_host(self) -> str:
        """The host at which the others meet."""
        return self.hosts[0]
