"""`train --debug`: a training job on one host, in this process and terminal, so that `breakpoint()` works."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cleanroom_algo.cli.output import say
from cleanroom_algo.cli.plan import planned
from cleanroom_algo.cli.rooms import open_room
from cleanroom_algo.errors import CleanroomError, UsageError
from cleanroom_algo.errors.exit_codes import ExitCode

if TYPE_CHECKING:
    from cleanroom_algo.cli.quick import TrainingWords
    from cleanroom_algo.local.plans.training_plan import TrainingPlan


def debugged(home: Path | None, words: TrainingWords | None, *, beside: Mapping[str, object]) -> int:
    """Train in this process, and return the exit status; nothing of the job is kept.

    Args:
        home: the state folder, which is not changed.
        words: what the command line requests; None with `--resume`.
        beside: other options of the command line, which cannot be combined with `--debug`.

    Raises:
        UsageError: CR-CLI-001, there are such options, or the job has several hosts, or is not a Python program.
    """
    if words is None or any(beside.values()):
        named = ", ".join(name for name, value in beside.items() if value)
        raise _refused(f"{named} cannot be combined with --debug", f"omit {named}")
    with open_room(home) as room, tempfile.TemporaryDirectory(prefix="cleanroom-debug-") as folder:
        _, plan = planned(room, words)
        status = _run(replace(plan, run_directory=Path(folder)))
    if not status:
        say("training finished; --debug does not keep a model")
    return status


def _run(plan: TrainingPlan) -> int:
    from cleanroom_algo.contract.paths import ROOT_VARIABLE
    from cleanroom_algo.contract.settings import variable
    from cleanroom_algo.local.hosts.delivery import Delivery
    from cleanroom_algo.local.hosts.layout import container_variables, lay_out
    from cleanroom_algo.local.objects.download import Downloads

    run, host = _program(plan), plan.hosts[0]
    tree = lay_out(plan, host)
    downloads = Downloads(threading.Event(), lambda progress: say(str(progress)))
    own = {variable("algorithm"): str(plan.source.path), ROOT_VARIABLE: str(tree.paths.root)}
    with Delivery(plan, host, tree, downloads=downloads), _variables(own | container_variables(plan, tree.paths)):
        try:
            run()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else ExitCode.OK if end.code is None else 1
        except Exception as error:
            traceback.print_exception(error)
            return error.exit_code if isinstance(error, CleanroomError) else ExitCode.ALGORITHM_FAILED
    return ExitCode.OK


def _program(plan: TrainingPlan) -> Callable[[], None]:
    """Return the function that trains: it runs a program of the algorithm, or this library.

    Raises:
        UsageError: CR-CLI-001, neither can run in this process.
    """
    from cleanroom_algo.training.in_process import run_program, train_in_process

    source = plan.source
    if len(plan.hosts) > 1:
        raise _refused(f"the job has {len(plan.hosts)} hosts", "use one host")
    if source.path is None or source.entrypoint is not None:
        raise _refused("the job runs an image or an entrypoint", "use the Python file or folder as ALGORITHM")
    own = source.path / "train"
    if not (source.path.is_dir() and os.access(own, os.X_OK)):
        return partial(train_in_process, plan.run_directory)
    with own.open("rb") as file:
        if b"python" not in file.readline():
            raise _refused(f"{own} is not a Python program", "start it in a debugger for its language")
    return partial(run_program, own, source.arguments or ("train",))


def _refused(what: str, fix: str) -> UsageError:
    return UsageError(what, expected="with --debug, Python on one host", fix=fix)


@contextmanager
def _variables(added: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables of this process; at the end, restore them and the current folder."""
    before, folder, arguments, path = dict(os.environ), Path.cwd(), sys.argv, list(sys.path)
    os.environ.update(added)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        os.chdir(folder)
        sys.argv, sys.path[:] = arguments, path
