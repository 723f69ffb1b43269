"""What containers leave in the places of files and folders, on every kind of host: nothing leads the clean room out."""

import ast
import os
import stat
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import cleanroom_algo.local
from cleanroom_algo.contract.tree import Tree
from cleanroom_algo.errors import (
    ArtifactsClashError,
    ArtifactsUnreadableError,
    JobStoppedError,
)
from cleanroom_algo.local.jobs.packing import merge, pack
from cleanroom_algo.local.plans.outcomes import JobStatus
from tests.local.jobs.support import Job, Lines, Run, members

SECRET = "the credentials of the user"
REPLACED = {
    "model": "os.rmdir(root / 'model'); os.symlink(secrets, root / 'model')",
    "data": "os.rmdir(root / 'output/data'); os.symlink(secrets, root / 'output/data')",
    "output": "os.rename(root / 'output', root / 'was'); os.symlink(secrets, root / 'output')",
    "file": "os.rmdir(root / 'model'); (root / 'model').write_text('a file')",
    "pipe": "os.rmdir(root / 'model'); os.mkfifo(root / 'model')",
    "gone": "os.rmdir(root / 'model')",
}
LINKS = {
    "outside": "(root / 'model/link').symlink_to(f'{secrets}/failure')",
    "folder": "(root / 'model/folder').symlink_to(secrets)",
    "up": "(root / 'model/link').symlink_to('../' * 12 + 'etc/passwd')",
    "output": "(root / 'output/data/link').symlink_to('/etc/passwd')",
    "nowhere": "(root / 'model/link').symlink_to('nowhere')",
    "circle": "(root / 'model/link').symlink_to('.')",
}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Return a folder of the user, which no container was given."""
    folder = tmp_path / "home"
    (folder / "data").mkdir(parents=True)
    for name in ("failure", "data/failure"):
        (folder / name).write_text(SECRET)
    return folder


@pytest.mark.parametrize("body", [*REPLACED.values(), *LINKS.values()], ids=[*REPLACED, *(f"link-{n}" for n in LINKS)])
def test_what_leads_elsewhere_fails_the_job(job: Job, run: Run, secrets: Path, kind: str, body: str) -> None:
    if kind == "docker" and body in REPLACED.values():
        pytest.skip("these folders are mounts, which cannot be replaced")
    if kind == "docker" and body not in (LINKS["outside"], LINKS["output"]):
        pytest.skip("one link for each folder shows that they are read as on other hosts")

    outcome = run(job(f"secrets = {str(secrets)!r}\n{body}"))

    assert outcome.status is JobStatus.FAILED
    assert outcome.model_archive is None
    assert outcome.failure_reason is not None
    assert "CR-JOB-104" in outcome.failure_reason
    assert SECRET not in outcome.failure_reason


def test_a_folder_may_be_made_anew(job: Job, run: Run, kind: str) -> None:
    if kind == "docker":
        pytest.skip("it is a mount, which cannot be removed")

    outcome = run(job("os.rmdir(root / 'model'); (root / 'model').mkdir(); (root / 'model/weights').write_text('w')"))

    assert members(outcome.model_archive) == {"weights": b"w"}


def test_on_docker_hosts_a_folder_that_is_no_mount_may_be_replaced_and_fails_the_job(
    job: Job, run: Run, secrets: Path, kind: str
) -> None:
    if kind != "docker":
        pytest.skip("elsewhere there are no mounts")
    tries = "".join(f"try:\n    {body}\nexcept OSError:\n    pass\n" for body in REPLACED.values())

    outcome = run(job(f"secrets = {str(secrets)!r}\n{tries}"))

    assert outcome.status is JobStatus.FAILED
    assert outcome.model_archive is None
    assert outcome.failure_reason is not None
    assert outcome.failure_reason.startswith("CR-JOB-104  /opt/ml/output/data cannot be packed: it is a link")


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("(root / 'output/failure').symlink_to(f'{secrets}/failure')", "is a link"),
        ("os.mkfifo(root / 'output/failure')", "a named pipe"),
        ("(root / 'output/failure').mkdir()", "a folder"),
        ("os.rename(root / 'output', root / 'was'); os.symlink(secrets, root / 'output')", "is a link"),
        (
            "(root / 'output/failure').write_text('own words'); os.link(root / 'output/failure', root / 'b')",
            "own words",
        ),
    ],
)
def test_a_failure_file_is_a_file(job: Job, run: Run, secrets: Path, kind: str, body: str, what: str) -> None:
    if kind == "docker" and "rename" in body:
        pytest.skip("a mount cannot be renamed")
    if kind == "docker" and "symlink_to" not in body:
        pytest.skip("one of them shows that the file is read as on other hosts")

    outcome = run(job(f"secrets = {str(secrets)!r}\n{body}\nsys.exit(1)"))

    assert outcome.failure_reason is not None
    assert what in outcome.failure_reason
    assert SECRET not in outcome.failure_reason


def test_links_within_a_folder_become_files(job: Job, run: Run) -> None:
    body = """
