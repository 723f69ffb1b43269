"""The log of a job on a disk that fills."""

import json
import subprocess
import sys
from pathlib import Path

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
