"""Values of rows in lines of a log."""

from __future__ import annotations

import random

import polars as pl
import pytest

from cleanroom_algo.local.audit.leaks import ChannelValues, Leak

NOTE = "the patient reported a mild headache after the second dose of medicine"


def channel(rows: int = 1000) -> pl.DataFrame:
    draw = random.Random(0)
    return pl.DataFrame(
        {
            "name": [f"Person-{draw.randrange(10**6)}" for _ in range(rows - 1)] + ["Ada Lovelace"],
            "state": [draw.choice(["Texas", "Ohio", "Utah"]) for _ in range(rows)],
            "account": [draw.randrange(10**9) for _ in range(rows - 1)] + [481_516_234],
            "income": [round(draw.gauss(50_000, 9_000), 2) for _ in range(rows - 1)] + [87_654.32],
            "late": [draw.random() < 0.5 for _ in range(rows)],
            "share": [draw.random() for _ in range(rows - 1)] + [0.123456789012],
            "note": [None] * (rows - 1) + [NOTE],
        }
    )


def training_log(lines: int = 400) -> list[str]:
    """Return what a training prints that gives nothing away."""
    draw = random.Random(1)
    return ["training starts: epochs 3", "reading 1000 rows from Texas, Ohio and Utah", "channel train: 12000 rows"] + [
        f"[metric] step={step} train_loss={draw.random():.8g} rows_per_second={draw.random() * 9e4:.8g}"
        for step in range(lines)
    ]


@pytest.fixture(scope="module")
def values() -> ChannelValues:
    return ChannelValues([channel()], known='print("a note of Ada")')


def test_a_log_of_metrics_and_common_values_is_clean(values: ChannelValues) -> None:
    assert values.leaks(training_log()) == []


@pytest.mark.parametrize(
    ("line", "column", "found"),
    [
        ("KeyError: 'Ada Lovelace'", "name", "Ada Lovelace"),
        ("bad row for account=481516234, skipped", "account", "481516234"),
        ("highest income: 87654.32", "income", "87654.32"),
        ("highest income: 8.765432e+04", "income", "8.765432e+04"),
        ("first share is 0.123456789", "share", "0.123456789"),
        ("e.g. 'The patient reported a mild headache', and more", "note", "a mild headache and more"),
    ],
)
def test_a_value_of_a_row_is_found(values: ChannelValues, line: str, column: str, found: str) -> None:
    lines = [*training_log(40), line]
    leaks = values.leaks(lines)
    assert [(leak.column, leak.rows, leak.lines) for leak in leaks] == [(column, 1, (43,))]
    if column != "note":
        assert leaks[0].found == found
    else:
        assert leaks[0].found in NOTE


def test_values_without_weight_are_left_out() -> None:
    values = ChannelValues(
        [pl.DataFrame({"x": [0, 1, 2, 150, 15_000], "word": ["a", "abc", "train", "fold", "12345"]})]
    )
    assert values.leaks(["0 1 2 150 15000 abc 12345"]) == []
    assert values.leaks(["one fold"]) == [Leak("word", "fold", 1, (0,))]
    assert ChannelValues([pl.DataFrame({"word": ["fold"]})], known="print('one fold')").leaks(["one fold"]) == []


def test_numbers_of_crowded_columns_are_named_as_doubtful() -> None:
    values = ChannelValues([pl.DataFrame({"person": range(100_000)})])
    assert values.leaks(["rows: 48213"]) == []
    assert values.doubtful(["rows: 48213"]) == ["person"]
    assert values.doubtful(["rows: 12"]) == []


def test_texts_of_digits_are_found_as_they_are_written() -> None:
    values = ChannelValues([pl.DataFrame({"id": [f"00{number * 7919}" for number in range(2, 400)]})])
    assert [leak.found for leak in values.leaks(["no row 00395950"])] == ["00395950"]
