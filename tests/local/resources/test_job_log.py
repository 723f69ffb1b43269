"""The log of a job on a disk that fills, and of one that has no end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cleanroom_algo.local.resources import job_log
from cleanroom_algo.local.resources.job_log import JobLog, read_lines

WRITE = """
import resource, sys
from pathlib import Path
from cleanroom_algo.local.resources.job_log import JobLog

with JobLog(Path(sys.argv[1])) as log:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    for number in range(20):
        log.line("algo-1", "stdout", f"line {number}")
"""


def test_it_ends_with_a_whole_line_and_says_so_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    done = subprocess.run([sys.executable, "-c", WRITE, path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line)["text"] for line in path.read_text().splitlines()]
    assert lines == [f"line {number}" for number in range(len(lines))]
    assert 1 < len(lines) < 20
    assert done.stderr.splitlines() == [f"{path} ends before its job does: File too large"]


def test_a_log_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_log, "MOST_BYTES", 1000)
    with JobLog(tmp_path / "log.jsonl") as log:
        for number in range(100):
            log.line("algo-1", "stdout", str(number))

    texts = [line["text"] for line in read_lines(tmp_path / "log.jsonl")]
    assert texts[:-1] == [str(number) for number in range(len(texts) - 1)]
    assert texts[-1] == "the log ends here, with 1.0 kB"
    assert (tmp_path / "log.jsonl").stat().st_size < 1200


def test_a_growing_log_is_followed_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_log, "_FOLLOW_SECONDS", 0.0)
    path = tmp_path / "log"
    written = iter([b"", b'{"text": "on', b'e"}\n{"text": "two"}\n', b'{"text": "last"}\n'])

    def is_over() -> bool:  # the job writes until it is over
        content = next(written)
        with path.open("ab") as file:
            file.write(content)
        return b"last" in content

    assert [line["text"] for line in job_log.follow_lines(path, is_over)] == ["one", "two", "last"]
