"""Links in artifacts: they are replaced by the files to which they lead, because base models may not contain links.

The target of a link must be below the directory that contains the link; other targets would put files of the container
into the artifacts.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from cleanroom_algo.contract.tree import Tree, TreeEntry
from cleanroom_algo.errors import ArtifactKindError


def file_sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each file below a folder by relative path; a link counts as its target.

    Args:
        folder: a missing folder contains no files.

    Raises:
        ArtifactKindError: CR-ART-008, the folder is not a folder, or something in it is neither file nor folder, nor a
            link to one of them below the folder.
    """
    return {entry.name: entry.size for entry in _entries(folder, ()) if entry.is_file}


def replace_links(folder: Path, *, seen_as: Collection[Path]) -> None:
    """Replace links by copies with the permissions of their targets; everything else stays unchanged.

    Args:
        folder: of the artifacts.
        seen_as: other paths of the folder, which links in it may use.

    Raises:
        ArtifactKindError: CR-ART-008, as above.
    """
    entries = _entries(folder, seen_as)
    links = {entry.name for entry in entries if (folder / entry.name).is_symlink()}
    if not links:
        return
    copies = folder.with_name(f"{folder.name}-links")
    with Tree(folder, seen_as=(folder, *seen_as)) as tree:
        for entry in entries:
            if any(each in links for each in (entry.name, *map(str, Path(entry.name).parents))):
                _copy(tree, entry, copies / entry.name)
    for name in links:
        if (folder / name).is_symlink():  # not a link that is only seen through another link
            (folder / name).unlink()
    shutil.copytree(copies, folder, dirs_exist_ok=True)
    shutil.rmtree(copies)


def _copy(tree: Tree, entry: TreeEntry, target: Path) -> None:
    if entry.is_folder:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tree.open(entry.name, links=True) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    target.chmod(entry.mode & 0o777)


def _entries(folder: Path, seen_as: Collection[Path]) -> list[TreeEntry]:
    if not folder.exists() and not folder.is_symlink():
        return []
    try:
        with Tree(folder, seen_as=(folder, *seen_as)) as tree:
            entries = list(tree.walk())
    except OSError as error:
        raise _kind_error(Path(str(error.filename)).name, error.strerror or "cannot be read") from error
    for entry in entries:
        if not (entry.is_file or entry.is_folder):
            raise _kind_error(entry.name, f"is {entry.kind}")
    return entries


def _kind_error(name: str, what: str) -> ArtifactKindError:
    return ArtifactKindError(
        f"{name!r} among the artifacts {what}",
        expected="regular files and folders, or links to them below the same directory",
        fix="write a file, or link to a file in the artifacts",
    )
