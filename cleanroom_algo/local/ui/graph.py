"""A graph from left to right as SVG: boxes in columns, and lines between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

_WIDTH, _HEIGHT, _ACROSS, _DOWN = 190, 46, 70, 14
_LETTERS: Final = 25  # of a label that fits


@dataclass(frozen=True)
class Box:
    """Something in a graph.

    Attributes:
        column: 0 for the first column.
        title: the first line.
        detail: the second line.
        href: target of its link; "" for no link.
        chosen: whether it is the subject of the graph.
    """

    column: int
    title: str
    detail: str
    href: str = ""
    chosen: bool = False


def graph(boxes: Sequence[Box], edges: Sequence[tuple[int, int]], *, label: str) -> Markup:
    """Return a graph.

    Args:
        boxes: those of one column are drawn below each other.
        edges: indexes of two boxes; the first one is on the left.
        label: what the graph shows, for screen readers.
    """
    columns = [
        [n for n, box in enumerate(boxes) if box.column == column] for column in range(1 + max(b.column for b in boxes))
    ]
    height = max(len(each) for each in columns) * (_HEIGHT + _DOWN) - _DOWN
    places: dict[int, tuple[int, int]] = {}
    for column, members in enumerate(columns):
        top = (height - len(members) * (_HEIGHT + _DOWN) + _DOWN) // 2
        for row, number in enumerate(members):
            places[number] = (1 + column * (_WIDTH + _ACROSS), 1 + top + row * (_HEIGHT + _DOWN))
    lines = Markup("").join(_edge(places[start], places[end]) for start, end in edges)
    drawn = Markup("").join(_box(box, *places[number]) for number, box in enumerate(boxes))
    width = len(columns) * (_WIDTH + _ACROSS) - _ACROSS + 2
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{}">'
        '<svg class="graph" width="{}" height="{}" viewBox="0 0 {} {}" role="group" aria-label="{}">{}{}</svg></div>'
    ).format(label, width, height + 2, width, height + 2, label, lines, drawn)


def _edge(start: tuple[int, int], end: tuple[int, int]) -> Markup:
    (x, y), (to_x, to_y) = (start[0] + _WIDTH, start[1] + _HEIGHT // 2), (end[0], end[1] + _HEIGHT // 2)
    middle = (x + to_x) // 2
    return Markup('<path class="edge" d="M{} {} C{} {} {} {} {} {}"/>').format(
        x, y, middle, y, middle, to_y, to_x, to_y
    )


def _box(box: Box, x: int, y: int) -> Markup:
    inner = Markup(
        '<rect x="{}" y="{}" width="{}" height="{}" rx="8"/><text class="name" x="{}" y="{}">{}</text>'
        '<text class="detail" x="{}" y="{}">{}</text><title>{}</title>'
    ).format(
        x,
        y,
        _WIDTH,
        _HEIGHT,
        x + 12,
        y + 19,
        _cut(box.title),
        x + 12,
        y + 36,
        _cut(box.detail),
        f"{box.title}: {box.detail}",
    )
    kind = "box chosen" if box.chosen else "box"
    if box.href:
        return Markup('<a class="{}" href="{}">{}</a>').format(kind, box.href, inner)
    return Markup('<g class="{}">{}</g>').format(kind, inner)


def _cut(text: str) -> str:
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"
