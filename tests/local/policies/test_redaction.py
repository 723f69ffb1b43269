"""What is replaced in a line, and that nothing of it is left."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom_algo.local.policies.redaction import redactor

PERSONAL = {"entitiesToRedact": ["ALL_PERSONALLY_IDENTIFIABLE_INFORMATION"]}
NUMBERS = {"entitiesToRedact": ["NUMBERS"]}


def custom(*identifiers: str, **more: Any) -> dict[str, Any]:
    entities = ["CUSTOM", *more.get("entities", [])]
    return {"entitiesToRedact": entities, "customEntityConfig": {"customDataIdentifiers": list(identifiers)}}


@pytest.mark.parametrize(
    "personal",
    [
        "jane.doe+x@mail.example.org",
        "192.168.10.4",
        "2001:0db8:0000:0000:0000:ff00:0042:8329",
        "00:1B:44:11:3A:B7",
        "DE89 3704 0044 0532 0130 00",
        "4111 1111 1111 1111",
        "4111111111111111",
        "078-05-1120",
        "(415) 555-0132",
        "+1 415 555 0132",
        "+4915112345678",
    ],
)
def test_personal_information_goes(personal: str) -> None:
    assert redactor(PERSONAL, "*")(f"user {personal} came") == "user * came"


@pytest.mark.parametrize("line", ["epoch=2 step=214 loss=0.3992", "rows 217727 in 4 files", "1.25e-3", "10:15:30"])
def test_what_a_trainer_writes_is_not_personal(line: str) -> None:
    assert redactor(PERSONAL, "*")(line) == line


def test_numbers_go_whole() -> None:
    assert redactor(NUMBERS, "#")("loss=0.5 rows 1,234 step3") == "loss=# rows # step#"


def test_own_patterns_go_and_text_that_is_no_pattern_is_taken_as_it_stands() -> None:
    redact = redactor(custom(r"user_\d+", "[oops"), "-")

    assert redact("user_17 saw [oops and user_x") == "- saw - and user_x"


def test_a_placeholder_is_not_redacted_again() -> None:
    assert redactor(custom("secret", entities=["NUMBERS"]), "<7>")("secret 12") == "<7> <7>"


def test_nothing_is_redacted_without_a_configuration() -> None:
    assert redactor(None, "*")("jane@example.org 12") == "jane@example.org 12"


@given(st.text())
def test_no_digit_survives_numbers(line: str) -> None:
    assert not any(character.isdecimal() for character in redactor(NUMBERS, "")(line))
