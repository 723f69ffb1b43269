"""What tests of several areas share."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings

from cleanroom_algo.local.hosts.engine import find_engine
from tests.images.engine import Engine, missing, shared_engine
from tests.kinds import UNIT, pytest_collection_modifyitems, pytest_configure, pytest_runtest_call
from tests.skips import pytest_terminal_summary

# Threads of OpenMP that wait for work would keep the cores from other tests. It is read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Nothing that collection imports is ever garbage, and looking for it takes as long as all else that collection does.
gc.disable()

# Rewriting the asserts of the tests takes almost as long as all imports, and each worker would do it anew in each run.
_writes_nothing, sys.dont_write_bytecode = sys.dont_write_bytecode, False

__all__ = ["pytest_collection_modifyitems", "pytest_configure", "pytest_runtest_call", "pytest_terminal_summary"]

# A busy machine is not a fault. To find the simplest case, which can take minutes: `--hypothesis-profile=shrinking`.
settings.register_profile("shrinking", deadline=None)
settings.register_profile("quick", deadline=None, phases=set(Phase) - {Phase.shrink, Phase.explain})
settings.load_profile("quick")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return one more worker than there are cores, because tests wait for processes and sockets; unit tests do not."""
    return (os.cpu_count() or 1) + int(config.option.markexpr != UNIT)


def pytest_collection_finish() -> None:
    """Leave what was imported out of the collections to come, and keep bytecode as Python was told to."""
    sys.dont_write_bytecode = _writes_nothing
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Let modules in C find nothing alive at the end."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Yield the container engine of this test run, with a base image; without one here the test is skipped."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.getbasetemp()
    with shared_engine((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "engine") as engine:
        yield engine


@pytest.fixture
def engine(engines: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Yield the engine, which docker hosts of this process use for the time of the test."""
    engines.use(monkeypatch)
    yield engines
    find_engine.cache_clear()
