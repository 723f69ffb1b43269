"""Reading below a folder that somebody else has written."""

import os
import socket
from pathlib import Path

import pytest

from cleanroom_algo.contract import tree
from cleanroom_algo.contract.failure import read_failure
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.contract.tree import Tree, identity_of

SECRET = "secret"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with a file in a folder, beside a secret."""
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "root/inner").mkdir(parents=True)
    (tmp_path / "root/inner/file").write_text("content")
    return tmp_path / "root"


@pytest.mark.parametrize(
    "target", ["inner/file", "inner/../inner/file", "folder/file", "/opt/ml/model/inner/file", "chain"]
)
def test_links_that_stay_below_the_root_are_followed(root: Path, target: str) -> None:
    (root / "folder").symlink_to("inner")
    (root / "chain").symlink_to("folder/file")
    (root / "link").symlink_to(target)

    with Tree(root, seen_as=[Path("/opt/ml/model")]) as opened:
        with opened.open("link", links=True) as file:
            assert file.read() == b"content"
        entry = opened.entry("link")
        with pytest.raises(OSError, match="is a link"):
            opened.open("link")
    assert (entry.is_file, entry.size) == (True, 7)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("../secret", "outside"),
        ("inner/../../secret", "outside"),
        ("/etc/passwd", "outside"),
        ("/opt/ml/model/../secret", "outside"),
        ("/opt/ml/modelling", "outside"),
        ("/proc/self/root", "outside"),
        ("nowhere", "without a target"),
        ("link", "circle"),
    ],
)
def test_links_that_lead_elsewhere_are_refused(root: Path, target: str, why: str) -> None:
    (root / "link").symlink_to(target)

    with Tree(root, seen_as=[Path("/opt/ml/model")]) as opened:
        for read in (lambda: opened.open("link", links=True), lambda: opened.entry("link"), lambda: [*opened.walk()]):
            with pytest.raises(OSError, match=why) as caught:
                read()
            assert caught.value.filename == "link"


def test_a_path_cannot_leave_the_root(root: Path) -> None:
    with Tree(root) as opened:
        for name in ("../secret", "inner/../../secret"):
            with pytest.raises(OSError, match="outside"):
                opened.open(name)


def test_only_files_are_opened_and_nothing_waits(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as served:
        served.bind("socket")
        with Tree(root) as opened:
            for name, kind in [("pipe", "a named pipe"), ("socket", "a socket"), ("inner", "a folder")]:
                with pytest.raises(OSError, match=f"is {kind}, not a file"):
                    opened.open(name)
            kinds = {each.name: each.kind for each in opened.walk()}
    assert kinds == {"inner": "a folder", "inner/file": "a file", "pipe": "a named pipe", "socket": "a socket"}


def test_a_link_back_to_its_own_folder(root: Path) -> None:
    (root / "inner/back").symlink_to("..")

    with Tree(root) as opened, pytest.raises(OSError, match="a folder that contains it"):
        list(opened.walk())


def test_links_cannot_make_endless_trees(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MOST_ENTRIES", 1000)
    for number in range(30):  # each doubles what is below it
        (root / f"level-{number}").mkdir()
        for name in ("a", "b"):
            (root / f"level-{number}" / name).symlink_to(f"../level-{number + 1}")
    (root / "level-30").mkdir()

    with Tree(root) as opened, pytest.raises(OSError, match="more than 1,000 files and folders"):
        list(opened.walk())


def test_a_deep_tree(root: Path) -> None:
    folder = root
    for _ in range(tree.DEEPEST + 1):
        folder /= "d"
        folder.mkdir()

    with Tree(root) as opened, pytest.raises(OSError, match="more than 64 folders"):
        list(opened.walk())


def test_a_root_is_no_link_and_keeps_its_identity(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(NotADirectoryError):
        Tree(tmp_path / "link")

    with Tree(root) as opened:
        root.rename(tmp_path / "elsewhere")
        root.symlink_to(tmp_path)
        assert opened.identity == identity_of(tmp_path / "elsewhere")
        with opened.open("inner/file") as file:  # still in what was opened
            assert file.read() == b"content"


def test_descriptors_are_closed(root: Path) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    (root / "bad").symlink_to("/etc/passwd")
    before = count()
    for _ in range(3):
        with Tree(root) as opened, pytest.raises(OSError, match="outside"):
            list(opened.walk())
    assert count() == before


@pytest.mark.parametrize("kind", ["link", "folder-link", "pipe", "folder", "none"])
def test_only_a_file_is_read_as_failure(tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/failure").write_text(SECRET)
    paths = Paths(tmp_path / "ml")
    paths.root.mkdir()
    if kind == "folder-link":
        paths.output.symlink_to(tmp_path / "secrets")
    else:
        paths.output.mkdir()
    if kind == "link":
        paths.failure.symlink_to(tmp_path / "secret")
    elif kind == "pipe":
        os.mkfifo(paths.failure)
    elif kind == "folder":
        paths.failure.mkdir()

    text = read_failure(paths)

    if kind == "none":
        assert text is None
    else:
        assert text is not None
        assert "cannot be read" in text
        assert SECRET not in text
