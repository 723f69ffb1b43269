"""The owner of a sandbox's files if root runs the clean room.

Uid 0 inside is then a user outside without other processes or files: an escaped process has no privileges.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

FIRST_USER: Final = 0x7000_0000
"""It is assigned to no user (systemd's documentation, "Users, Groups, UIDs and GIDs on systemd Systems")."""
_ALL_USERS = ["0", "0", "4294967295"]  # the kernel's mapping outside of any user namespace


def root_outside(programs: Iterable[Path]) -> int | None:
    """Return the user outside that is uid 0 in a sandbox; None: the caller.

    It is the caller if the caller is not root, or is root of a user namespace (and another user outside of it), or if
    only root can read the programs that a sandbox needs.
    """
    if os.geteuid() != 0 or Path("/proc/self/uid_map").read_text("ascii").split() != _ALL_USERS:
        return None
    return FIRST_USER if all(map(is_for_everybody, programs)) else None


def hand_over(path: Path, user: int) -> None:
    """Make a user the owner of the files that were created for a container.

    Files with a second name elsewhere keep their owner: if only the owner can read them, copies replace them.
    """
    for each in (path, *path.rglob("*")):
        status = each.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            if is_for_everybody(each):
                continue
            draft = each.with_name(f".{each.name}")
            shutil.copy(each, draft)
            draft.replace(each)
        os.lchown(each, user, user)


def is_for_everybody(path: Path) -> bool:
    """Whether all users may read and execute what the owner may; a link counts as readable."""
    mode = path.lstat().st_mode
    return stat.S_ISLNK(mode) or not mode >> 6 & 0o5 & ~mode
