"""Script mode: an existing SageMaker training script runs unchanged.

It gets the `SM_*` names and its hyperparameters as arguments, both as the sagemaker-training toolkit makes them. Unlike
under the toolkit's own launcher, its exit status and signals go through, and the failure file says why it failed.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO

from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.contract.failure import cut
from cleanroom_algo.contract.processes import signal_name
from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.contract.script_names import script_names
from cleanroom_algo.errors import ScriptFailedError
from cleanroom_algo.training.process.reports import RankReport
from cleanroom_algo.training.signals import Phase, StopRequest

log = logging.getLogger(__name__)
_TAIL_LINES = 400  # enough for a deep traceback


def run_script(script: Path, environment: Environment, stop: StopRequest, redact: Redactor) -> RankReport:
    """Run a script to its end.

    Signals go to the script and to what it has started; a second one ends it at once.

    Raises:
        ScriptNamesError: CR-CON-007, the toolkit cannot supply the names.
    """
    names = script_names(environment.paths, environment.variables)
    _tell_unknown_names(environment)
    stop.enter(Phase.COOPERATING)  # the script decides what a signal means
    program = [sys.executable, "-u", str(script)] if script.suffix == ".py" else [str(script)]
    process = subprocess.Popen(
        [*program, *names.arguments],
        cwd=script.parent,
        env={**os.environ, **names.variables, "PYTHONPATH": _python_path(script)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    tail: deque[bytes] = deque(maxlen=_TAIL_LINES)
    reader = threading.Thread(target=_pass_on, args=(process.stderr, tail), name="stderr", daemon=True)
    reader.start()
    stop.listen(lambda number: _signal(process, number))
    try:
        status = process.wait()
    finally:
        _signal(process, signal.SIGKILL)  # what the script left behind ends with it
    reader.join(timeout=5)
    return _report(status, tail, script, environment, stop, redact)


def _tell_unknown_names(environment: Environment) -> None:
    """Say that the names of hosts mean nothing where all hosts are processes of one machine, which meet on loopback."""
    hosts, meeting = environment.resources.hosts, environment.settings.rendezvous or ""
    if len(hosts) > 1 and meeting.startswith("127."):
        log.warning(
            "the names %s cannot be resolved on process hosts. A script that connects its hosts needs sandbox or "
            "docker hosts: set machine.host_kind in settings.toml; or let it connect to 127.0.0.1",
            ", ".join(hosts),
        )


def _report(
    status: int, tail: deque[bytes], script: Path, environment: Environment, stop: StopRequest, redact: Redactor
) -> RankReport:
    rank = environment.resources.host_rank
    if stop:
        return RankReport(rank, "stopped", stop.exit_code if status <= 0 else status)
    if status == 0:
        return RankReport(rank, "done")
    exit_code = status if status > 0 else 128 - status
    text = redact.describe_printed(b"".join(tail).decode(errors="replace"))
    if text is None:
        how = f"exited with status {status}" if status > 0 else f"was ended by {signal_name(-status)}"
        text = str(
            ScriptFailedError(
                f"{script.name} {how} and raised no exception",
                expected="exit status 0, or an exception that describes the problem",
                fix="read the last lines of the log; raise an exception instead of calling sys.exit",
            )
        )
    return RankReport.failed(rank, cut(text), exit_code)


def _pass_on(stream: IO[bytes], tail: deque[bytes]) -> None:
    for line in stream:
        tail.append(line)
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return  # all of its group have ended


def _python_path(script: Path) -> str:
    given = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(script.parent), *([given] if given else [])])
