"""How the ranks of a host ended, all of them together: pure functions of what each left."""

from __future__ import annotations

from collections.abc import Mapping

from cleanroom_algo.contract.processes import signal_name
from cleanroom_algo.errors import RankDiedError
from cleanroom_algo.training.process.reports import RankReport, first_cause
from cleanroom_algo.training.signals import StopRequest


def conclude(
    host: str, ranks: range, reports: Mapping[int, RankReport], exit_codes: Mapping[int, int], stop: StopRequest
) -> RankReport:
    """Return how a host's ranks ended.

    Args:
        host: its name.
        ranks: their numbers over all hosts.
        reports: of those that said how they ended.
        exit_codes: of those that ended with another status than 0; negative ones are signals.
        stop: whether the host was asked to end.
    """
    silent = [rank for rank in ranks if rank not in reports]
    died = sorted(set(exit_codes) & set(silent)) or silent
    died_by_stop = bool(stop) and all(exit_codes.get(rank) in (-(stop.number or 0), stop.exit_code) for rank in died)
    cause = first_cause(list(reports.values()))
    status = max((report.exit_code for report in reports.values()), default=0)
    told_to_stop = any(report.outcome == "stopped" for report in reports.values())
    # The first row that applies decides: a reason of one's own counts for more than a stop, and that for more than
    # ranks that lost each other.
    table = (
        (cause is not None and not cause.lost_others, cause),
        (died and not died_by_stop, _died(host, died, exit_codes)),
        (bool(stop), RankReport(ranks[0], "stopped", stop.exit_code)),
        (cause is not None, cause),
        (told_to_stop, RankReport(ranks[0], "stopped", status)),
    )
    found = next((report for applies, report in table if applies), None)
    return found or RankReport(ranks[0], "done", status)


def _died(host: str, ranks: list[int], exit_codes: Mapping[int, int]) -> RankReport | None:
    if not ranks:
        return None
    error = RankDiedError(
        f"rank {ranks[0]} on {host} {_how(exit_codes.get(ranks[0]))}",
        expected="ranks that end after their last step",
        fix="if it was SIGKILL, reduce the use of memory (smaller batches, fewer ranks per host), or choose a "
        "larger instance type",
    )
    return RankReport.failed(ranks[0], str(error), error.exit_code)


def _how(exit_code: int | None) -> str:
    if exit_code is None or exit_code == 0:
        return "ended without a message"
    if exit_code < 0:
        return f"was ended by {signal_name(-exit_code)}"
    return f"exited with status {exit_code} without a message"
