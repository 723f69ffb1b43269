"""The meaning of a column for a model: a number, a category, an identifier, a text, or the target."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import polars as pl

from cleanroom_algo.channels.fitting import MAX_CLASSES, MAX_DISTINCT
from cleanroom_algo.channels.schema import Column

_TARGET_NAMES: Final = frozenset(
    [
        "target",
        "label",
        "labels",
        "class",
        "y",
        "outcome",
        "response",
        "result",
        "churn",
        "churned",
        "survived",
        "default",
        "species",
        "diagnosis",
        "rating",
    ]
)
_IDENTIFIER: Final = re.compile(
    r"(?:.*[_\s.-])?(?:id|ids|uuid|key|code|zip|index|user|item|customer|product)|.*(?:Id|ID)", re.DOTALL
)
_FEW: Final = 20
"""Integers with at most this many distinct values are probably classes, and never identifiers."""
_TEXT_LENGTH: Final = 32  # average number of characters from which on a string is probably a text
_TEXT_BLANKS: Final = 3.0  # on average


def names_identifiers(column: str) -> bool:
    """Whether a column probably has identifiers, by its name."""
    return _IDENTIFIER.fullmatch(column) is not None


def target_column(frame: pl.DataFrame) -> str | None:
    """Return the probable target: by its name, or the last column if it has few values."""
    named = [name for name in frame.columns if name.lower() in _TARGET_NAMES]
    if named:
        return named[-1]
    last = frame.to_series(-1) if frame.width > 1 else pl.Series([], dtype=pl.String)
    is_class = last.dtype in {pl.Boolean, pl.String, pl.Int64} and 1 < last.n_unique() <= _FEW
    return last.name if is_class and last.len() > _FEW else None


def meaning_of(
    values: pl.Series, draft: Column, distinct: int | None, *, misread: bool = False
) -> tuple[Column | None, str]:
    """Return the declaration of a feature, None to leave it out; and a remark about it.

    Args:
        values: of the column, as read.
        draft: the declaration with which they were read.
        distinct: the number of distinct values.
        misread: whether they may be numbers or dates, and so no identifiers.
    """
    filled = len(values) - values.null_count()
    if distinct is None or not filled:
        return draft, ""
    if distinct == 1:
        return draft, "has one value"
    is_identifier = distinct == filled and filled > _FEW
    if draft.is_integer:
        return _integer(values, draft, is_identifier)
    if not draft.is_string:
        return draft, ""
    if _is_text(values):
        return replace(draft, dtype="text"), "looks like free text; if it is not, declare it as a string"
    if is_identifier and not misread:
        return None, "has a different value in each row, like an identifier, and is not declared"
    return _category(draft, distinct)


def target_of(values: pl.Series, draft: Column, distinct: int | None) -> tuple[Column | None, str]:
    """Return the declaration of the target, and a remark about it; the arguments are those of `meaning_of`."""
    note = f"has no value in {values.null_count()} rows: leave these out" if values.null_count() else ""
    if draft.is_integer and distinct is not None:
        low, high = values.min(), values.max()
        if distinct == 2 and (low, high) == (0, 1):
            return replace(draft, dtype="bool"), note
        if distinct > _FEW:
            return replace(draft, dtype="float32"), note or (
                "looks like a quantity; if it is a class, declare int64 or category"
            )
        if (low, high) == (0, distinct - 1):
            return draft, note or f"is one of {distinct} classes: if it is a quantity, declare float32"
        return replace(draft, dtype="category"), note or "looks like a label; if it is a quantity, declare float32"
    if draft.is_string and distinct is not None:
        many = f"has {distinct} labels, and at most {MAX_CLASSES} can be learned" if distinct > MAX_CLASSES else ""
        return replace(draft, dtype="category" if draft.dtype == "category" else "string"), note or many
    return draft, note


def _integer(values: pl.Series, draft: Column, is_identifier: bool) -> tuple[Column | None, str]:
    low, high = values.min(), values.max()
    if (low, high) == (0, 1):
        return replace(draft, dtype="bool"), ""
    named = names_identifiers(values.name)
    counts = is_identifier and isinstance(low, int) and isinstance(high, int) and high - low == len(values) - 1
    if is_identifier and (named or counts):
        return None, "numbers the rows, like an index or an identifier, and is not declared"
    if named:
        return _category(replace(draft, dtype="category"), values.n_unique())
    return draft, ""


def _category(draft: Column, distinct: int) -> tuple[Column | None, str]:
    if distinct > MAX_DISTINCT:
        return None, f"has more than {MAX_DISTINCT} values, too many for a category, and is not declared"
    many = f"has {distinct} values, of which the `max_categories` most frequent become categories"
    return draft, many if distinct > 1000 else ""


def _is_text(values: pl.Series) -> bool:
    sample = values.drop_nulls().head(10_000)
    length, blanks = sample.str.len_chars().mean(), sample.str.count_matches(" ", literal=True).mean()
    return (isinstance(length, float) and length > _TEXT_LENGTH) or (
        isinstance(blanks, float) and blanks > _TEXT_BLANKS
    )
