"""The failure file: short, the cause first, the first cause for good."""

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom_algo.contract.algorithm import load_algorithm
from cleanroom_algo.contract.failure import LIMIT_BYTES, cut, failure_text, read_failure, write_failure
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.errors import SettingError


@given(st.text(max_size=3000))
def test_never_longer_than_the_limit_and_always_a_prefix(text: str) -> None:
    short = cut(text)

    assert len(short.encode()) <= LIMIT_BYTES
    assert text.encode("utf-8", errors="replace").decode().startswith(short)
    if len(text.encode("utf-8", errors="replace")) <= LIMIT_BYTES:
        assert short == text.encode("utf-8", errors="replace").decode()


def test_the_cause_and_the_algorithms_own_frame_come_first(tmp_path: Path) -> None:
    (tmp_path / "mine_that_fails.py").write_text(
        "import json\ndef inner():\n    json.loads('{')\ndef outer():\n    inner()\n"
    )
    module = load_algorithm(tmp_path / "mine_that_fails.py")
    with pytest.raises(ValueError, match="Expecting") as caught:
        module.outer()

    lines = failure_text(caught.value, Redactor(tmp_path)).splitlines()

    assert lines[0].startswith("JSONDecodeError: ")
    own = [line for line in lines if "mine_that_fails.py" in line]
    assert "in inner" in own[0]
    assert "in outer" in own[1]


def test_our_own_errors_keep_their_form() -> None:
    error = SettingError("what", expected="expected", fix="fix")

    assert failure_text(error).startswith("CR-CON-003  what\n  fix       fix\n")


def test_the_first_cause_is_never_overwritten(tmp_path: Path) -> None:
    paths = Paths(tmp_path)

    assert write_failure(paths, "first")
    assert not write_failure(paths, "second")
    assert read_failure(paths) == "first"
    assert [path.name for path in paths.output.iterdir()] == ["failure"]


def test_an_empty_file_is_no_cause(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.output.mkdir()
    paths.failure.touch()

    assert write_failure(paths, "cause")
    assert read_failure(paths) == "cause"


def _race(root: Path, number: int, start: "multiprocessing.synchronize.Event") -> None:
    start.wait(30)
    write_failure(Paths(root), f"cause {number} " * 100)


def test_of_racing_writers_one_wins_whole(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    writers = [context.Process(target=_race, args=(tmp_path, number, start)) for number in range(3)]
    for writer in writers:
        writer.start()
    start.set()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0

    text = read_failure(Paths(tmp_path))

    assert text in {cut(f"cause {number} " * 100) for number in range(3)}


def test_without_the_source_an_exception_is_shown_by_its_class() -> None:
    assert failure_text(ValueError("row 4711")) == "ValueError: <value>"


def test_the_reader_shows_1024_characters(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    assert read_failure(paths) is None
    paths.output.mkdir()
    paths.failure.write_text("é" * 5000)

    assert read_failure(paths) == "é" * 1024
