"""Splits of an object, so that several ranks can share one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, order=True)
class Split:
    """A part of one object that holds whole rows.

    Attributes:
        start: the first byte, or the first row group.
        end: the byte after the last, or the row group after the last.
        unit: "bytes" for CSV and JSON Lines, on row boundaries; "row_groups" for Parquet.
    """

    start: int
    end: int
    unit: Literal["bytes", "row_groups"] = "bytes"
