"""The Spark properties that a query can have (Clean Rooms ML user guide, "Creating an ML input channel")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MAX_RECORDS: Final = "spark.sql.files.maxRecordsPerFile"
"""Maximum number of rows of a part file; 0, the default, is no limit."""

WITHOUT_EFFECT: Final = ("spark.sql.shuffle.partitions",)
"""Properties that only affect how Spark divides its work: they are accepted, and have no effect here."""


def spark_properties(query: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the Spark properties of protectedQueryInputParameters; empty if there are none."""
    worker = query.get("computeConfiguration", {}).get("worker", {})
    properties: Mapping[str, str] = worker.get("properties", {}).get("spark", {})
    return properties
