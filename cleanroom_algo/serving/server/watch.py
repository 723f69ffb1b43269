"""The process above the server: it says what a server that dies, hangs or never starts can no longer say itself.

`os._exit`, native code and the kernel end a process without a last word, and where native code hangs no thread of its
process can speak. This one loads nothing, so that it can.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from cleanroom_algo.contract.environment import InferenceEnvironment
from cleanroom_algo.contract.processes import signal_when_orphaned
from cleanroom_algo.errors import CleanroomError, ServerDiedError, StartTimeoutError
from cleanroom_algo.serving.server.reports import STACKS_SIGNAL, Phase, Report, Reports, how_ended, leave_failure, parse

log = logging.getLogger("cleanroom_algo.serving")

REMIND_SECONDS = 30.0  # between two lines about what is waited for; a quarter of the limit, where that is shorter
MAX_DEATHS = 3  # of processes, one after another, before they are ready: no further one will fare better
STACKS_SECONDS = 1.0  # that a process which hangs has to write its stacks
END_SECONDS = 5.0  # that the server has to end in order
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def watched(environment: InferenceEnvironment, serve: Callable[[Reports], int]) -> int | None:
    """Run a server in a process of its own.

    Args:
        environment: of the container.
        serve: runs the server in the new process; returns its exit status.

    Returns:
        In the new process what `serve` returned. In this one the exit status of the whole; None where the server wants
        to be started anew.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal_when_orphaned(signal.SIGTERM)  # no server outlives this process
        faulthandler.enable()  # a crash in native code leaves the stacks that led to it
        reports = Reports(environment, writing)
        reports.phase(Phase.LOADING)
        return serve(reports)
    os.close(writing)
    os.set_blocking(reading, False)
    try:
        return _Watch(environment, child, reading).run()
    finally:
        os.close(reading)


@dataclass(slots=True)
class _Start:
    """A process on its way to serving; all times are those of `time.monotonic`.

    Attributes:
        phase: it is in.
        since: when the phase began.
        began: when the way began.
        remind_at: when to say what is waited for.
    """

    phase: Phase
    since: float
    began: float
    remind_at: float


