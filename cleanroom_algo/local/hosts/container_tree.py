"""The folder that a container sees as /opt/ml: created before its start, and read after its end.

Files of a container are only read here and in `contract.tree`, because the container may have replaced files and
folders by links, named pipes or other folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cleanroom_algo.contract.failure import read_failure
from cleanroom_algo.contract.paths import DEFAULT_ROOT, Paths
from cleanroom_algo.contract.tree import Tree, identity_of
from cleanroom_algo.errors import ArtifactsUnreadableError
from cleanroom_algo.local.hosts.protocol import HostKind


class ContainerTree:
    """The tree of one container.

    Args:
        root: a new folder.
        folders: the folders to create in it, by their paths.

    Attributes:
        paths: the platform's layout, for code that writes there before the start.
    """

    def __init__(self, root: Path, folders: Sequence[str] = ()) -> None:
        self.paths = Paths(root)
        for folder in (root, *(root / each for each in folders)):
            folder.mkdir(parents=True, exist_ok=folder is not root)
        self._made = identity_of(root)

    @property
    def root(self) -> Path:
        """The folder that the container sees as /opt/ml."""
        return self.paths.root

    def seen_by(self, kind: HostKind) -> Paths:
        """Return the tree as containers of a kind of host see it."""
        return Paths() if kind.isolates_files else self.paths

    def left_in(self, name: str) -> Tree:
        """Open one of the created folders, with what the container wrote; the caller closes it.

        The container may have replaced the folder. As long as it is inside the tree, it only contains what the
        container could write.

        Raises:
            ArtifactsUnreadableError: CR-JOB-104, something other than a folder has replaced it.
        """
        root = self.root
        try:
            with Tree(root, seen_as=(root, DEFAULT_ROOT)) as tree:
                if tree.identity == self._made:
                    return tree.folder(name)
                why = "is not in the folder that was made for the container"
        except OSError as error:
            why = str(error.strerror)
        raise ArtifactsUnreadableError(
            f"{DEFAULT_ROOT / name} cannot be packed: it {why}",
            expected="a folder, not a link to a folder",
            fix="write into the existing folder; remove its content instead of the folder itself",
        )

    def failure(self) -> str | None:
        """Return the text of the failure file; None if there is none."""
        return read_failure(self.paths)
