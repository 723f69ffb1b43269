"""Artifacts under their cap, published whole or not at all: full disks, kills, files written past the writer."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from cleanroom_algo.contract.manifest import Manifest, hash_files
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import ArtifactClashError, ArtifactKindError, ArtifactTooLargeError, ArtifactWriteError
from cleanroom_algo.training.artifacts import atomic
from cleanroom_algo.training.artifacts.tensor_file import add_tensors, largest_size, write_tensors
from cleanroom_algo.training.artifacts.writer import ArtifactWriter
from cleanroom_algo.training.torch.checkpoints import Checkpoints
from tests.training.support import ALGORITHM, Container, algorithm, csv_rows, listing


def publish(writer: ArtifactWriter, name: str, text: str) -> None:
    with writer.draft() as draft:
        draft.reserve(name, len(text)).write_text(text)
        writer.publish(draft, Manifest(algorithm="A"))


def test_publishing_replaces_everything_at_once(tmp_path: Path) -> None:
    writer = ArtifactWriter(tmp_path / "model")
    publish(writer, "one", "1")
    publish(writer, "two", "22")
    assert listing(tmp_path / "model") == ["manifest.json", "two"]
    assert listing(tmp_path) == ["model"]
    Manifest.read(writer.directory).verify(writer.directory)


def test_the_cap_holds_before_a_byte_is_written_and_names_the_largest(tmp_path: Path) -> None:
    writer = ArtifactWriter(tmp_path / "model", cap_bytes=50_000)
    publish(writer, "good", "1")
    with writer.draft() as draft:
        add_tensors(draft, "model.safetensors", {"w": torch.zeros(5_000)})
        with pytest.raises(ArtifactTooLargeError) as caught:
            add_tensors(draft, "optimizer.safetensors", {"w": torch.zeros(9_000)})
        assert listing(draft.path) == ["model.safetensors"]
    assert "optimizer.safetensors 36.2 kB, model.safetensors 20.1 kB" in caught.value.what
    assert "save_optimizer" in caught.value.fix
    assert listing(tmp_path / "model") == ["good", "manifest.json"]


def test_files_written_past_the_writer_are_kept_counted_and_listed(tmp_path: Path) -> None:
    writer = ArtifactWriter(tmp_path / "model", cap_bytes=50_000)
    publish(writer, "old", "1")
    (writer.directory / "sub").mkdir()
    (writer.directory / "sub" / "stray").write_bytes(bytes(100))
    publish(writer, "new", "2")
    assert sorted(Manifest.read(writer.directory).files) == ["new", "sub/stray"]
    (writer.directory / "huge").write_bytes(bytes(60_000))
    with pytest.raises(ArtifactTooLargeError, match="huge"):
        publish(writer, "third", "3")
    assert sorted(Manifest.read(writer.directory).files) == ["new", "sub/stray"]


def test_links_become_files_and_modes_and_empty_folders_stay(tmp_path: Path) -> None:
    writer = ArtifactWriter(tmp_path / "model")
    publish(writer, "old", "1")
    (writer.directory / "kept").mkdir()
    (writer.directory / "stray").symlink_to("new")
    with writer.draft() as draft:
        (draft.path / "new").write_text("2")
        (draft.path / "sub" / "empty").mkdir(parents=True)
        (draft.path / "sub" / "run").write_text("3")
        (draft.path / "sub" / "run").chmod(0o755)
        (draft.path / "folder").symlink_to("sub")
        (draft.path / "absolute").symlink_to(writer.directory / "sub" / "run")
        (draft.path / "sub" / "own").symlink_to(draft.path / "new")
        writer.publish(draft, Manifest(algorithm="A"))
    assert not [path for path in writer.directory.rglob("*") if path.is_symlink()]
    texts = {
        p.relative_to(writer.directory).as_posix(): p.read_text() for p in writer.directory.rglob("*") if p.is_file()
    }
    del texts["manifest.json"]
    files = {"sub/run": "3", "sub/own": "2", "folder/run": "3", "folder/own": "2"}
    assert texts == {"new": "2", "stray": "2", "absolute": "3", **files}
    assert all((writer.directory / name).is_dir() for name in ("kept", "sub/empty", "folder/empty"))
    assert (writer.directory / "absolute").stat().st_mode & 0o777 == 0o755
    assert listing(tmp_path) == ["model"]
    Manifest.read(writer.directory).verify(writer.directory)


def test_what_is_no_file_is_refused_by_name(tmp_path: Path) -> None:
    writer = ArtifactWriter(tmp_path / "model")
    publish(writer, "old", "1")

    def attempt(make: Callable[[Path], None]) -> None:
        with writer.draft() as draft:
            make(draft.path / "odd")
            writer.publish(draft, Manifest(algorithm="A"))

    makers: list[Callable[[Path], None]] = [
        lambda path: path.symlink_to("/etc/passwd"),
        lambda path: path.symlink_to("../../secret"),
        lambda path: path.symlink_to("missing"),
        lambda path: path.symlink_to("odd"),
        lambda path: path.symlink_to("."),
        lambda path: os.mkfifo(path),
    ]
    for make in makers:
        with pytest.raises(ArtifactKindError, match="odd"):
            attempt(make)
    assert listing(writer.directory) == ["manifest.json", "old"]
    assert listing(tmp_path) == ["model"]


def test_a_model_folder_that_is_none_is_an_error(tmp_path: Path) -> None:
    writer = ArtifactWriter(tmp_path / "model")
    writer.check_final(tmp_path / "output")
    (tmp_path / "model").write_text("a file")
    with pytest.raises(ArtifactKindError, match="model"):
        writer.check_final(tmp_path / "output")
    (tmp_path / "model").unlink()
    (tmp_path / "model").symlink_to(tmp_path)
    with pytest.raises(ArtifactKindError, match="model"):
        writer.check_final(tmp_path / "output")


def test_names_clash(tmp_path: Path) -> None:
    writer = ArtifactWriter(tmp_path / "model")
    with writer.draft() as draft:
        draft.reserve("a", 1).write_text("1")
        for name in ("a", "../b", "manifest.json"):
            with pytest.raises(ArtifactClashError):
                draft.reserve(name, 1)


KILLED = """
import os, sys
from pathlib import Path
from cleanroom_algo.contract.manifest import Manifest
from cleanroom_algo.training.artifacts import atomic
from cleanroom_algo.training.artifacts.writer import ArtifactWriter

