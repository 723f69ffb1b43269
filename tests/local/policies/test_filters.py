"""What a filterPattern lets through, in each reading of the documentation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom_algo.local.policies.filters import Reading, matcher, readings

LINES = ["ERROR disk full", "WARN disk slow", "INFO loss=0.5", "error: lower case"]


@pytest.mark.parametrize(
    ("pattern", "reading", "passing"),
    [
        ("", "regex", [0, 1, 2, 3]),
        ("ERROR|WARN", "regex", [0, 1]),
        ("ERROR|WARN", "substring", []),
        ("(?i)error", "regex", [0, 3]),
        ("ERROR", "cloudwatch", [0]),
        ("disk full", "cloudwatch", [0]),
        ("full disk", "cloudwatch", [0]),  # terms in any order
        ('"disk full"', "cloudwatch", [0]),
        ('"full disk"', "cloudwatch", []),
        ("?ERROR ?WARN", "cloudwatch", [0, 1]),
        ("disk -slow", "cloudwatch", [0]),
        ("?INFO disk", "cloudwatch", [0, 1]),  # alternatives count only where they stand alone
        ("%loss=[0-9.]+%", "cloudwatch", [2]),
        ("loss=0.5", "substring", [2]),
        ("", "cloudwatch", [0, 1, 2, 3]),
    ],
)
def test_readings(pattern: str, reading: Reading, passing: list[int]) -> None:
    passes = matcher(pattern, reading)

    assert [index for index, line in enumerate(LINES) if passes(line)] == passing


@pytest.mark.parametrize(
    ("pattern", "reading", "why"),
    [
        ("(unclosed", "regex", "not a regular expression"),
        ("%(unclosed%", "cloudwatch", "not a regular expression"),
        ('{ $.level = "ERROR" }', "cloudwatch", "structured"),
        ("[ip, user, size > 10]", "cloudwatch", "structured"),
    ],
)
def test_what_means_nothing_says_why(pattern: str, reading: Reading, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        matcher(pattern, reading)
    assert reading not in readings(pattern)


@given(st.text("abcdefgh", min_size=1, max_size=8), st.text("abcdefgh ", max_size=40))
def test_a_plain_word_means_the_same_in_every_reading(word: str, line: str) -> None:
    assert {passes(line) for passes in readings(word).values()} == {word in line}
