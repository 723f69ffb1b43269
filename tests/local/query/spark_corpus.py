"""Queries that DuckDB and Spark run alike: listed signatures over edge values, operators, casts, and whole queries."""

# ruff: noqa: E501

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import polars as pl

from cleanroom_algo.local.query.functions import AGGREGATES, SIGNATURES, WINDOW_FUNCTIONS, Signature
from cleanroom_algo.local.query.templates import Parameter

COLUMNS: Final[dict[str, tuple[str, list[Any]]]] = {
    "id": ("int", [1, 2, 3, 4, 5, 6, 7, 8]),
    "g": ("string", ["a", "a", "a", "b", "b", "c", "c", None]),
    "i": ("int", [0, 1, -1, 7, -7, 100, None, 12]),
    "j": ("int", [2, 0, 3, -2, 5, 1, 4, None]),
    "b": ("bigint", [0, 3_000_000_000, -1, 5, -5, None, 9_007_199_254_740_993, 40]),
    "d": ("double", [0.0, 2.5, -2.5, 1.005, 1e20, float("nan"), None, -0.25]),
    "e": ("double", [1.5, -3.7, 0.5, 3.5, 1e-5, 0.3, 12345678.9, float("inf")]),
    "s": ("string", ["abc", "", "  pad  ", "Ann Lee", "a,b", "äöü", None, "2024-02-29"]),
    "u": ("string", ["a", "b", "", "e", "b,", "ö", "x", None]),
    "n": ("string", ["1", " 2 ", "-5.6", "x", "1e3", None, "3.7", "99999999999"]),
    "k": ("boolean", [True, False, None, True, True, False, False, None]),
    "a": ("date", [dt.date(2009, 7, 30), dt.date(2024, 2, 29), dt.date(2023, 12, 31), dt.date(1969, 12, 31),
                   dt.date(2000, 1, 1), dt.date(2016, 7, 30), None, dt.date(2024, 3, 31)]),
    "t": ("timestamp", [dt.datetime(2009, 7, 30, 4, 17, 52), dt.datetime(2024, 2, 29, 23, 59, 59, 999999),
                        dt.datetime(1969, 12, 31, 23, 59, 59, 500000), dt.datetime(2000, 1, 1), None,
                        dt.datetime(2024, 3, 31, 12, 30), dt.datetime(2016, 7, 30, 0, 0, 1), dt.datetime(1970, 1, 1)]),
    "m": ("decimal", [Decimal("0.00"), Decimal("1.50"), Decimal("-2.25"), Decimal("99999.99"), None, Decimal("0.01"),
                      Decimal("3.00"), Decimal("7.10")]),
}  # fmt: skip
"""The table `v`: types and values."""

ARGUMENTS: Final = {
    "any": ("i", "s", "d"),
    "bigint": ("b", "i"),
    "boolean": ("k", "i > 1"),
    "date": ("a", "t"),
    "double": ("d", "e", "i", "m"),
    "int": ("i", "j"),
    "integer": ("i", "b"),
    "string": ("s", "u", "i", "a"),
    "timestamp": ("t", "a"),
    "fraction": ("d", "e"),
    "date!": ("a",),
    "timestamp!": ("t",),
    "string!": ("s", "u"),
    "constant": ("1", "2"),
    "T": ("i", "b", "d", "s", "a"),
    "C": ("i", "b", "d"),
    "unit": ("'month'", "'WEEK'", "'hour'"),
    "day_unit": ("'MM'", "'year'", "'week'", "'quarter'"),
    "time_pattern": ("'yyyy-MM-dd HH:mm:ss'", "'d/M/yy'", "'EEEE, MMM dd'"),
    "pattern": ("','", "' +'", "'\\\\d'"),
}
_OTHERS: Final = {"string": "u", "int": "j", "bigint": "i", "double": "e", "T": None, "C": "d", "boolean": "k"}
_BY_CHANCE: Final = frozenset({"rand", "random", "uuid", "now", "current_timestamp", "current_date"})
_LITERALS: Final = {
    "percentile": ("0.5", "0.25", "0"),
    "sequence": ("1", "3"),
    "repeat": ("3",),
}


def table(folder: Path) -> Path:
    """Write the table `v`, and return its file."""
    schema: dict[str, Any] = {"int": pl.Int32, "bigint": pl.Int64, "double": pl.Float64, "string": pl.String, "boolean": pl.Boolean,
              "date": pl.Date, "timestamp": pl.Datetime("us"), "decimal": pl.Decimal(10, 2)}  # fmt: skip
    path = folder / "v.parquet"
    frame = pl.DataFrame({name: pl.Series(values, dtype=schema[kind]) for name, (kind, values) in COLUMNS.items()})
    frame.write_parquet(path)
    return path


