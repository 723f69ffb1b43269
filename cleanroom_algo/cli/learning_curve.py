"""Draws the learning curve of a training job in a terminal, with braille dots."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import cycle
from typing import Final

import click

from cleanroom_algo.local.summaries.curves import Curve

_COLORS: Final = ("cyan", "yellow", "magenta", "green")
_BRAILLE: Final = 0x2800
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a character: row from the top, column
_HEIGHT: Final = 12  # lines
_DASH: Final = 4  # dots of a dash and of a gap in every other curve, because not all readers see the colors


def draw(curves: Sequence[Curve], width: int) -> list[str]:
    """Return curves as lines of text, for a terminal.

    Args:
        curves: at least one, of one unit.
        width: of the terminal in columns.
    """
    places, values = zip(*(point for curve in curves for point in curve.points), strict=True)
    (first, last), (low, high) = (min(places), max(places)), (min(values), max(values))
    labels = [f"{high - (high - low) * row / (_HEIGHT - 1):.4g}" for row in range(_HEIGHT)]
    shown = {row: labels[row] for row in (0, _HEIGHT // 2, _HEIGHT - 1)}
    margin = max(map(len, shown.values()))
    columns = max(10, width - margin - 3)
    canvas = _Canvas(columns)
    for number, (curve, color) in enumerate(zip(curves, cycle(_COLORS), strict=False)):
        shares = [(_share(x, first, last), _share(y, low, high)) for x, y in curve.points]
        canvas.line(shares, color, dashed=number % 2 == 1)
    text = [
        f"{shown.get(row, ''):>{margin}} {'┤' if row in shown else '│'}{each}" for row, each in enumerate(canvas.rows())
    ]
    ends = f"{curves[0].unit} {first:g}", f"{last:g}"
    axis = f"{' ' * margin} └{'─' * columns}"
    return [*text, axis, f"{' ' * (margin + 2)}{ends[0]}{ends[1]:>{columns - len(ends[0])}}", *_legend(curves)]


def can_draw() -> bool:
    """Whether results go to a terminal that shows braille dots."""
    try:
        chr(_BRAILLE).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return sys.stdout.isatty()


class _Canvas:
    """Dots on a grid of characters, each two dots wide and four high; a character has the color of its last curve."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._masks = [[0] * columns for _ in range(_HEIGHT)]
        self._colors = [[""] * columns for _ in range(_HEIGHT)]

    def line(self, points: Sequence[tuple[float, float]], color: str, *, dashed: bool) -> None:
        """Connect points, given as fractions of the width from the left and of the height from the bottom."""
        drawn = 0
        right, top = 2 * self._columns - 1, 4 * _HEIGHT - 1
        places = [(round(x * right), round((1 - y) * top)) for x, y in points]
        for (x, y), (next_x, next_y) in zip(places, [*places[1:], places[-1]], strict=True):
            steps = max(abs(next_x - x), abs(next_y - y), 1)
            for step in range(steps):
                drawn += 1
                if dashed and drawn // _DASH % 2:
                    continue
                self._dot(round(x + (next_x - x) * step / steps), round(y + (next_y - y) * step / steps), color)

    def rows(self) -> list[str]:
        """Return the lines of text, from the top."""
        return [
            "".join(
                click.style(chr(_BRAILLE + mask), fg=color) if mask else " "
                for mask, color in zip(masks, colors, strict=True)
            )
            for masks, colors in zip(self._masks, self._colors, strict=True)
        ]

    def _dot(self, x: int, y: int, color: str) -> None:
        self._masks[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
        self._colors[y // 4][x // 2] = color


def _legend(curves: Sequence[Curve]) -> list[str]:
    width = max(len(curve.name) for curve in curves)
    lines = []
    for position, (curve, color) in enumerate(zip(curves, cycle(_COLORS), strict=False)):
        number, least = min(curve.points, key=lambda point: point[1])
        text = f"last {curve.points[-1][1]:.6g}, least {least:.6g} at {curve.unit} {number:g}"
        lines.append(f"  {click.style('╍╍' if position % 2 else '━━', fg=color)} {curve.name:<{width}}  {text}")
    return lines


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5
