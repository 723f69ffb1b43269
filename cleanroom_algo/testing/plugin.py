"""The pytest plugin, which every pytest run loads if this package is installed: so it imports only what is used.

The entry point `pytest11` in pyproject.toml names this module.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cleanroom_algo.local import CleanRoom
    from cleanroom_algo.local.resources.store import Record
    from cleanroom_algo.local.room import Room


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that chooses where the containers of `clean_room` run."""
    parser.getgroup("cleanroom-algo").addoption(
        "--clean-room-hosts",
        choices=("auto", "process", "sandbox", "docker"),
        help="where the jobs of the fixture clean_room run; auto if left out",
    )


@pytest.fixture
def clean_room(tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[CleanRoom]:
    """Yield a local clean room for one test, below tmp_path; its jobs end with the test.

    The output of containers goes to stderr, which pytest shows if the test fails.
    """
    from cleanroom_algo.local import CleanRoom

    kind = pytestconfig.getoption("--clean-room-hosts")
    with CleanRoom(tmp_path / "clean-room", host_kind=kind, follow=_follow) as room:
        yield room


def _follow(room: Room, started: Record) -> Record:
    return room.wait(started.key, started.version, listener=_Lines())


class _Lines:
    def line(self, host: str, stream: str, text: str) -> None:  # noqa: ARG002 (both streams are shown alike)
        print(f"{host} | {text}", file=sys.stderr)

    def progress(self, progress: Any) -> None:
        pass
