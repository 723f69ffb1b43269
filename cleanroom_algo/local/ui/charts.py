"""Charts as SVG: lines and bars, with axes that have round numbers.

They only contain text and classes: the style sheet defines light and dark colors, and no script runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from markupsafe import Markup

from cleanroom_algo.local.profiling.rounding import round_step

WIDTH: Final = 640
HEIGHT: Final = 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 40
_STRIP_WIDTH, _STRIP_HEIGHT = 240, 56
_LETTER: Final = 7.5  # maximum width of a letter
_GREATEST: Final = 1e100  # differences of drawn numbers must be finite
_LEAST: Final = 1e-100  # the smallest difference that is drawn
_MOST_DOTS: Final = 40  # lines with at most this many points also get dots
_MOST_POINTS: Final = 600  # of a line: more than its pixels
COLORS: Final = 6  # in the style sheet


@dataclass(frozen=True)
class Series:
    """A line.

    Attributes:
        name: for the legend; "" for none.
        points: x and y of each point; those that are not finite, or beyond 1e100, are left out.
        color: 1 to 6, which also determines the dashes of the line; 0: by its position in the chart.
    """

    name: str
    points: Sequence[tuple[float, float]]
    color: int = 0


@dataclass(frozen=True)
class Bar:
    """A bar.

    Attributes:
        label: below it.
        value: its height, 0 or more.
        title: the tooltip; label and value if empty.
    """

    label: str
    value: float
    title: str = ""


@dataclass(frozen=True)
class _Scale:
    """From values to positions: the first value at the first position."""

    values: tuple[float, float]
    places: tuple[float, float]

    def __call__(self, value: float) -> float:
        (low, high), (start, end) = self.values, self.places
        share = (value - low) / (high - low) if high > low else 0.5
        return round(start + share * (end - start), 1)

    def __str__(self) -> str:
        """Return the data from which the script of the page computes values."""
        return " ".join(map(str, (*self.values, *self.places)))


def line_chart(series: Sequence[Series], *, label: str, x: str, y: str = "") -> Markup:
    """Return a chart of lines.

    Args:
        series: at least one point in all of them.
        label: what the chart shows, for screen readers.
        x: title of the x-axis.
        y: title of the y-axis.
    """
    drawn = [(each, thinned([point for point in each.points if _is_drawn(point)])) for each in series]
    xs = [point[0] for _, points in drawn for point in points]
    ys = [point[1] for _, points in drawn for point in points]
    if not xs:
        return Markup("")
    ticks = round_numbers(min(ys), max(ys))
    across = _Scale((min(xs), max(xs)), (_LEFT, WIDTH - _RIGHT))
    upwards = _Scale((ticks[0], ticks[-1]), (HEIGHT - _BOTTOM, _TOP))
    counts = all(value == int(value) for value in xs)  # such as epochs, which have no fractions
    numbers = [each for each in round_numbers(min(xs), max(xs), within=True) if not counts or each == int(each)]
    parts = [_grid(ticks, upwards), _numbers(numbers, across)]
    for number, (each, points) in enumerate(drawn):
        parts.append(_line(each, points, each.color or number % COLORS + 1, across, upwards))
    scales = Markup('<g data-across="{}" data-upwards="{}" data-unit="{}">{}</g>')
    return _figure([scales.format(across, upwards, x, Markup("").join(parts))], label, x, y, _legend(series))


def scatter_chart(points: Sequence[tuple[float, float]], *, label: str, x: str, y: str) -> Markup:
    """Return a scatter chart with a line on which both numbers are equal.

    Args:
        points: at least one, all finite.
        label: what the chart shows, for screen readers.
        x: title of the x-axis.
        y: title of the y-axis.
    """
    numbers = [number for point in points for number in point]
    ticks = round_numbers(min(numbers), max(numbers))
    across = _Scale((ticks[0], ticks[-1]), (_LEFT, WIDTH - _RIGHT))
    upwards = _Scale((ticks[0], ticks[-1]), (HEIGHT - _BOTTOM, _TOP))
    equal = Series("equal", [(ticks[0], ticks[0]), (ticks[-1], ticks[-1])], COLORS)
    dot = Markup('<circle class="point" cx="{}" cy="{}" r="2"/>')
    dots = Markup("").join(dot.format(across(first), upwards(second)) for first, second in points)
    parts = [_grid(ticks, upwards), _numbers(ticks, across), _path(equal.points, COLORS, across, upwards), dots]
    return _figure(parts, label, x, y, _legend([equal]))


def bar_chart(bars: Sequence[Bar], *, label: str, x: str = "", y: str = "", touching: bool = False) -> Markup:
    """Return a chart of bars.

    Args:
        bars: at least one.
        label: what the chart shows, for screen readers.
        x: title of the x-axis.
        y: title of the y-axis.
        touching: whether they are the ranges of a histogram, with labels where ranges begin.
    """
    ticks = round_numbers(0, max(each.value for each in bars) or 1)
    upwards = _Scale((0, ticks[-1]), (HEIGHT - _BOTTOM, _TOP))
    step = (WIDTH - _LEFT - _RIGHT) / len(bars)
    gap = 1 if touching else step * 0.2
    every = math.ceil(max(len(each.label) for each in bars) * _LETTER / step)
    parts = [_grid(ticks, upwards)]
    for number, each in enumerate(bars):
        left, top = _LEFT + number * step, upwards(each.value)
        title = each.title or f"{each.label}: {each.value:,.6g}"
        shape = Markup('<rect class="bar" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>')
        width = round(step - gap, 1)
        parts.append(shape.format(round(left + gap / 2, 1), top, width, round(HEIGHT - _BOTTOM - top, 1), title))
        if number % every == 0:
            at = left if touching else left + step / 2
            parts.append(_below(round(at, 1), each.label))
    return _figure(parts, label, x, y, Markup(""))


def strip(bars: Sequence[Bar], *, label: str) -> Markup:
    """Return a small histogram without axes, for a table or a card that names its ends in text.

    Args:
        bars: at least one.
        label: what it shows, for screen readers.
    """
    most = max(each.value for each in bars) or 1
    upwards = _Scale((0, most), (_STRIP_HEIGHT - 1, 2))
    step = _STRIP_WIDTH / len(bars)
    shape = Markup('<rect class="bar" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>')
    parts = [
        shape.format(
            round(number * step + 0.5, 1),
            top := min(upwards(each.value), _STRIP_HEIGHT - 2.5) if each.value else _STRIP_HEIGHT - 1,
            round(step - 1, 1),
            round(_STRIP_HEIGHT - 1 - top, 1),
            each.title or f"{each.label}: {each.value:,.6g}",
        )
        for number, each in enumerate(bars)
    ]
    base = Markup('<line class="grid" x1="0" x2="{0}" y1="{1}" y2="{1}"/>').format(_STRIP_WIDTH, _STRIP_HEIGHT - 0.5)
    return Markup('<svg class="strip" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>').format(
        _STRIP_WIDTH, _STRIP_HEIGHT, label, base, Markup("").join(parts)
    )


def round_numbers(low: float, high: float, *, within: bool = False) -> list[float]:
    """Return about five round numbers that cover a range, or that are within it."""
    if high - low < _LEAST:
        if within:
            return [low]
        spread = abs(low) if abs(low) > _LEAST else 1.0
        low, high = low - spread / 2, low + spread / 2
    step = round_step((high - low) / 5)
    first = math.ceil(low / step - 1e-9) if within else math.floor(low / step + 1e-9)
    last = math.floor(high / step + 1e-9) if within else math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return no more points than are visible: the minimum and maximum of each part of a long line, in order."""
    if len(points) <= _MOST_POINTS:
        return list(points)
    size = math.ceil(len(points) / (_MOST_POINTS // 2))
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        ends = {min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])}
        kept += sorted(ends)
    return [*kept[:-1], points[-1]]


