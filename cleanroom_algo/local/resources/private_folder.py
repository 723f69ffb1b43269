"""The state folder is its user's alone: the rows of channels and what containers left lie in it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

OWN_FOLDERS: Final = ("jobs", "models", "channels", "owners", "s3")
OWN_FILES: Final = ("room.sqlite", "room.sqlite-wal", "room.sqlite-shm", "server.lock")
OWN_NAMES: Final = frozenset((*OWN_FOLDERS, *OWN_FILES, "settings.toml"))
"""What a room makes in its state folder; settings.toml is its user's."""


def make_private(home: Path) -> None:
    """Make a state folder that nobody but its user can look into; one that holds other things, too, stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = {each.name for each in home.iterdir()}
    if not names - OWN_NAMES:
        home.chmod(0o700)
    for name in OWN_FOLDERS:
        (home / name).mkdir(mode=0o700, exist_ok=True)
        (home / name).chmod(0o700)
