"""Access budgets: how often the queries of a collaboration may use a table.

A successful query uses each of its tables once. Days, weeks from Monday, and months are in UTC.
(Botocore model of `cleanrooms`, AccessBudgetDetails: it names the periods, but not when uses are counted.)
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from cleanroom_algo.errors import AccessBudgetError
from cleanroom_algo.local.resources.arns import PRIVACY_BUDGET, TABLE_ASSOCIATION
from cleanroom_algo.local.resources.store import Record, Store

LIFETIME: Final = "LIFETIME"
_USED: Final = "used"  # of a budget's record: uses by day


def spend(store: Store, collaboration: str, tables: Collection[str]) -> list[str]:
    """Count a use of each table with a budget, or of none.

    Args:
        store: of the room.
        collaboration: identifier.
        tables: names in lower case.

    Returns:
        Keys of the budgets.

    Raises:
        AccessBudgetError: CR-JOB-408, a budget is used up.
    """
    with store.transaction():
        found = []
        for association in store.find(TABLE_ASSOCIATION, collaboration=collaboration):
            if association.name.lower() in tables:
                found += [(association.name, each) for each in store.find(PRIVACY_BUDGET, parent=association.key)]
        if spent := [name for name, budget in found if not access_budget(budget)["aggregateRemainingBudget"]]:
            raise AccessBudgetError(
                f"the access budget of {', '.join(sorted(spent))} is used up",
                expected="tables that have a use left: ListPrivacyBudgets",
                fix="wait for the next period, or ask the owner of the table for UpdatePrivacyBudgetTemplate",
            )
        for _, budget in found:
            _count(store, budget, 1)
    return [budget.key for _, budget in found]


def give_back(store: Store, budgets: Sequence[str]) -> None:
    """Undo today's uses by `spend`, after a query has failed."""
    with store.transaction():
        for budget in filter(None, (store.get(PRIVACY_BUDGET, each) for each in budgets)):
            _count(store, budget, -1)


def access_budget(budget: Record) -> dict[str, Any]:
    """Return the state of a budget in the form of both services."""
    parameters = budget.document["parameters"]["accessBudget"]
    details = list(_details(budget, parameters["budgetParameters"]))
    return {
        "resourceArn": parameters["resourceArn"],
        "details": details,
        "aggregateRemainingBudget": min(each["remainingBudget"] for each in details),
    }


def _count(store: Store, budget: Record, uses: int) -> None:
    used: Mapping[str, int] = budget.private.get(_USED, {})
    today = _now().date().isoformat()
    store.update(budget, private={_USED: {**used, today: max(used.get(today, 0) + uses, 0)}}, touch=False)


def _details(budget: Record, parameters: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    used = {dt.date.fromisoformat(day): uses for day, uses in budget.private.get(_USED, {}).items()}
    for each in parameters:
        refreshes = each.get("autoRefresh") == "ENABLED"
        # A period that does not refresh began with the budget's last change.
        start, end = _period(each["type"], _now() if refreshes else dt.datetime.fromtimestamp(budget.updated, dt.UTC))
        if end is None:
            start = dt.datetime.fromtimestamp(budget.created, dt.UTC)
        uses = sum(uses for day, uses in used.items() if start.date() <= day and (end is None or day < end.date()))
        is_over = end is not None and end <= _now()
        yield {
            "startTime": start,
            "budgetType": each["type"],
            "budget": each["budget"],
            "remainingBudget": 0 if is_over else max(each["budget"] - uses, 0),
            **({} if end is None else {"endTime": end, "autoRefresh": each.get("autoRefresh", "DISABLED")}),
        }


def _period(kind: str, moment: dt.datetime) -> tuple[dt.datetime, dt.datetime | None]:
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if kind == "CALENDAR_DAY":
        return day, day + dt.timedelta(days=1)
    if kind == "CALENDAR_WEEK":
        monday = day - dt.timedelta(days=day.weekday())
        return monday, monday + dt.timedelta(days=7)
    if kind == "CALENDAR_MONTH":
        first = day.replace(day=1)
        return first, (first + dt.timedelta(days=32)).replace(day=1)
    return day, None


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