def _calls(signature: Signature) -> Iterator[str]:
    kinds = [kind.removesuffix("...") for kind in signature.arguments]
    if signature.arguments and signature.arguments[-1].endswith("..."):
        kinds.append(kinds[-1])
    choices = []
    for place, kind in enumerate(kinds):
        chosen = ARGUMENTS[kind]
        if kind in ("constant", "int", "bigint") and signature.name in _LITERALS:
            chosen = _LITERALS[signature.name]
        if place and (other := _OTHERS.get(kind)) and signature.name not in _LITERALS:
            chosen = (other, *chosen[:1])
        if place and kind == "T":
            chosen = ARGUMENTS["T"]
        choices.append(chosen)
    for arguments in itertools.islice(itertools.product(*choices), 12):
        if len({*arguments}) < len(arguments) and len(arguments) > 1 and "T" not in kinds:
            continue
        if signature.result == "0" and kinds.count("T") > 1 and arguments[0] != arguments[-1]:
            continue
        if kinds.count("T") > 1 and not _alike(
            [each for each, kind in zip(arguments, kinds, strict=True) if kind == "T"]
        ):
            continue
        yield f"{signature.name}({', '.join(arguments)})"


def _alike(arguments: list[str]) -> bool:
    numbers = {"i", "b", "d"}
    return len({*arguments}) == 1 or {*arguments} <= numbers


def scalars() -> list[str]:
    """Return expressions over one row."""
    found = [
        call
        for signature in SIGNATURES
        if signature.name not in AGGREGATES | WINDOW_FUNCTIONS | _BY_CHANCE and not signature.result.startswith("array")
        for call in _calls(signature)
    ]
    return list(dict.fromkeys([*found, *_OPERATORS, *_CASTS, *_BY_HAND]))


def aggregates() -> list[str]:
    """Return expressions over the rows of a group."""
    found = [call for each in SIGNATURES if each.name in AGGREGATES - {"any_value"} for call in _calls(each)]
    return [*found, "count(*)", "count(DISTINCT j)", "sum(DISTINCT i)", "sum(i) FILTER (WHERE k)", "max(i) - min(i)",
            "sum(i) / count(*)", "avg(CASE WHEN k THEN e END)"]  # fmt: skip


def windows() -> list[str]:
    """Return expressions over the rows around one."""
    over = "OVER (PARTITION BY g ORDER BY id)"
    found = [f"{call} {over}" for each in SIGNATURES if each.name in WINDOW_FUNCTIONS for call in _calls(each)]
    frame = "OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
    return [*found, f"sum(i) {over}", f"sum(i) {frame}", f"max(s) {frame}", "rank() OVER (ORDER BY g DESC)",
            "any_value(i) OVER (PARTITION BY g ORDER BY id)"]  # fmt: skip


