"""Which of the queued jobs start now: in the order asked for, within what this machine can bear."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cleanroom_algo.local.resources.store import QueuedJob


def admitted(jobs: Sequence[QueuedJob], is_ours: Callable[[QueuedJob], bool], limit: int) -> list[QueuedJob]:
    """Return the jobs that this process starts now.

    A job starts if its hosts fit beside those that run, or if none run: one that needs more than the limit runs alone.
    Those behind a job that has to wait wait as well, so that none is overtaken forever. Jobs without hosts, and those
    that are to end before they began, need not wait.

    Args:
        jobs: all that wait or run, in the order asked for; those of other processes, too, as the machine is one.
        is_ours: whether a job is for this process.
        limit: hosts that run at once.
    """
    busy = sum(job.hosts for job in jobs if job.running)
    chosen: list[QueuedJob] = []
    blocked = False
    for job in jobs:
        if job.running or not is_ours(job):
            continue
        fits = not blocked and (busy == 0 or busy + job.hosts <= limit)
        if fits or job.hosts == 0 or job.stop:
            chosen.append(job)
            busy += job.hosts
        else:
            blocked = True
    return chosen
