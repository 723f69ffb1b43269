"""Policies that allow what is needed and no more, and what a check finds in others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.errors import PolicyError
from cleanroom_algo.local.deploy.documents import stack_name
from cleanroom_algo.local.deploy.patterns import covers, overlap, tokens
from cleanroom_algo.local.deploy.permissions import policies_of
from cleanroom_algo.local.deploy.placeholders import MEMBERSHIP, example, joined
from cleanroom_algo.local.deploy.policy_check import check_policy, read_policy
from cleanroom_algo.local.deploy.rehearsal import Rehearsal
from tests.cli.support import run
from tests.local.deploy.support import odd_room

EXAMPLE = Path(__file__).parents[3] / "examples/flight_delay/cleanroom.toml"
TRAIN, MODELS = "cleanrooms-ml:CreateTrainedModel", "arn:aws:x:us-east-1:1:membership/1/model/*"
PASS = {"StringEquals": {"iam:PassedToService": "cleanrooms-ml.amazonaws.com"}}


def test_what_is_written_is_what_a_check_asks_for(tmp_path: Path) -> None:
    rehearsal = Rehearsal(odd_room())
    for member in rehearsal.declaration.members:
        for policy in policies_of(rehearsal, member, stack_name(rehearsal, member)):
            assert policy.statements
            path = tmp_path / "policy.json"
            path.write_text(json.dumps({"Version": "2012-10-17", "Statement": example(policy.statements)}))
            assert check_policy(read_policy(path), policy.statements) == []
            assert bool(policy.trust) == policy.name.endswith("-role")


def found(folder: Path, given: Any, needed: list[dict[str, Any]]) -> list[tuple[str, str]]:
    path = folder / "policy.json"
    path.write_text(json.dumps({"Statement": given}))
    return [(each.kind, each.why.removeprefix("policy.json: ")) for each in check_policy(read_policy(path), needed)]


def statement(action: Any, resource: Any, effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (statement(TRAIN, MODELS), []),
        (statement(TRAIN.upper(), [MODELS]), []),
        ([], [("missing", "no statement allows it")]),
        (
            statement(TRAIN, MODELS.replace("*", "one")),
            [("missing", "statement 1 allows only a part of it")],
        ),
        (statement(TRAIN, "*"), [("more", f"statement 1: needed on {MODELS}")]),
        (statement([TRAIN, "s3:GetObject"], MODELS), [("more", "statement 1: no call needs it")]),
        (
            statement("cleanrooms-ml:CreateT*", MODELS),
            [("more", "statement 1: it also allows CreateTrainingDataset")],
        ),
        ([statement(TRAIN, MODELS), statement("*", "*", "Deny", Sid="All")], [("denied", "All denies it")]),
        (
            [statement(TRAIN, MODELS), statement(TRAIN, "*/secret", "Deny")],
            [("denied", "statement 2 denies a part of it")],
        ),
        ([statement(TRAIN, MODELS), statement(TRAIN, "arn:aws:x:eu-west-1:*", "Deny")], []),
        (
            statement(TRAIN, MODELS, Condition={"Bool": {"x": "true"}}),
            [("condition", 'statement 1 allows it only if {"Bool": {"x": "true"}}')],
        ),
        (
            {"Effect": "Allow", "NotAction": "iam:*", "NotResource": "arn:aws:s3:::*"},
            [("more", "statement 1 has NotAction")],
        ),
        ({"Effect": "Allow", "NotAction": TRAIN, "Resource": "*"}, [("missing", "no statement allows it")]),
    ],
)
def test_a_check_says_what_is_missing_and_what_is_more(
    tmp_path: Path, given: Any, expected: list[tuple[str, str]]
) -> None:
    findings = found(tmp_path, given, [statement([TRAIN], [MODELS])])
    if isinstance(given, dict) and given.get("NotAction") == TRAIN:
        findings = findings[:1]
    assert findings == expected


def test_a_condition_that_is_needed_is_understood(tmp_path: Path) -> None:
    needed = statement(["iam:PassRole"], ["arn:aws:iam::1:role/x"], Condition=PASS)
    assert found(tmp_path, statement("iam:PassRole", "arn:aws:iam::1:role/x", Condition=PASS), [needed]) == []
    assert found(tmp_path, statement("iam:PassRole", "arn:aws:iam::1:role/x"), [needed]) == []


@pytest.mark.parametrize(
    ("wide", "narrow", "is_covered", "do_overlap"),
    [
        ("*", "", True, True),
        ("a*", "ab*", True, True),
        ("ab*", "a*", False, True),
        ("a?c", "abc", True, True),
        ("a?c", "a*c", False, True),
        ("a*c*e", "abcde", True, True),
        ("a*", "b*", False, False),
        ("*" * 40 + "x", "a" * 2000, False, False),
    ],
)
def test_patterns(wide: str, narrow: str, is_covered: bool, do_overlap: bool) -> None:
    assert (covers(wide, narrow), overlap(wide, narrow)) == (is_covered, do_overlap)


def test_a_placeholder_is_any_one_text() -> None:
    needed = tokens(joined("membership/", MEMBERSHIP, "/model/*"))
    assert covers("membership/5f0c/model/*", needed)
    assert covers("membership/*", needed)
    assert covers("membership/5f0*", needed)
    assert not covers("membership/5f0c/model/one", needed)
    assert covers(needed, "membership/5f0c/model/one")
    assert not covers(needed, "membership/*/model/one")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"Statement": [1]}',
        '{"Statement": [{"Effect": "Maybe", "Action": "*", "Resource": "*"}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*"}]}',
        '{"Statement": [{"Effect": "Allow", "Action": 1, "Resource": "*"}]}',
        '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}',
    ],
)
def test_what_is_no_policy_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "policy.json").write_text(text)
    with pytest.raises(PolicyError):
        read_policy(tmp_path / "policy.json")


def test_the_command_writes_and_checks(tmp_path: Path) -> None:
    words = ("deploy", "iam", EXAMPLE, "--home", tmp_path / "room")
    done = run(*words, "--output", tmp_path / "iam", "--value", "ACCOUNT=111111111111", "--json")
    assert done.status == 0
    written = {Path(name).name for name in done.json}
    assert {"airline-caller.json", "airline-query-role-trust.json", "weather-bureau-tables-role.json"} <= written
    policy = tmp_path / "iam/airline-caller.json"
    assert "111111111111" in policy.read_text()
    assert run(*words, "--member", "airline", "--check", policy).status == 0
    (tmp_path / "wrapped.json").write_text(json.dumps({"PolicyVersion": {"Document": json.loads(policy.read_text())}}))
    assert run(*words, "--member", "airline", "--check", tmp_path / "wrapped.json").status == 0
    (tmp_path / "none.json").write_text('{"Statement": []}')
    assert run(*words, "--member", "airline", "--check", tmp_path / "none.json").status == 3
    assert run(*words, "--check", policy).status == 2