_OPERATORS: Final = [
    *(f"{left} {operator} {right}" for operator in ("+", "-", "*") for left, right in
      (("i", "j"), ("i", "d"), ("b", "j"), ("i", "1.5"), ("d", "0.1"), ("m", "i"), ("m", "0.5"), ("n", "e"))),
    *(f"{left} {operator} {right}" for operator in ("/", "%") for left, right in
      (("i", "j"), ("b", "j"), ("d", "e"), ("i", "0"), ("d", "0"), ("e", "0.5"))),
    *(f"{left} {operator} {right}" for operator in ("=", "<>", "<", ">=", "<=>") for left, right in
      (("i", "j"), ("i", "d"), ("d", "d"), ("s", "u"), ("n", "i"), ("a", "t"), ("a", "'2024-02-29'"), ("m", "1.5"),
       ("t", "'2000-01-01'"), ("i", "NULL"), ("e", "0.3"))),
    "i div j", "b div i", "-i", "-d", "-m", "i & j", "i | j", "k AND i > 0", "k OR i > 0", "NOT k", "s || u", "i || s",
    "i BETWEEN 0 AND 7", "d BETWEEN 0 AND 3", "i IN (1, 7, NULL)", "i NOT IN (1, 7)", "s IN ('abc', '')", "d IN (2.5)",
    "s LIKE 'a%'", "s LIKE '_b_'", "s NOT LIKE '%a'", "k IS NULL", "k IS NOT NULL", "k IS TRUE", "k IS NOT FALSE",
    "CASE WHEN i > 0 THEN 'p' WHEN i < 0 THEN 'n' END", "CASE i WHEN 1 THEN 1 ELSE 2.5 END", "CASE WHEN k THEN i ELSE d END",
    "CASE WHEN k THEN i ELSE s END", "extract(year FROM a)", "extract(dayofweek FROM a)", "extract(week FROM t)",
    "1", "1.5", "1e3", "'it\\'s'", "'C:\\\\temp'", "r'a\\d'", "NULL", "true", "date'2024-01-31'",
    "timestamp'2024-01-31 10:11:12'", "3000000000", "5L", "(i + 1) * 2",
]  # fmt: skip
_CASTS: Final = [
    *(f"cast({name} AS {kind})" for name, kinds in {
        "i": "tinyint bigint double float string decimal(12,2) boolean",
        "j": "smallint bigint string boolean",
        "b": "double string decimal(20,3)",
        "d": "int bigint string float boolean",
        "e": "int bigint string boolean",
        "n": "int bigint double boolean decimal(10,2)",
        "u": "int double boolean date timestamp",
        "s": "date boolean int double",
        "k": "int double string",
        "a": "timestamp string date",
        "t": "date string bigint",
        "m": "int double string decimal(6,1) bigint boolean",
    }.items() for kind in kinds.split()),
    "cast('2016-7-3' AS date)", "cast(' 2016-07-30 10:11:12.5 ' AS timestamp)", "cast('2016-07-30T10:11:12Z' AS timestamp)",
    "cast('2016-07-30 11:12:13 x' AS date)", "cast('2016-13-30' AS date)", "cast('no' AS boolean)", "cast('NaN' AS double)",
    "cast('-Infinity' AS double)", "cast('1d' AS double)", "cast('+7' AS int)", "cast('7.9' AS int)", "cast('' AS int)",
    "cast(-5.6 AS int)", "cast(3.7 AS int)", "cast(1e10 AS int)", "cast(2.5e-4 AS string)", "cast(123456789.0e0 AS string)",
    "cast(1.0e7 AS string)", "cast(9999999.5e0 AS string)", "cast(0.001e0 AS string)", "cast(1e15 AS string)",
    "cast(-1.5e-7 AS string)", "cast(100e0 AS string)",
]  # fmt: skip
_BY_HAND: Final = [
    *(f"substring('Spark SQL', {start}{length})" for start in (-20, -3, 0, 1, 5, 20) for length in ("", ", 0", ", 1", ", -1", ", 18")),
    *(f"lpad('hi', {size}, '{pad}')" for size in (-1, 0, 1, 5) for pad in ("?", "ab", "")),
    *(f"rpad('hi', {size}, '{pad}')" for size in (-1, 0, 1, 5) for pad in ("?", "ab", "")),
    *(f"round({value}e0, {places})" for value in ("2.5", "-2.5", "1.005", "2.675", "0.125", "1234567.891") for places in (0, 1, 2, 3)),
    *(f"date_add('2016-07-{day}', {n})" for day in (30, 31) for n in (-31, 0, 1, 200)),
    *(f"add_months('{day}', {n})" for day in ("2016-08-31", "2024-02-29") for n in (-12, -1, 1, 12)),
    "dayofweek('2009-07-30')", "weekday(date'2009-07-30')", "log(0)", "ln(-1)", "sqrt(-1)", "acos(2)", "1/0", "1%0",
    "datediff('2009-07-31', '2009-07-30')", "date_format('2016-04-08', 'yyyy')", "make_date(2019, 2, 29)", "pow(2, 0.5)",
    "concat_ws(',', s, NULL, u)", "nvl(NULL, 1)", "greatest(10, 9, 2.5)", "least(NULL, 3, 2)", "if(k, i, 'x')", "nanvl(d, 0)",
    "ceil(-0.1e0)", "floor(-0.1e0)", "trim('\\t a ')", "length('äö')", "instr('SparkSQL', 'SQL')", "locate('a', 'banana')",
    "left('abc', 5)", "right('abc', -1)", "replace('ABCabc', '', 'x')", "ascii('')",
    "upper('ä')", "weekofyear('2008-02-20')", "quarter('2016-08-31')", "last_day('2009-01-12')", "trunc('2009-02-12', 'MM')",
    "date_trunc('HOUR', '2015-03-05 09:32:05')", "unix_date(date'1970-01-02')", "md5('Spark')", "sha1('Spark')",
]  # fmt: skip