def dying(function):
    def call(*arguments, **options):
        global calls
        calls -= 1
        if calls < 0:
            os.kill(os.getpid(), 9)
        return function(*arguments, **options)
    return call

def publish(name):
    writer = ArtifactWriter(folder / "model")
    writer.recover()
    with writer.draft() as draft:
        draft.reserve(name, 3).write_text(name)
        writer.publish(draft, Manifest(algorithm="A"))

if sys.argv[2] == "mount":
    def refuse(first, second):
        raise OSError(16, "busy")
    atomic._exchange = refuse
status, calls = 9, 0
while status == 9:
    folder = Path(sys.argv[1], str(calls))
    publish("old")
    if not os.fork():
        for name in ("rename", "fsync", "unlink", "rmdir", "mkdir", "open", "replace"):
            setattr(os, name, dying(getattr(os, name)))
        publish("new")
        os._exit(0)
    status = os.wait()[1]
    calls += 1
sys.exit(status)
"""


@pytest.mark.parametrize(("kind", "between"), [("exchange", set()), ("mount", {()})])
def test_a_kill_at_any_call_leaves_the_old_state_or_the_new_one(
    tmp_path: Path, kind: str, between: set[tuple[str, ...]]
) -> None:
    """Where files are moved one by one, a kill in between leaves nothing, but never a mixture."""
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), kind], check=True, timeout=60)
    states = set()
    for folder in tmp_path.iterdir():
        writer = ArtifactWriter(folder / "model")
        writer.recover()
        if listing(writer.directory):
            Manifest.read(writer.directory).verify(writer.directory)
        states.add(tuple(listing(writer.directory)))
        assert listing(folder) == ["model"]
    assert len(listing(tmp_path)) > 10
    assert states == {("manifest.json", "old"), ("manifest.json", "new"), *between}


FAILED_SYNC = """
import errno, os, sys
from pathlib import Path
from cleanroom_algo.contract.manifest import Manifest
from cleanroom_algo.errors import ArtifactWriteError
from cleanroom_algo.training.artifacts import atomic
from cleanroom_algo.training.artifacts.writer import ArtifactWriter

if sys.argv[2] == "mount":
    def refuse(first, second):
        raise OSError(errno.EBUSY, "busy")
    atomic._exchange = refuse
real = os.fsync
left = 0
def fail(descriptor):
    global left
    left -= 1
    if left == -1:
        raise OSError(errno.EIO, "Input/output error")
    real(descriptor)
os.fsync = fail
directory = Path(sys.argv[1])
for good in range(100):
    left = good
    try:
        with (writer := ArtifactWriter(directory)).draft() as draft:
            draft.reserve("new", 3).write_text("new")
            writer.publish(draft, Manifest(algorithm="B"))
    except ArtifactWriteError as error:
        print(error.code, *sorted(path.name for path in directory.iterdir()))
        Manifest.read(directory).verify(directory)
    else:
        break
