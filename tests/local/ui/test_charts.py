"""Charts: round numbers on axes, few points of many, and names that are no markup."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom_algo.local.ui.charts import Bar, Series, bar_chart, line_chart, round_numbers, strip, thinned


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.213, 0.487, [0.2, 0.3, 0.4, 0.5]),
        (-3.0, 7.0, [-4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0]),
    ],
)
def test_ticks_are_round_and_cover_the_values(low: float, high: float, expected: list[float]) -> None:
    assert round_numbers(low, high) == expected


def test_one_value_has_an_axis_too() -> None:
    ticks = round_numbers(2.0, 2.0)

    assert ticks[0] < 2.0 < ticks[-1]
    assert round_numbers(2.0, 2.0, within=True) == [2.0]


def test_a_long_line_keeps_its_extremes_and_its_end() -> None:
    points = [(float(n), 100.0 if n == 5000 else math.sin(n)) for n in range(10_000)]

    kept = thinned(points)

    assert len(kept) <= 700
    assert (5000.0, 100.0) in kept
    assert kept[-1] == points[-1]


def test_names_are_text_and_what_is_not_finite_is_left_out() -> None:
    points = [(1.0, 2.0), (2.0, math.nan), (3.0, 1.0), (4.0, math.inf)]
    lines = line_chart([Series("<b>&", points)], label='"><script>', x="epoch")
    bars = bar_chart([Bar("<i>", 3.0)], label="bars")

    for figure in (lines, bars):
        ET.fromstring(figure)
    assert "<script>" not in lines
    assert "nan" not in lines
    assert line_chart([Series("nothing", [(1.0, math.nan)])], label="", x="") == ""


def test_a_strip_shows_the_rarest_value_too() -> None:
    drawn = ET.fromstring(strip([Bar("common", 10_000), Bar("rare", 1), Bar("none", 0)], label="values"))

    heights = [float(each.get("height", 0)) for each in drawn.iter("rect")]
    assert heights[0] > heights[1] > heights[2] == 0


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=5))
def test_any_numbers_give_a_chart_or_none(points: list[tuple[float, float]]) -> None:
    figure = line_chart([Series("any", points)], label="any", x="x")
    assert figure == "" or ET.fromstring(figure) is not None
