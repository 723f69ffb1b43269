"""A job's log through the eyes of its members."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cleanroom_algo.local.policies.logs import Line, LogReading, member_logs
from cleanroom_algo.local.policies.recipients import Recipients

ANNA, BERT, CARL = "111111111111", "222222222222", "333333333333"
TEXTS = ("started", "ERROR disk 7 is full", "loss=0.5")
SUMMARY: Line = {
    "time": "t",
    "host": "-",
    "stream": "error-summary",
    "text": "AlgorithmError: row 12 is bad\n  at late.py:7 in loss",
}


def line(text: str) -> Line:
    return {"time": "2026-01-01T00:00:00", "host": "algo-1", "stream": "stdout", "text": text}


def policy(*accounts: str, **members: Any) -> dict[str, Any]:
    return {"allowedAccountIds": list(accounts), **members}


def seen(
    account: str, *policies: dict[str, Any], summary: Line | None = None, reading: LogReading | None = None
) -> tuple[list[str], str]:
    members = {ANNA: True, BERT: True, CARL: False}
    recipients = Recipients(logs=policies, members=members, ended=True)
    found = member_logs([line(text) for text in TEXTS], summary, recipients, account, reading or LogReading())
    return [each["text"] for each in found.lines], "; ".join(found.notes)


def test_nobody_sees_anything_without_a_policy() -> None:
    texts, notes = seen(ANNA)

    assert texts == []
    assert "no containerLogs policy" in notes
    assert "`cleanroom-algo declare`" in notes


def test_only_those_who_are_named_see_lines() -> None:
    assert seen(ANNA, policy(ANNA)) == (list(TEXTS), "")
    texts, notes = seen(BERT, policy(ANNA))
    assert texts == []
    assert f"they name {ANNA}" in notes


def test_a_named_member_without_ml_configuration_sees_nothing() -> None:
    texts, notes = seen(CARL, policy(CARL))

    assert texts == []
    assert "PutMLConfiguration" in notes


def test_a_filter_lets_through_what_it_matches() -> None:
    texts, notes = seen(ANNA, policy(ANNA, filterPattern="ERROR"))

    assert texts == ["ERROR disk 7 is full"]
    assert "2 of 3 lines do not pass" in notes


def test_a_filter_that_readings_dispute_is_warned_of() -> None:
    texts, notes = seen(ANNA, policy(ANNA, filterPattern="ERROR|loss"))

    assert texts == ["ERROR disk 7 is full", "loss=0.5"]
    assert "read as substring it gives a different result for 2 of 3" in notes
    texts, _ = seen(ANNA, policy(ANNA, filterPattern="?ERROR ?loss"), reading=LogReading(filter="cloudwatch"))
    assert texts == ["ERROR disk 7 is full", "loss=0.5"]


def test_a_filter_without_meaning_lets_nothing_through_and_says_so() -> None:
    texts, notes = seen(ANNA, policy(ANNA, filterPattern="(oops"))

    assert texts == []
    assert "not a regular expression" in notes


def test_an_error_summary_is_the_reason_and_no_line() -> None:
    redaction = {"entitiesToRedact": ["NUMBERS"]}
    only = policy(ANNA, logType="ERROR_SUMMARY", logRedactionConfiguration=redaction)

    assert seen(ANNA, only, summary=SUMMARY)[0] == ["AlgorithmError\n  at late.py:[REDACTED] in loss"]
    assert seen(ANNA, only)[0] == []
    assert seen(ANNA, policy(ANNA), summary=SUMMARY)[0] == list(TEXTS)


def test_two_policies_show_a_line_once_redacted_by_both() -> None:
    texts, _ = seen(
        ANNA,
        policy(ANNA, filterPattern="disk", logRedactionConfiguration={"entitiesToRedact": ["NUMBERS"]}),
        policy(ANNA, BERT, filterPattern="ERROR|started"),
        reading=LogReading(placeholder="*"),
    )

    assert texts == ["started", "ERROR disk * is full"]
    assert seen(BERT, policy(ANNA), policy(BERT, filterPattern="started"))[0] == ["started"]


@given(st.lists(st.text(max_size=30), max_size=20), st.text("abc.*[]()", max_size=6))
def test_a_member_sees_lines_in_order_and_none_that_was_not_written(texts: list[str], pattern: str) -> None:
    recipients = Recipients(logs=(policy(ANNA, filterPattern=pattern),), members={ANNA: True}, ended=True)

    found = member_logs([line(text) for text in texts], None, recipients, ANNA, LogReading())

    rest = iter(texts)
    assert all(each["text"] in rest for each in found.lines)
