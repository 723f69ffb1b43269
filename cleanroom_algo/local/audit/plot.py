"""ROC curves of an audit as a picture."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator

import numpy as np

from cleanroom_algo.local.audit.membership import FPR, Audit
from cleanroom_algo.local.audit.statistics import Numbers

_LEFT, _TOP, _SIDE, _LEAST = 70, 50, 400, 1e-3  # pixels; the smallest rate that is shown
_COLORS = ("#1f5fa8", "#b3541e")
_POINTS = 500  # of a curve: more cannot be seen


def roc_svg(audit: Audit) -> str:
    """Return the curves with logarithmic axes, which show small false positive rates, as SVG."""
    return "\n".join(_lines(audit)) + "\n"


def _lines(audit: Audit) -> Iterator[str]:
    width, height = _LEFT + _SIDE + 30, _TOP + _SIDE + 60 + 18 * len(audit.attacks)
    size = f'width="{width}" height="{height}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    yield f'<rect {size} fill="white"/>'
    title = f"Membership of {audit.members} rows in {audit.model}, against {audit.non_members} others"
    yield f'<text x="{_LEFT}" y="25" font-size="13">{html.escape(title)}</text>'
    for exponent in range(round(math.log10(_LEAST)), 1):
        x, y, rate = _x(10.0**exponent), _y(10.0**exponent), f"{10.0**exponent:g}"
        yield f'<path d="M{x:.1f},{_TOP} V{_TOP + _SIDE} M{_LEFT},{y:.1f} H{_LEFT + _SIDE}" stroke="#ddd"/>'
        yield f'<text x="{x:.1f}" y="{_TOP + _SIDE + 18}" text-anchor="middle">{rate}</text>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{rate}</text>'
    yield f'<path d="M{_LEFT},{_TOP + _SIDE} L{_LEFT + _SIDE},{_TOP}" stroke="#888" stroke-dasharray="4 4"/>'
    yield f'<path d="M{_x(FPR):.1f},{_TOP} V{_TOP + _SIDE}" stroke="#888" stroke-dasharray="1 3"/>'
    middle = _TOP + _SIDE / 2
    yield f'<text x="{_LEFT + _SIDE / 2}" y="{_TOP + _SIDE + 38}" text-anchor="middle">false positive rate</text>'
    turned = f'transform="rotate(-90 18 {middle})" x="18" y="{middle}"'
    yield f'<text {turned} text-anchor="middle">true positive rate</text>'
    for number, attack in enumerate(audit.attacks):
        color, below = _COLORS[number % len(_COLORS)], _TOP + _SIDE + 60 + 18 * number
        yield f'<polyline points="{_curve(*attack.roc)}" fill="none" stroke="{color}" stroke-width="1.5"/>'
        name = html.escape(f"{attack.name}: AUC {attack.separation.auc:.3f}")
        yield f'<text x="{_LEFT}" y="{below}" fill="{color}">{name}</text>'
    yield "</svg>"


def _curve(false: Numbers, true: Numbers) -> str:
    chosen = np.unique(np.concatenate([np.geomspace(1, len(false), _POINTS).astype(int) - 1, [len(false) - 1]]))
    points: list[str] = []
    for x, y in zip(false[chosen], true[chosen], strict=True):
        if points:  # a step: first up, then to the right
            points.append(f"{points[-1].partition(',')[0]},{_y(y):.1f}")
        points.append(f"{_x(x):.1f},{_y(y):.1f}")
    return " ".join(dict.fromkeys(points))


def _x(rate: float) -> float:
    return _LEFT + _SIDE * _shown(rate)


def _y(rate: float) -> float:
    return _TOP + _SIDE * (1 - _shown(rate))


def _shown(rate: float) -> float:
    """Return the position of a rate on a logarithmic axis, from 0 to 1."""
    return 1 - math.log10(max(rate, _LEAST)) / math.log10(_LEAST)
