"""Makes the state folder private to its user, because it contains rows of channels and files of containers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

OWN_FOLDERS: Final = ("jobs", "models", "channels", "owners", "s3")
OWN_FILES: Final = ("room.sqlite", "room.sqlite-wal", "room.sqlite-shm", "server.lock")
OWN_NAMES: Final = frozenset((*OWN_FOLDERS, *OWN_FILES, "settings.toml"))
"""What a room creates in its state folder; settings.toml belongs to the user."""


def make_private(home: Path) -> None:
    """Create a state folder that only its user can read; one that also contains other files keeps its permissions.

    Raises:
        OSError: it cannot be created.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = {each.name for each in home.iterdir()}
    if not names - OWN_NAMES:
        home.chmod(0o700)
    for name in OWN_FOLDERS:
        (home / name).mkdir(mode=0o700, exist_ok=True)
        (home / name).chmod(0o700)
