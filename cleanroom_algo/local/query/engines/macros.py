"""Macros for DuckDB that compute like Spark; `functions` and `spark_types` call them."""

from __future__ import annotations

from typing import Final

import duckdb

NOT_SAME: Final = "cleanroom-algo: not as Spark"
"""DuckDB's error for a value that may differ from Spark's."""

_MACROS: Final = r"""
spark_letters(s) AS
    CASE WHEN regexp_matches(s, '[ßŉǰΐΰևẖẗẘẙẚὐ-ῼﬀ-ﬗİΣς]') THEN spark_differs() ELSE s END;
spark_seconds(t) AS
    CAST(floor(epoch_us(t) / 1000000) AS BIGINT);
spark_double_to_int(x) AS
    CASE
    WHEN isnan(x) THEN 0
    WHEN x >= 2147483647 THEN 2147483647
    WHEN x <= -2147483648 THEN -2147483648
    ELSE CAST(trunc(x) AS INTEGER) END;
spark_double_to_bigint(x) AS
    CASE
    WHEN isnan(x) THEN 0
    WHEN x >= 9223372036854775807 THEN 9223372036854775807
    WHEN x <= -9223372036854775808 THEN CAST('-9223372036854775808' AS BIGINT)
    ELSE CAST(trunc(x) AS BIGINT) END;
spark_round(x, n) AS
    CASE
    WHEN isnan(x) OR abs(x) >= 1e15 THEN x
    WHEN n < 0 OR n > 15 THEN spark_differs()
    ELSE CAST(round(CAST(CAST(x AS VARCHAR) AS DECIMAL(38, 18)), n) AS DOUBLE) END;
spark_space(s) AS
    regexp_replace(s, '^[\x00-\x20\x7f]+|[\x00-\x20\x7f]+$', '', 'g');
spark_whole(s) AS
    CASE
    WHEN regexp_full_match(spark_space(s), '[+-]?[0-9]+(\.[0-9]*)?') THEN split_part(spark_space(s), '.', 1)
    WHEN regexp_full_match(spark_space(s), '[+-]?\.[0-9]*') THEN spark_differs() END;
spark_digits(s) AS
    CASE
    WHEN regexp_full_match(spark_space(s), '[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?') THEN spark_space(s) END;
spark_double(s) AS
    CASE
    WHEN regexp_full_match(spark_space(s), '[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[dDfF]?')
    THEN CAST(rtrim(spark_space(s), 'dDfF') AS DOUBLE)
    WHEN regexp_full_match(lower(spark_space(s)), '[+-]?inf(inity)?')
    THEN CASE WHEN starts_with(spark_space(s), '-') THEN '-inf'::DOUBLE ELSE 'inf'::DOUBLE END
    WHEN lower(spark_space(s)) = 'nan' THEN 'nan'::DOUBLE
    WHEN regexp_matches(lower(s), '0x') THEN spark_differs() END;
spark_boolean(s) AS
    CASE
    WHEN lower(spark_space(s)) IN ('t', 'true', 'y', 'yes', '1') THEN true
    WHEN lower(spark_space(s)) IN ('f', 'false', 'n', 'no', '0') THEN false END;
spark_date(s) AS
    CASE
    WHEN regexp_full_match(spark_space(s), '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([ T].*)?')
    THEN TRY_CAST(regexp_extract(spark_space(s), '^[0-9-]+') AS DATE)
    WHEN regexp_matches(s, '^[+-]?[0-9]{4,}') THEN spark_differs() END;
spark_timestamp(s) AS
    CASE
    WHEN regexp_full_match(
        spark_space(s),
        '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([ T][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]{1,6})?Z?)?'
    )
    THEN TRY_CAST(rtrim(spark_space(s), 'Z') AS TIMESTAMP)
    WHEN regexp_matches(s, '[0-9]') THEN spark_differs() END;
spark_start(s, p) AS
    CASE WHEN p > 0 THEN p - 1 WHEN p < 0 THEN length(s) + p ELSE 0 END;
spark_size(n) AS
    CASE WHEN n < 0 THEN 0 ELSE n END;
spark_substring(s, p, n) AS
    CASE WHEN p IS NOT NULL AND n IS NOT NULL THEN substring(
        s,
        greatest(spark_start(s, p), 0) + 1,
        greatest(least(spark_start(s, p) + CAST(n AS BIGINT), length(s)) - greatest(spark_start(s, p), 0), 0)
    ) END;
spark_pad(s, n, p, before) AS
    CASE
    WHEN n <= length(s) OR p = '' THEN left(s, greatest(n, 0))
    WHEN before THEN lpad(s, n, p)
    ELSE rpad(s, n, p) END;
spark_mantissa(digits) AS
    left(digits, 1) || '.' || CASE WHEN length(digits) > 1 THEN digits[2:] ELSE '0' END;
spark_exponent(sign, t) AS
    CASE
    WHEN contains(t, 'e') THEN concat(
        sign,
        split_part(t, 'e', 1),
        CASE WHEN contains(split_part(t, 'e', 1), '.') THEN '' ELSE '.0' END,
        'E',
        CAST(split_part(t, 'e', 2) AS INTEGER)
    )
    ELSE concat(
        sign,
        spark_mantissa(trim(replace(t, '.', ''), '0')),
        'E',
        CASE WHEN starts_with(t, '0.')
        THEN length(ltrim(split_part(t, '.', 2), '0')) - length(split_part(t, '.', 2)) - 1
        ELSE length(split_part(t, '.', 1)) - 1 END
    ) END;
spark_digits_of(x) AS
    ltrim(replace(CAST(abs(x) AS VARCHAR), '.', ''), '0');
spark_decimal(x, scale) AS
    CASE
    WHEN x IS NULL OR abs(x) >= 0.000001 THEN CAST(x AS VARCHAR)
    ELSE concat(
        CASE WHEN x < 0 THEN '-' ELSE '' END,
        CASE WHEN x = 0 THEN '0' ELSE left(spark_digits_of(x), 1) END,
        CASE WHEN length(spark_digits_of(x)) > 1 THEN '.' || spark_digits_of(x)[2:] ELSE '' END,
        'E',
        greatest(length(spark_digits_of(x)), 1) - 1 - scale
    ) END;
spark_trimmed(s) AS
    regexp_replace(s, '^[\x00-\x20]+|[\x00-\x20]+$', '', 'g');
spark_csv(s, first) AS
    CASE
    WHEN spark_trimmed(s) = '' THEN '""'
    WHEN regexp_matches(regexp_replace(s, '^[\x00-\x20]+', ''), '[,"\n\r]') OR (first AND starts_with(s, '#'))
    THEN concat('"', replace(replace(spark_trimmed(s), '\', '\\'), '"', '\"'), '"')
    ELSE spark_trimmed(s) END;
spark_text(x) AS
    CASE
    WHEN x = 0 OR (abs(x) >= 1e-3 AND abs(x) < 1e7) THEN CAST(x AS VARCHAR)
    WHEN x IS NULL THEN NULL
    WHEN isnan(x) THEN 'NaN'
    WHEN isinf(x) THEN CASE WHEN x > 0 THEN 'Infinity' ELSE '-Infinity' END
    ELSE spark_exponent(CASE WHEN x < 0 THEN '-' ELSE '' END, CAST(abs(x) AS VARCHAR)) END;
"""


def create_macros(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Create the macros that an SQL text calls, for the lifetime of a connection."""
    called, texts = [], sql
    for macro in reversed([f"spark_differs() AS error('{NOT_SAME}')", *filter(str.strip, _MACROS.split(";\n"))]):
        if f"{macro.partition('(')[0].strip()}(" in texts:  # each macro calls only earlier ones
            called.append(macro)
            texts += macro
    for macro in reversed(called):
        connection.execute(f"CREATE TEMP MACRO {macro}")
