"""Spark's types, with Spark's names: DuckDB's names for them, their common types, and casts between them.

Casts are those of Spark without ANSI mode. If a value may differ, DuckDB stops with an error.
(Spark, "ANSI compliance" and "Cast"; each cast runs in the differential test.)
"""

from __future__ import annotations

import re
from typing import Final

NULL: Final = "null"
INTEGERS: Final = ("tinyint", "smallint", "int", "bigint")
_FRACTIONS: Final = ("float", "double")
_DUCKDB: Final = {
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    NULL: "INTEGER",
}
_SPARK: Final = {name: spark for spark, name in _DUCKDB.items() if spark != NULL}
_DIGITS: Final = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 20}
_MAX_DIGITS: Final = 38

Decimal = tuple[int, int]


def spark_type(duckdb_type: str) -> str | None:
    """Return Spark's name for a type of DuckDB; None if queries cannot use it here."""
    if found := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", duckdb_type):
        return decimal_type(int(found[1]), int(found[2]))
    return _SPARK.get(duckdb_type)


def duckdb_type(name: str) -> str:
    """Return DuckDB's name for a type of Spark."""
    if name.startswith("array<"):
        return f"{duckdb_type(name[6:-1])}[]"
    return _DUCKDB.get(name, name.upper())


def decimal_type(digits: int, scale: int) -> str | None:
    """Return the name of a decimal type; None if it is too long to be exact."""
    return f"decimal({digits},{scale})" if digits <= _MAX_DIGITS else None


def as_decimal(name: str) -> Decimal | None:
    """Return digits and scale of a decimal, or of an integer as a decimal in Spark; None for other types."""
    if found := re.fullmatch(r"decimal\((\d+),(\d+)\)", name):
        return int(found[1]), int(found[2])
    return (_DIGITS[name], 0) if name in _DIGITS else None


def is_number(name: str) -> bool:
    """Whether a type is numeric."""
    return name in _FRACTIONS or as_decimal(name) is not None


def common_type(left: str, right: str, *, compared: bool = False) -> str | None:
    """Return the common type of two types in Spark; None if it is not known here.

    Args:
        left: a type.
        right: another type.
        compared: whether for a comparison, where texts get the type of the other side; else the other becomes a text.
    """
    if left == right or NULL in (left, right):
        return right if left == NULL else left
    if "string" in (left, right):
        other = right if left == "string" else left
        return None if other.startswith("array") else other if compared else "string"
    if {left, right} == {"date", "timestamp"}:
        return "timestamp"
    return _common_number(left, right) if is_number(left) and is_number(right) else None


def _common_number(left: str, right: str) -> str | None:
    for fraction, other in ((left, right), (right, left)):
        if fraction in _FRACTIONS:
            return "float" if fraction == "float" and (other in INTEGERS) else "double"
    if left in INTEGERS and right in INTEGERS:
        return max(left, right, key=INTEGERS.index)
    one, two = as_decimal(left), as_decimal(right)
    assert one is not None
    assert two is not None
    scale = max(one[1], two[1])
    return decimal_type(max(one[0] - one[1], two[0] - two[1]) + scale, scale)


def implicit_cast(sql: str, source: str, target: str) -> str | None:
    """Return SQL that casts an argument to a parameter's type; None if Spark does not do this implicitly."""
    if target in ("any", source):
        return sql
    if target.endswith("!"):
        return sql if source == target[:-1] else None
    if target == "integer":
        return sql if source in INTEGERS else None
    if target == "fraction":
        return cast(sql, source, "double") if source in ("double", "string") else None
    widens = source in INTEGERS and target in INTEGERS and INTEGERS.index(source) < INTEGERS.index(target)
    fits = (
        source == NULL
        or widens
        or (target == "double" and (is_number(source) or source == "string"))
        or (target == "string" and not source.startswith("array"))
        or (target == "int" and source == "string")
        or (target in ("date", "timestamp") and source in ("date", "timestamp", "string"))
    )
    return cast(sql, source, target) if fits else None


def cast(sql: str, source: str, target: str) -> str | None:
    """Return SQL for a cast with Spark's value; None if it is not known here."""
    if source == target:
        return sql
    if source == NULL:
        return f"CAST(NULL AS {duckdb_type(target)})"
    if source == "string":
        return _from_text(sql, target)
    if target == "string":
        return _to_text(sql, source)
    if {source, target} == {"date", "timestamp"}:
        return f"CAST({sql} AS {duckdb_type(target)})"
    if source == "timestamp" and target == "bigint":
        return f"spark_seconds({sql})"
    if source == "bigint" and target == "timestamp":
        return f"make_timestamp({sql} * 1000000)"
    return _of_numbers(sql, source, target)


def _of_numbers(sql: str, source: str, target: str) -> str | None:
    if target == "boolean":
        return f"({sql} <> 0)" if is_number(source) else None
    if not is_number(target) or not (is_number(source) or source == "boolean"):
        return None
    if source in _FRACTIONS:
        if target in ("int", "bigint"):
            return f"spark_double_to_{target}({sql})"
        return f"CAST({sql} AS {duckdb_type(target)})" if target in _FRACTIONS else None
    if target in INTEGERS and source not in INTEGERS and source != "boolean":
        return f"CAST(trunc({sql}) AS {duckdb_type(target)})"
    if target.startswith("decimal"):
        return None if source == "boolean" else f"TRY_CAST({sql} AS {target})"
    return f"CAST({sql} AS {duckdb_type(target)})"


def _from_text(sql: str, target: str) -> str | None:
    if target in ("int", "bigint"):
        return f"CAST(TRY_CAST(spark_whole({sql}) AS {duckdb_type(target)}) AS {duckdb_type(target)})"
    if target in ("double", "boolean", "date", "timestamp"):
        return f"spark_{target}({sql})"
    if target.startswith("decimal"):
        return f"TRY_CAST(spark_digits({sql}) AS {target})"
    return None


def _to_text(sql: str, source: str) -> str | None:
    if source == "double":
        return f"spark_text({sql})"
    decimal = as_decimal(source)
    # Java writes decimals with more than six zeros after the point with an exponent.
    if source in ("boolean", "date", "timestamp") or (decimal is not None and decimal[1] <= 6):
        return f"CAST({sql} AS VARCHAR)"
    return None