class _Watch:
    def __init__(self, environment: InferenceEnvironment, child: int, pipe: int) -> None:
        self._environment = environment
        self._limit = environment.settings.serve_start_seconds
        self._interval = min(REMIND_SECONDS, self._limit / 4)
        self._child = child
        self._pipe = pipe
        self._unread = b""
        self._began = time.monotonic()
        self._starts: dict[int, _Start] = {}
        self._processes: set[int] = set()  # those that serve, or are on their way to it
        self._deaths = 0
        self._serves = False
        self._anew = False
        self._signal: int | None = None
        self._failure: Report | None = None
        self._verdict: CleanroomError | None = None
        self._endings: list[tuple[float, int | None, signal.Signals]] = []  # when, to which process (None: all), which
        self._enter(child, Phase.LOADING)

    def run(self) -> int | None:
        """Return how the server ended, once it has."""
        with self._signals() as woken:
            while True:
                pid, status = os.waitpid(self._child, os.WNOHANG)
                self._read()
                if pid:
                    return self._conclude(os.waitstatus_to_exitcode(status))
                self._check(time.monotonic())
                select.select([self._pipe, woken], [], [], self._pause(time.monotonic()))
                with suppress(BlockingIOError):
                    os.read(woken, 4096)

    @contextmanager
    def _signals(self) -> Iterator[int]:
        """Pass signals on to the server; yield what becomes readable after each of them, and as the server ends."""
        reading, writing = os.pipe()
        with ExitStack() as stack:
            stack.callback(os.close, reading)
            stack.callback(os.close, writing)
            for end in (reading, writing):
                os.set_blocking(end, False)
            stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writing, warn_on_full_buffer=False))
            for number in _FORWARDED:
                stack.callback(signal.signal, number, signal.signal(number, self._forward))
            stack.callback(signal.signal, signal.SIGCHLD, signal.signal(signal.SIGCHLD, lambda *_: None))
            yield reading

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        self._signal = number
        _kill(self._child, number)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            while piece := os.read(self._pipe, 1 << 16):
                self._unread += piece
        lines, end, self._unread = self._unread.rpartition(b"\n")
        for report in parse(lines + end):
            self._take(report)

    def _take(self, report: Report) -> None:
        if report.kind == "phase":
            self._enter(report.pid, Phase(report.text))
        elif report.kind == "failed":
            self._failure = self._failure or report
            if not self._serves and report.pid != self._child:
                self._end()  # no other process will fare better
        elif report.kind == "ended":
            self._processes.discard(report.pid)
            self._count_death(report, self._starts.pop(report.pid, None))
        else:
            self._anew = True

    def _enter(self, pid: int, phase: Phase) -> None:
        now = time.monotonic()
        start = self._starts.pop(pid, None)
        if pid != self._child:
            self._processes.add(pid)
        if phase.can_hang:
            began = start.began if start else now if self._serves else self._began
            self._starts[pid] = _Start(phase, now, began, now + self._interval)
        if phase is Phase.SERVING:
            self._serves = True
            self._deaths = 0
            self._failure = None  # it was a process that another has taken the place of

    def _count_death(self, report: Report, start: _Start | None) -> None:
        if start is None or self._signal is not None or self._verdict is not None:
            return  # gunicorn tells of those that served, and replaces them
        self._deaths += 1
        if self._deaths >= MAX_DEATHS:
            self._end(
                _died(f"{self._deaths} serving processes ended one after another; the last {report.text}", start.phase)
            )

    def _check(self, now: float) -> None:
        for pid, start in tuple(self._starts.items()):
            if self._endings:
                break  # two processes at once would write their stacks into each other's
            if now - start.began > self._limit:
                self._give_up(pid, start)
            elif now > start.remind_at:
                start.remind_at = now + self._interval
                log.warning(
                    "still %s, for %.0f s (process %d); serve gives up %g s after the start",
                    start.phase,
                    now - start.since,
                    pid,
                    self._limit,
                )
        while self._endings and now > self._endings[0][0]:
            _, ending, number = self._endings.pop(0)
            for each in [*self._processes, self._child] if ending is None else [ending]:
                _kill(each, number)

    def _pause(self, now: float) -> float:
        """Return for how many seconds there is nothing to do, unless something is reported or ends."""
        return min([self._interval / 4, *(max(0.0, when - now) for when, _, _ in self._endings)])

    def _give_up(self, pid: int, start: _Start) -> None:
        _kill(pid, STACKS_SIGNAL)
        error = StartTimeoutError(
            f"process {pid} has been {start.phase} for {time.monotonic() - start.since:.0f} s",
            expected=f"a process that serves {self._limit:g} s after its start "
            "(CLEANROOM_ALGO_SERVE_START_SECONDS; AWS is said to end a job after 30 minutes)",
            fix="the stacks in the log show where it hangs: waiting for a network that is not there, most often",
        )
        at = time.monotonic() + STACKS_SECONDS
        if self._serves:  # the others do, and one takes its place
            log.error("%s", error)
            del self._starts[pid]
            self._endings.append((at, pid, signal.SIGKILL))
        else:
            self._verdict = error
            self._endings = [(at, None, signal.SIGKILL)]

    def _end(self, verdict: CleanroomError | None = None) -> None:
        """Let the server end in order, or else at once."""
        self._verdict = self._verdict or verdict
        now = time.monotonic()
        self._endings = self._endings or [(now, self._child, signal.SIGTERM), (now + END_SECONDS, None, signal.SIGKILL)]

    def _conclude(self, exit_code: int) -> int | None:
        """Say as the last line of the log why the server has ended, where that was not asked for."""
        if self._anew:
            return None
        if self._verdict is None and self._failure is None:
            if exit_code == 0 and (self._serves or self._signal is not None):
                return 0
            if self._signal is not None and exit_code == -self._signal:
                return 128 + self._signal
        for pid in self._processes:  # where the server itself was killed, they may hang
            _kill(pid, signal.SIGKILL)
        if self._failure is not None:
            log.error("serve ends with exit status %d: %s", self._failure.exit_code, self._failure.text)
            return self._failure.exit_code
        start = self._starts.get(self._child)
        phase = start.phase if start else Phase.SERVING if self._serves else Phase.STARTING
        error = self._verdict or _died(f"the server {how_ended(exit_code)}", phase)
        leave_failure(self._environment, error)
        log.error("serve ends with exit status %d\n%s", error.exit_code, error)
        return int(error.exit_code)


def _died(what: str, phase: Phase) -> ServerDiedError:
    return ServerDiedError(
        f"{what} while {phase}, without a word",
        expected="processes that end when they are told to, and whose code raises what is wrong",
        fix="SIGKILL: the kernel, for lack of memory (choose a larger instance type); SIGSEGV, SIGABRT: native code, "
        "whose stacks are in the log; an exit status: a call of os._exit",
    )


def _kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
