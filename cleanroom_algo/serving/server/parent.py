"""The parent process of the server: it reports how a server died that could not report it itself.

`os._exit`, native code and the kernel end a process without a message. This process loads nothing and only waits.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from cleanroom_algo.contract.environment import InferenceEnvironment
from cleanroom_algo.contract.failure import write_failure
from cleanroom_algo.contract.processes import how_ended, signal_when_orphaned
from cleanroom_algo.contract.script import inference_script
from cleanroom_algo.errors import CleanroomError, ServerDiedError, StartTimeoutError
from cleanroom_algo.serving.server.report import Failure, Report, Stage

log = logging.getLogger("cleanroom_algo.serving")

REMIND_SECONDS = 30.0  # between two log lines about what is waited for; a quarter of the limit if that is shorter
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def supervise(environment: InferenceEnvironment, serve: Callable[[Report], int]) -> int | None:
    """Run a server in a separate process, and wait for its end.

    Args:
        environment: of the container.
        serve: runs the server in the new process; returns its exit status.

    Returns:
        In the new process, the result of `serve`. In this one, the exit status of the program; None if the server
        requests a restart.
    """
    report = Report(str(inference_script(environment) or environment.settings.algorithm))
    child = os.fork()
    if child == 0:
        signal_when_orphaned(signal.SIGTERM)  # no server outlives this process
        faulthandler.enable()  # a crash in native code prints the stacks that led to it
        return serve(report)
    forwarded: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        forwarded.append(number)
        with suppress(ProcessLookupError):
            os.kill(child, number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    ended = threading.Event()
    limit = environment.settings.serve_start_seconds
    reminder = threading.Thread(target=_remind, args=(report, limit, ended))
    reminder.start()
    try:
        _, status = os.waitpid(child, 0)
        return _conclude(environment, report, os.waitstatus_to_exitcode(status), forwarded)
    finally:
        ended.set()
        reminder.join()
        report.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def limit_start(report: Report, limit: float) -> None:
    """End this process and print the stacks of all its threads if it does not serve in time, even in native code.

    Args:
        report: of the server.
        limit: seconds from the server's start, or from now if another process already serves.
    """
    spent = 0.0 if report.stage is Stage.SERVING else time.monotonic() - report.began
    faulthandler.dump_traceback_later(max(1.0, limit - spent), exit=True)


def cause_of_death(how: str, report: Report, seconds: float, limit: float) -> CleanroomError:
    """Return the error for a process that reported nothing itself.

    Args:
        how: how it ended, as part of a sentence.
        report: of the server.
        seconds: for which it ran.
        limit: seconds that a start may take.
    """
    if report.stage < Stage.SERVING and seconds >= limit:
        return StartTimeoutError(
            f"the server was still {report.stage} after {seconds:.0f} s",
            expected=f"a server that is ready within {limit:g} s (CLEANROOM_ALGO_SERVE_START_SECONDS)",
            fix="see the stacks in the log: they show where it hangs, most often waiting for a network",
        )
    return ServerDiedError(
        f"the server {how} while {report.stage}, without saying why",
        expected="a process that runs until it is stopped, and raises an exception if something is wrong",
        fix="SIGKILL usually means that memory ran out: choose a larger instance type; SIGSEGV or SIGABRT come from "
        "native code: see the stacks in the log; an exit status comes from a call of os._exit",
    )


def _remind(report: Report, limit: float, ended: threading.Event) -> None:
    while not ended.wait(min(REMIND_SECONDS, limit / 4)) and report.stage < Stage.SERVING:
        seconds = time.monotonic() - report.began
        if seconds < limit:  # after that, the last line of the log is the reason
            log.warning("still %s after %.0f s; serve gives up %g s after its start", report.stage, seconds, limit)


def _conclude(environment: InferenceEnvironment, report: Report, exit_code: int, forwarded: list[int]) -> int | None:
    """Write why the server has ended as the last line of the log, unless it was asked to end."""
    if report.anew:
        return None
    if exit_code == 0 and (report.stage is Stage.SERVING or forwarded):
        return 0
    if -exit_code in forwarded:
        return 128 - exit_code
    failure = report.failure()
    if failure is None:
        seconds = time.monotonic() - report.began
        error = cause_of_death(how_ended(exit_code), report, seconds, environment.settings.serve_start_seconds)
        failure = Failure.of(error)
    reason = f": {failure.title}" if failure.title else f"\n{failure.text}"
    log.error("serve ends with exit status %d%s", failure.exit_code, reason)
    try:
        write_failure(environment.paths, failure.text)
    except OSError:
        log.debug("no failure file: %s is not writable", environment.paths.output)
    return failure.exit_code
