"""The folder that a container sees as /opt/ml: made before its start, and read after its end.

Whatever a container left is read here and in `contract.tree` alone: the container may have put links, named pipes or
other folders in the places of what was made for it.
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
        folders: what is made in it, by their paths.

    Attributes:
        paths: where the platform lays things out; for who writes there before the start.
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
        """Return what the container left in one of the folders that were made, opened; close it.

        The container may have made the folder anew: as long as it lies in the tree, it holds nothing else than what
        the container could write.

        Raises:
            ArtifactsUnreadableError: CR-JOB-104, something else is in the place of the folder.
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
        """Return the text of the failure file; None where there is none."""
        return read_failure(self.paths)
