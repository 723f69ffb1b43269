"""The queued jobs to start: in the order of the requests, within the limit of this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cleanroom_algo.local.resources.store import QueuedJob


def admitted(jobs: Sequence[QueuedJob], is_ours: Callable[[QueuedJob], bool], limit: int) -> list[QueuedJob]:
    """Return the jobs that this process starts now.

    A job starts if its hosts and those that run are within the limit, or if none run: a job that needs more than the
    limit runs alone. Jobs after a waiting one also wait, so that none is overtaken forever. Jobs without hosts, and
    jobs that were stopped before they began, need not wait.

    Args:
        jobs: all that wait or run, in the order of the requests, also those of other processes on this machine.
        is_ours: whether a job is for this process.
        limit: the maximum number of hosts that run at the same time.
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
