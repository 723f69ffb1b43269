"""What a person sees while a job runs: its output by host, and on a terminal lines that are updated."""

from __future__ import annotations

import json
import re
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cleanroom_algo.channels.hints import UNKNOWN_CATEGORIES
from cleanroom_algo.cli.output import is_terminal, say
from cleanroom_algo.cli.visible import visible
from cleanroom_algo.errors.status_codes import NOT_STARTED
from cleanroom_algo.local.summaries.progress import TrainingProgress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status
    from rich.text import Text

PROGRESS_SECONDS = 10.0  # between two progress lines if none can be updated: the file of a long job stays readable

SERVER_NOTES = re.compile(
    rf"\S+ \S+ \[\d+\] (DEBUG |INFO |WARNING {UNKNOWN_CATEGORIES})|\w+ host, polling |MaxConcurrentTransforms="
)
"""Lines about a server that starts, serves and ends as it should, and what is a warning of the job, too: neither other
warnings nor the algorithm's own output."""
_RAISED = re.compile(r"[A-Za-z_][\w.]*(?:$|: )")  # an exception below its traceback
_ERROR = re.compile(r"CR-[A-Z]{3}-[0-9]{3}  ")


class JobDisplay:
    """Shows a job on stderr: on a terminal, its output above status lines that are updated; elsewhere, plain lines.

    An error or exception at the end of a container's output is held back, because the job's own error repeats it.

    Args:
        title: the name of the job.
        verbose: whether the containers' output is shown; metric lines always update the status lines.
        as_json: whether progress is written as JSON, one object per line.
        hosts: the number of hosts; on a terminal, each of several hosts has its own status line.
        hidden: lines that begin like this are not shown.
    """

    def __init__(
        self,
        title: str,
        *,
        verbose: bool = True,
        as_json: bool = False,
        hosts: int = 1,
        hidden: re.Pattern[str] | None = None,
    ) -> None:
        self._title = title
        self._verbose = verbose
        self._as_json = as_json
        self._hidden = hidden
        self._started = time.monotonic()
        self._progress_due = self._started + PROGRESS_SECONDS
        self._state = "starting"
        self._progress: Any = TrainingProgress()
        self._last = dict.fromkeys((f"algo-{number + 1}" for number in range(hosts)), "")  # the last line of each host
        self._held: dict[str, list[str]] = {}
        self._console: Console | None = None
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if is_terminal() and not self._as_json:
            from rich.console import Console
            from rich.status import Status

            self._console = Console(stderr=True, highlight=False, soft_wrap=True)
            self._status = Status(self._text(), console=self._console)
            self._status.start()
        else:
            self._say()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()
        if self._status is not None:
            self._status.stop()

    @property
    def seconds(self) -> float:
        """How long the job has been shown."""
        return time.monotonic() - self._started

    def ended(self, status: str, reason: str | None) -> None:
        """Show how the job ended, and the lines that were held back if the reason does not contain them."""
        for host in [host for host, lines in self._held.items() if lines and lines[0] in (reason or "")]:
            del self._held[host]
        self._release()
        self._state = f"{status} after {self.seconds:.1f} s"
        if self._status is None:
            self._say()
        self.refresh()

    def line(self, host: str, stream: str, text: str) -> None:
        """Show a line of a container's output, or about it; not the warnings of a job, which are shown at its end."""
        before, self._last[host] = self._last.get(host, ""), text
        if isinstance(self._progress, TrainingProgress) and self._progress.take(text):
            self._state = "training"
            self._say_progress()
        if stream == "job" and text.startswith("warning: ") and not self._as_json:
            return
        if text == NOT_STARTED or (self._hidden is not None and self._hidden.match(text)):
            return
        if self._verbose and not self._holds(host, text, before):
            self._print(f"{host} | {text}")
        self.refresh()

    def progress(self, progress: object) -> None:
        """Show the progress of a job: in its status line, or from time to time in a separate line."""
        self._progress, self._state = progress, "running"
        self._say_progress()
        self.refresh()

    def refresh(self) -> None:
        """Show the time that has passed."""
        if self._status is not None:
            self._status.update(self._text())

    def _holds(self, host: str, text: str, before: str) -> bool:
        """Hold back what may be the error that ends the container; release the lines if it is not."""
        if self._as_json:
            return False
        ends_traceback = before.startswith("    ") and _RAISED.match(text)
        if ends_traceback or _ERROR.match(text) or (host in self._held and text.startswith("  ")):
            self._held.setdefault(host, []).append(text)
            return True
        self._release()
        return False

    def _release(self) -> None:
        held, self._held = self._held, {}
        for host, lines in held.items():
            for text in lines:
                self._print(f"{host} | {text}")

    def _say_progress(self) -> None:
        if self._status is None and time.monotonic() >= self._progress_due:
            self._progress_due = time.monotonic() + PROGRESS_SECONDS
            self._say(str(self._progress))

    def _say(self, text: str | None = None) -> None:
        if self._as_json:
            values = self._progress.values() if hasattr(self._progress, "values") else {}
            document = {"job": self._title, "state": self._state, "seconds": round(self.seconds, 1), **values}
            say(json.dumps(document))
        else:
            say(f"{self._title}: {text or self._state}")

    def _print(self, text: str) -> None:
        text = visible(text)
        if self._console is not None:
            self._console.print(text, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _text(self) -> Text:
        from rich.text import Text

        parts = [self._title, self._state, f"{self.seconds:.0f} s", str(self._progress)]
        lines = ["  ".join(part for part in parts if part)]
        if len(self._last) > 1:
            lines += [f"{host}  {text or '-'}" for host, text in self._last.items() if host != "job"]
        return Text(visible("\n".join(lines)), no_wrap=True, overflow="ellipsis")
