"""Values of rows as text."""

from __future__ import annotations

from typing import Final

_CELL: Final = 60  # characters
_PLAIN: Final = 1e7  # smaller whole numbers are written with all digits
_GROUPED: Final = 10_000


def short(value: object) -> str:
    """Return a value with its significant digits."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return _boolean(value)
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) < _PLAIN else f"{value:.5g}"
    is_large = isinstance(value, int) and value >= _GROUPED
    return f"{value:,}" if is_large else str(value)


def value_range(low: object, high: object) -> str:
    """Return a name for a range of values that does not include its end."""
    is_one = isinstance(low, int) and isinstance(high, int) and high - low == 1
    return short(low) if is_one else f"{short(low)} to {short(high)}"


def cell(value: object) -> str:
    """Return a value of a row for a table: floats with the digits of a float32, texts truncated."""
    if isinstance(value, bool):
        return _boolean(value)
    text = f"{value:.7g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"


def _boolean(value: bool) -> str:
    return "true" if value else "false"  # as in CSV, in forms and in confusion matrices