model = root / "model"
(model / "blobs").mkdir()
(model / "empty/inner").mkdir(parents=True)
(model / "blobs/1a").write_text("weights")
(model / "snapshot").mkdir()
(model / "snapshot/model.bin").symlink_to("../blobs/1a")
(model / "latest").symlink_to(model / "snapshot")
os.link(model / "blobs/1a", model / "same.bin")
(model / "run.sh").write_text("")
(model / "run.sh").chmod(0o6755)
(model / "private").write_text("")
(model / "private").chmod(0o600)
(model / "empty").chmod(0o3777)
"""
    outcome = run(job(body))

    assert outcome.model_archive is not None
    assert members(outcome.model_archive) == {
        "blobs/1a": b"weights",
        "latest/model.bin": b"weights",
        "private": b"",
        "run.sh": b"",
        "same.bin": b"weights",
        "snapshot/model.bin": b"weights",
    }
    with tarfile.open(outcome.model_archive) as tar:
        found = {each.name: (each.type, oct(each.mode)) for each in tar}
    assert {name for name, (kind, _) in found.items() if kind == tarfile.DIRTYPE} == {
        *("blobs", "empty", "empty/inner", "latest", "snapshot")
    }
    assert {kind for kind, _ in found.values()} == {tarfile.DIRTYPE, tarfile.REGTYPE}
    assert [found[name][1] for name in ("run.sh", "private", "empty")] == ["0o755", "0o600", "0o777"]


def test_what_is_no_file_is_left_out_and_told(job: Job, run: Run) -> None:
    body = """
import socket
os.chdir(root / "model")
os.mkfifo("pipe")
held = socket.socket(socket.AF_UNIX)
held.bind("socket")
Path("weights").write_text("w")
"""
    lines = Lines()

    outcome = run(job(body), lines)

    assert members(outcome.model_archive) == {"weights": b"w"}
    told = sorted(text for host, _, text in lines.seen if host == "job")
    assert told == [
        "model/pipe is left out of the artifacts: it is a named pipe (algo-1)",
        "model/socket is left out of the artifacts: it is a socket (algo-1)",
    ]
    assert "model/pipe is left out" in outcome.log.read_text()


def test_a_file_with_a_hole_is_no_larger_than_its_disk(job: Job, run: Run) -> None:
    outcome = run(job("with open(root / 'model/hole', 'wb') as file: file.truncate(2 << 30)", volume_gb=1))

    assert outcome.failure_reason is not None
    assert "CR-JOB-102" in outcome.failure_reason
    assert "volumeSizeInGB" in outcome.failure_reason


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read what nobody may")
def test_devices_are_left_out(tmp_path: Path) -> None:
    os.mknod(tmp_path / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))

    with Tree(tmp_path) as tree:
        assert [str(each) for each in merge({"algo-1": tree}).left_out] == ["null: is a device (algo-1)"]


def test_a_file_is_swapped_while_it_is_packed(tmp_path: Path, secrets: Path) -> None:
    folder, archive = tmp_path / "left", tmp_path / "model.tar.gz"
    swaps: list[tuple[Callable[[Path], object], str]] = [
        (lambda file: file.symlink_to(secrets / "failure"), "outside"),
        (lambda file: os.mkfifo(file), "named pipe"),
        (lambda file: file.write_text("short"), "shorter"),
        (lambda _: None, "No such file"),
    ]
    for swap, why in swaps:
        folder.mkdir(exist_ok=True)
        (folder / "weights").write_bytes(bytes(1000))
        with Tree(folder) as tree:
            found = merge({"algo-1": tree})
            (folder / "weights").unlink()
            swap(folder / "weights")
            with pytest.raises(ArtifactsUnreadableError, match=why):
                pack(found, archive)
        (folder / "weights").unlink(missing_ok=True)
        assert not archive.exists()


def test_a_file_that_grows_is_packed_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "left").mkdir()
    (tmp_path / "left/log").write_text("one")
    with Tree(tmp_path / "left") as tree:
        found = merge({"algo-1": tree})
        (tmp_path / "left/log").write_text("one and more")
        pack(found, tmp_path / "model.tar.gz")

    assert members(tmp_path / "model.tar.gz") == {"log": b"one"}


def test_packing_ends_with_the_job(tmp_path: Path) -> None:
    (tmp_path / "left").mkdir()
    (tmp_path / "left/weights").write_bytes(bytes(100))
    stopped = threading.Event()
    stopped.set()

    with Tree(tmp_path / "left") as tree, pytest.raises(JobStoppedError):
        pack(merge({"algo-1": tree}), tmp_path / "model.tar.gz", stopped)


def test_a_file_and_a_folder_of_one_name_clash(tmp_path: Path) -> None:
    (tmp_path / "one/name").mkdir(parents=True)
    (tmp_path / "two").mkdir()
    (tmp_path / "two/name").write_text("")

    with Tree(tmp_path / "one") as one, Tree(tmp_path / "two") as two, pytest.raises(ArtifactsClashError):
        merge({"algo-1": one, "algo-2": two})


def test_nothing_in_local_reads_what_a_container_left_by_its_path() -> None:
    """One module opens the trees of containers; those that lay them out write to them before the start."""
    root = Path(cleanroom_algo.local.__file__).parent
    allowed = {root / "hosts" / f"{name}.py" for name in ("container_tree", "layout", "delivery", "feeding")}
    allowed.add(root / "images/preflight.py")  # it lays out a tree, too, and reads nothing but an output
    for path in sorted({*root.rglob("*.py")} - allowed):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module != "cleanroom_algo.contract.failure", f"{path}: ContainerTree.failure reads it"
                names = {each.name for each in node.names} if node.module == "cleanroom_algo.contract.paths" else set()
                assert "Paths" not in names, f"{path}: ContainerTree opens what a container left"
            assert not (isinstance(node, ast.Attribute) and node.attr == "paths"), f"{path}:{node.lineno}: as above"
