"""Each test is of one kind, by what it starts: nothing (`unit`), processes, or containers of images.

Folders and fixtures decide; a marker in the module goes before them. A unit test that starts a process fails.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

UNIT, PROCESS, IMAGE = "unit", "process", "image"
_ROOT = Path(__file__).parent
# Folders and modules that start nothing; a few tests in them do, and are marked.
_UNITS = (
    "channels",
    "cli",
    "contract",
    "data/test_batch.py",
    "data/test_plan.py",
    "local/api/test_model.py",
    "local/deploy",
    "local/audit/test_canaries.py",
    "local/audit/test_leaks.py",
    "local/audit/test_scores.py",
    "local/audit/test_statistics.py",
    "local/operations",
    "local/policies",
    "local/query",
    "local/resources/test_state_folder.py",
    "local/scheduling/test_admission.py",
    "local/setup",
    "examples/test_privacy.py",
    "local/test_differences.py",
    "local/ui/test_channels.py",
    "local/ui/test_charts.py",
    "local/ui/test_jobs.py",
    "local/ui/test_evaluation.py",
    "local/ui/test_inference.py",
    "local/ui/test_pages.py",
    "local/ui/test_report.py",
    "scenario/test_debugging.py",
    "test_docs.py",
    "test_errors.py",
    "testing/test_in_process.py",
    "training/test_private.py",
)
_ENGINES = {"engine", "engines"}
_STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
_guarded = False


def kind_of(item: pytest.Function) -> str:
    """Return what a test starts, as far as its place and its fixtures tell."""
    for kind in (UNIT, PROCESS, IMAGE):
        if item.get_closest_marker(kind) is not None:
            return kind
    kind_of_host = item.callspec.params.get("kind") if hasattr(item, "callspec") else None
    if _ENGINES & set(item.fixturenames) or kind_of_host == "docker":
        return IMAGE
    place = item.path.relative_to(_ROOT).as_posix()
    return UNIT if place.startswith(_UNITS) else PROCESS


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and what watches unit tests."""
    config.addinivalue_line("markers", f"{UNIT}: starts no process")
    config.addinivalue_line("markers", f"{PROCESS}: starts processes")
    config.addinivalue_line("markers", f"{IMAGE}: runs images in a container engine")
    sys.addaudithook(_refuse_processes)  # it cannot be taken away, so it is switched on and off


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by the markers
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark every test; those of images go first, so that one worker runs all of them, and others do not wait for it."""
    for item in items:
        item.add_marker(kind_of(item))
    items.sort(key=lambda item: item.get_closest_marker(IMAGE) is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Watch a unit test."""
    global _guarded
    _guarded = item.get_closest_marker(UNIT) is not None
    try:
        return (yield)
    finally:
        _guarded = False


def _refuse_processes(event: str, _: object) -> None:
    if _guarded and event in _STARTS:
        raise AssertionError(f"a test of the kind {UNIT!r} starts a process: mark it with pytest.mark.{PROCESS}")
