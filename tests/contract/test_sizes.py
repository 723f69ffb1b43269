"""Sizes for people."""

import pytest

from cleanroom_algo.contract.sizes import format_bytes


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (999_949, "1000 kB"),
        (6_900_000_000, "6.9 GB"),
        (10**16, "10.0 PB"),
    ],
)
def test_format_bytes(count: int, text: str) -> None:
    assert format_bytes(count) == text