"""


@pytest.mark.parametrize("kind", ["exchange", "mount"])
def test_a_failed_sync_leaves_whole_artifacts(tmp_path: Path, kind: str) -> None:
    writer = ArtifactWriter(tmp_path / "model")
    publish(writer, "old", "old")
    command = [sys.executable, "-c", FAILED_SYNC, str(writer.directory), kind]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    told = ended.stdout.splitlines()
    assert len(told) > 3  # both files, their directory, the directory above
    assert set(told[:3]) == {"CR-ART-004 manifest.json old"}
    assert set(told) <= {"CR-ART-004 manifest.json old", "CR-ART-004 manifest.json new"}  # never a mixture
    assert listing(tmp_path) == ["model"]
    Manifest.read(writer.directory).verify(writer.directory)


def test_a_directory_that_cannot_be_exchanged_is_replaced_file_by_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(first: Path, second: Path) -> None:
        raise OSError(16, "busy", str(second))

    monkeypatch.setattr(atomic, "_exchange", refuse)  # as the kernel answers for a mount point
    writer = ArtifactWriter(tmp_path / "model")
    publish(writer, "one", "1")
    publish(writer, "two", "2")
    assert listing(tmp_path / "model") == ["manifest.json", "two"]


LIMITED = """
import resource, sys, torch
from pathlib import Path
from cleanroom_algo.contract.manifest import Manifest
from cleanroom_algo.errors import ArtifactWriteError
from cleanroom_algo.training.artifacts.writer import ArtifactWriter
from cleanroom_algo.training.artifacts.tensor_file import add_tensors

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
writer = ArtifactWriter(Path(sys.argv[1]))
try:
    with writer.draft() as draft:
        add_tensors(draft, "model.safetensors", {"w": torch.zeros(1_000_000)})
except ArtifactWriteError as error:
    print(error.code)