def _is_drawn(point: tuple[float, float]) -> bool:
    return all(abs(each) < _GREATEST for each in point)  # false for NaN


def _line(series: Series, points: Sequence[tuple[float, float]], color: int, across: _Scale, upwards: _Scale) -> Markup:
    line = _path(points, color, across, upwards, series.name)
    if len(points) > _MOST_DOTS:
        return line
    dot = Markup('<circle class="dot s{}" cx="{}" cy="{}" r="3.5"><title>{}</title></circle>')
    named = f"{series.name} " if series.name else ""
    return line + Markup("").join(
        dot.format(color, across(x), upwards(y), f"{named}{y:.6g} at {x:.6g}") for x, y in points
    )


def _path(points: Sequence[tuple[float, float]], color: int, across: _Scale, upwards: _Scale, name: str = "") -> Markup:
    places = " ".join(f"{across(x)},{upwards(y)}" for x, y in points)
    return Markup('<polyline class="line s{}" data-name="{}" points="{}"/>').format(color, name, places)


def _grid(ticks: Sequence[float], upwards: _Scale) -> Markup:
    line = Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>')
    return Markup("").join(
        line.format(_LEFT, WIDTH - _RIGHT, upwards(tick), upwards(tick))
        + _text(_LEFT - 8, upwards(tick) + 4, "tick upwards", text)
        for tick, text in zip(ticks, _texts(ticks), strict=True)
    )


def _numbers(ticks: Sequence[float], across: _Scale) -> Markup:
    return Markup("").join(_below(across(tick), text) for tick, text in zip(ticks, _texts(ticks), strict=True))


def _below(at: float, text: str) -> Markup:
    """Return a text below the axis, which ends with the chart if it would be cut off."""
    is_cut = at + len(text) * _LETTER / 2 > WIDTH
    return _text(WIDTH if is_cut else at, HEIGHT - _BOTTOM + 16, f"tick {'upwards' if is_cut else 'across'}", text)


def _texts(ticks: Sequence[float]) -> list[str]:
    """Return numbers with enough decimals to distinguish them."""
    step = min((b - a for a, b in pairwise(ticks)), default=1.0)
    most = max(map(abs, ticks), default=0.0)
    if most and (most >= 1e7 or most < 1e-4):
        return [f"{tick:.3g}" for tick in ticks]
    decimals = next((places for places in range(7) if math.isclose(round(step, places), step, rel_tol=1e-6)), 6)
    return [f"{tick:,.{decimals}f}" for tick in ticks]


def _text(x: float, y: float, kind: str, text: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(kind, x, y, text)


def _legend(series: Sequence[Series]) -> Markup:
    swatch = Markup(
        '<span class="key"><svg class="swatch" viewBox="0 0 24 8" aria-hidden="true">'
        '<polyline class="line s{}" points="0,4 24,4"/></svg>{}</span>'
    )
    named = [(each.color or number % COLORS + 1, each.name) for number, each in enumerate(series) if each.name]
    return Markup("").join(swatch.format(color, name) for color, name in named)


def _figure(parts: Iterable[Markup], label: str, x: str, y: str, legend: Markup) -> Markup:
    titles = _text(WIDTH - _RIGHT, HEIGHT - 6, "axis across", x)
    head = Markup('<figcaption><span class="axis">{}</span>{}</figcaption>').format(y, legend)
    return Markup(
        '<figure class="chart">{}<div class="scroll" tabindex="0" role="region" aria-label="{}">'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg></div></figure>'
    ).format(head, label, WIDTH, HEIGHT, label, Markup("").join(parts), titles)