QUERIES: Final = (
    "SELECT x.id, y.id AS other FROM v x JOIN v y ON x.i = y.j",
    "SELECT x.id, y.s FROM v x LEFT JOIN v y ON x.i = y.j AND y.k",
    "SELECT x.id, y.id AS other FROM v x FULL JOIN v y ON x.i = y.j",
    "SELECT id FROM v x LEFT SEMI JOIN v y ON x.i = y.j",
    "SELECT x.id FROM v x LEFT ANTI JOIN v y ON x.i = y.j",
    "SELECT x.id, y.id AS other FROM v x CROSS JOIN v y WHERE x.d = y.d",
    "SELECT id, s FROM v JOIN (SELECT id, u AS w FROM v) USING (id)",
    "SELECT id FROM v WHERE i IN (SELECT j FROM v)",
    "SELECT id FROM v WHERE i NOT IN (SELECT j FROM v WHERE j IS NOT NULL)",
    "SELECT id FROM v x WHERE EXISTS (SELECT 1 FROM v y WHERE y.j = x.i)",
    "SELECT id, (SELECT max(j) FROM v) AS top FROM v",
    "SELECT g, count(*) AS n FROM v GROUP BY g HAVING count(*) > 1",
    "SELECT k, g, sum(i) AS total FROM v GROUP BY k, g",
    "SELECT d, count(*) AS n FROM v GROUP BY d",
    "SELECT DISTINCT g, k FROM v",
    "SELECT i FROM v UNION SELECT j FROM v",
    "SELECT i FROM v UNION ALL SELECT j FROM v",
    "SELECT i FROM v INTERSECT SELECT j FROM v",
    "SELECT i FROM v EXCEPT SELECT j FROM v",
    "WITH w AS (SELECT id, i + j AS z FROM v) SELECT w.id, w.z * 2 AS y FROM w WHERE w.z > 1",
    "WITH w AS (SELECT g, avg(e) AS m FROM v WHERE id < 8 GROUP BY g) SELECT v.id, w.m FROM v JOIN w ON v.g <=> w.g",
    "SELECT Q.ID FROM (SELECT id FROM V WHERE K) q",
    "SELECT id, x FROM v LATERAL VIEW explode(split(s, ',')) l AS x",
    "SELECT id, explode(array(i, j)) AS x FROM v",
    "SELECT explode(sequence(1, 5)) AS x",
    "SELECT explode(sequence(5, 1)) AS x",
    "SELECT a FROM VALUES (1, 'x'), (2, 'y') AS q(a, b)",
    "SELECT upper(s), count(1) FROM v GROUP BY upper(s)",
)
"""Whole queries; their rows are compared in any order."""

ORDERED: Final = (
    *(f"SELECT id, {name} FROM v ORDER BY {name} {way}, id" for name in "idsat" for way in ("ASC", "DESC NULLS FIRST")),
    "SELECT id FROM v ORDER BY i LIMIT 3",
    "SELECT id, i AS x FROM v ORDER BY x + 1, id DESC LIMIT 2 OFFSET 1",
)
"""Whole queries of which the order counts, too."""

PARAMETERS: Final = tuple(
    Parameter(name, kind, value)
    for name, kind, value in [
        ("text", "VARCHAR", "\\' OR \"1\"=`1` --"), ("yes", "BOOLEAN", "TRUE"), ("tiny", "BYTE", "-128"),
        ("small", "SHORT", "-5"), ("whole", "INTEGER", "-2147483648"), ("count", "INT", "+7"),
        ("big", "LONG", "-9223372036854775808"), ("dec", "NUMERIC", "-0012.50"), ("double", "DOUBLE_PRECISION", "-1.5"),
        ("large", "DOUBLE", "1e20"), ("single", "REAL", "0.1"), ("day", "DATE", "2024-02-29"),
        ("at", "TIMESTAMPTZ", "2024-03-31T12:30:00.125+02:00"),
    ]
)  # fmt: skip
"""Values of the types of analysis templates' parameters."""
PARAMETERS_TEMPLATE: Final = (
    "SELECT :text AS a, :yes AS b, :tiny AS c, :small AS d, :whole AS e, :count AS f, :big AS g, :dec AS h, "
    ":double AS i, :large AS j, :single AS k, :day AS l, :at AS m, :dec * 2 AS n, :whole - :big AS o LIMIT :count"
)
PARAMETERS_SHOWN: Final = (
    '"\\\' OR ""1""=`1` --",true,-128,-5,-2147483648,7,-9223372036854775808,-12.50,-1.5,1.0E20,0.1,2024-02-29,'
    "2024-03-31T10:30:00.125Z,-25.00,9223372034707292160\n"
)