"""


def test_a_write_that_fails_leaves_the_old_state(tmp_path: Path) -> None:
    writer = ArtifactWriter(tmp_path / "model")
    publish(writer, "old", "1")
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(writer.directory)], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout == "CR-ART-004\n"
    assert listing(writer.directory) == ["manifest.json", "old"]
    assert listing(tmp_path) == ["model"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    writer = ArtifactWriter(tmp_path / "model")

    def fill() -> None:
        with writer.draft() as draft:
            (draft.path / "full").symlink_to("/dev/full")
            (draft.path / "full").write_bytes(b"x")

    with pytest.raises(ArtifactWriteError, match="No space left"):
        fill()


needs_small_disk = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounting a small tmpfs needs root on Linux"
)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Make a new folder a disk of 1 MiB."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let root mount")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@needs_small_disk
def test_a_training_on_a_full_disk_fails_with_its_last_artifacts_whole(tmp_path: Path) -> None:
    manifest = str(tmp_path / "ml" / "model" / "manifest.json")
    body = (
        "publish_seconds = 0\ndef save(self, directory):\n"
        f"    if type(directory)({manifest!r}).exists():\n        (directory / 'more').write_bytes(bytes(3_000_000))\n"
    )
    container = Container(tmp_path / "ml", algorithm(tmp_path, body)).channel("train", {"a": csv_rows(200)})
    with small_disk(container.model):
        ended = container.run()
        assert ended.status == 1, ended.err
        assert container.failure.startswith("CR-ART-004")
        Manifest.read(container.model).verify(container.model)


@needs_small_disk
def test_old_checkpoints_make_room_on_a_full_disk_and_the_newest_stays(tmp_path: Path) -> None:
    disk = tmp_path / "checkpoints"
    with small_disk(disk):
        checkpoints = Checkpoints(disk / "algo-1", world=World(), training={}, keep=9)
        for epoch in range(1, 5):  # of 280 kB each: three fit
            checkpoints.save(epoch, {"model": torch.full((70_000,), float(epoch))}, {}, better=True)
        assert listing(disk / "algo-1") == ["epoch-00003", "epoch-00004"]
        checkpoints.save(5, {"model": torch.zeros(300_000)}, {}, better=True)
        assert listing(disk / "algo-1") == ["epoch-00004"]
        found = checkpoints.load()
        assert found is not None
        assert found.state is not None
        assert found.state["model"][0] == 4


def test_a_training_over_its_cap_fails_with_its_last_artifacts_whole(tmp_path: Path) -> None:
    body = (
        "publish_seconds = 0\ngrown = 0\ndef save(self, directory):\n"
        "    (directory / 'log').write_bytes(bytes(20_000 * self.grown))\n    self.grown += 1\n"
    )
    container = Container(tmp_path / "ml", algorithm(tmp_path, body), hyperparameters={"epochs": "5"})
    container.channel("train", {"a": csv_rows(200)})
    ended = container.run(CLEANROOM_ALGO_MAX_ARTIFACT_GB="0.00005")
    assert ended.status == 1, ended.err
    assert container.failure.startswith("CR-ART-003")
    assert "log 40.0 kB" in container.failure
    manifest = Manifest.read(container.model)
    manifest.verify(container.model)
    assert manifest.files["log"].bytes == 20_000


WIDE = ALGORITHM.replace("self.layer = ", "self.wide = nn.Linear(1, 4000)\n        self.layer = ").replace(
    "dim=1)).squeeze(1)", "dim=1)).squeeze(1) + self.wide(numeric[:, :1]).mean(1)"
)


@pytest.mark.parametrize("shrink", [(), ("optimizer",), ("bfloat16", "optimizer")])
def test_what_would_not_fit_is_given_up_as_allowed_or_told_after_the_first_step(
    tmp_path: Path, shrink: tuple[str, ...]
) -> None:
    code = algorithm(tmp_path, f"log_steps = 1\nshrink = {shrink}\n", WIDE)
    container = Container(tmp_path / "ml", code).channel("train", {"a": csv_rows(300)})
    ended = container.run(CLEANROOM_ALGO_MAX_ARTIFACT_GB="0.00006" if len(shrink) < 2 else "0.00004")
    if not shrink:
        assert ended.status == 1, ended.err
        assert container.failure.startswith("CR-ART-003")
        assert "optimizer.safetensors 64" in container.failure
        assert len(ended.metrics("train_loss")) == 1
        return
    assert ended.status == 0, ended.err
    assert "from now on the optimizer is left out" in ended.err
    assert listing(container.model) == ["features.json", "manifest.json", "model.safetensors"]
    weights = load_file(container.model / "model.safetensors")
    assert weights["wide.weight"].dtype == (torch.bfloat16 if "bfloat16" in shrink else torch.float32)


def test_output_counts_against_the_cap_and_the_artifacts_stay_whole(tmp_path: Path) -> None:
    body = "def save(self, directory):\n    folder = self.environment.paths.output_data\n"
    body += "    folder.mkdir(parents=True)\n    (folder / 'huge').write_bytes(bytes(1_000_000))\n"
    container = Container(tmp_path / "ml", algorithm(tmp_path, body), hyperparameters={"epochs": "1"})
    ended = container.channel("train", {"a": csv_rows(100)}).run(CLEANROOM_ALGO_MAX_ARTIFACT_GB="0.001")
    assert ended.status == 1, ended.err
    assert container.failure.startswith("CR-ART-003")
    assert "output/data/huge 1.0 MB" in container.failure
    Manifest.read(container.model).verify(container.model)


_DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.bool]
_FORMS = st.tuples(st.sampled_from(_DTYPES), st.lists(st.integers(0, 4), max_size=3))


@given(st.dictionaries(st.text(min_size=1, max_size=8), _FORMS, min_size=1))
def test_tensor_files_are_no_larger_than_was_reserved(forms: dict[str, tuple[torch.dtype, list[int]]]) -> None:
    import tempfile

    forms.pop("__metadata__", None)
    tensors = {name: torch.randint(0, 2, shape).to(dtype) for name, (dtype, shape) in forms.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.safetensors"
        entry = write_tensors(path, tensors, {"a": "b"})
        assert entry.bytes == path.stat().st_size <= largest_size(tensors, {"a": "b"})
        assert hash_files(Path(folder))["file.safetensors"] == entry
        loaded = load_file(path)
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_views_and_large_tensors_are_written_as_they_are(tmp_path: Path) -> None:
    large = torch.arange(6_000_000, dtype=torch.float32)
    views = {"view": large[::2].reshape(1000, -1).t(), "tied": large, "part": large[5:9]}
    tensors = {"large": large, "scalar": torch.tensor(3.0), **views}
    write_tensors(tmp_path / "file", tensors)
    loaded = load_file(tmp_path / "file")
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_shards_hold_each_tensor_once(tmp_path: Path) -> None:
    tensors = {f"t{number}": torch.full((100,), float(number)) for number in range(5)}
    with ArtifactWriter(tmp_path / "model").draft() as draft:
        add_tensors(draft, "model.safetensors", tensors, shard_bytes=900)
        index = json.loads((draft.path / "model.safetensors.index.json").read_text())
        assert sorted(set(index["weight_map"].values())) == [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
        for name, file in index["weight_map"].items():
            assert torch.equal(load_file(draft.path / file)[name], tensors[name])
