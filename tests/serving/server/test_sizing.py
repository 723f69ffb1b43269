"""How a server is laid out on a machine, and that its processes keep to it."""

from __future__ import annotations

import time

import psutil
import pytest

from cleanroom_algo.contract.environment import InferenceEnvironment
from cleanroom_algo.serving.server.resources import affine_cores, cores
from cleanroom_algo.serving.server.sizing import Machine, plan_server
from tests.serving.support import Container, RunningServer, Start

MEMORY = 64_000_000_000


@pytest.fixture
def environment(container: Container, monkeypatch: pytest.MonkeyPatch) -> InferenceEnvironment:
    for name, value in container.environment().items():
        monkeypatch.setenv(name, value)
    return InferenceEnvironment.read()


def test_a_process_for_each_core_stays_on_it(environment: InferenceEnvironment) -> None:
    plan = plan_server(Machine(3, MEMORY, affine_cores=(2, 5, 7)), 0, environment, can_fork=True)
    assert (plan.workers, plan.compute_threads, plan.own_cores) == (3, 1, (2, 5, 7))
    assert "pinned to it" in plan.reasons[0]


@pytest.mark.parametrize(
    "machine",
    [
        Machine(2, MEMORY, affine_cores=(0, 1, 2, 3)),  # a quota of CPU time
        Machine(4, 1_000_000_000, affine_cores=(0, 1, 2, 3)),  # memory for fewer processes
        Machine(4, MEMORY, gpus=1, affine_cores=(0, 1, 2, 3)),
        Machine(4, MEMORY),  # a system that does not tell them
        Machine(1, MEMORY, affine_cores=(3,)),
    ],
)
def test_other_processes_run_on_all_cores(machine: Machine, environment: InferenceEnvironment) -> None:
    assert plan_server(machine, 0, environment, can_fork=True).own_cores == ()


def test_a_process_that_replaces_another_has_its_core(container: Container, start_server: Start) -> None:
    server = start_server(container)
    own = [{core} for core in affine_cores()]
    wanted = own if cores() == len(own) else [set(affine_cores())] * cores()
    _wait_for(server, wanted)
    for killed in server.workers():
        psutil.Process(killed).kill()
        _wait_for(server, wanted, without=killed)
        server.wait_until_ready()  # the server ends if a process dies while none serves


def _wait_for(server: RunningServer, wanted: list[set[int]], without: int = 0) -> None:
    deadline = time.monotonic() + 60
    while without in server.workers() or _cores_of(server) != wanted:
        assert time.monotonic() < deadline


def _cores_of(server: RunningServer) -> list[set[int]]:
    """Return of each process the cores on which all its threads may run."""
    found = []
    for worker in server.workers():
        try:
            threads = psutil.Process(worker).threads()
            [allowed] = {frozenset(psutil.Process(thread.id).cpu_affinity()) for thread in threads}
        except (psutil.NoSuchProcess, ValueError):
            continue
        found.append(set(allowed))
    return sorted(found, key=min)
