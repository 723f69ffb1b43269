"""The Spark properties that a query may be given (Clean Rooms ML user guide, "Creating an ML input channel")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MAX_RECORDS: Final = "spark.sql.files.maxRecordsPerFile"
"""Rows of a part file at most; 0, the default, is no limit."""

WITHOUT_EFFECT: Final = ("spark.sql.shuffle.partitions",)
"""Properties that say how Spark divides its work, and nothing about the result: taken, and without effect here."""


def spark_properties(query: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the Spark properties of protectedQueryInputParameters; none where they are left out."""
    worker = query.get("computeConfiguration", {}).get("worker", {})
    properties: Mapping[str, str] = worker.get("properties", {}).get("spark", {})
    return properties
