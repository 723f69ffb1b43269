"""The functions that a member's query may call, each with its translation to DuckDB.

A line contains a signature in Spark, the type of the result, and SQL of DuckDB with the same values. `{0}` is the first
argument, cast to the type in the signature; `{over}` is what follows an aggregate. `T` and `C` are the common type of
all arguments with this mark, for functions that select one of them and for comparisons. `date!` is a date, without an
implicit cast. The differential test runs each line on both engines. Functions in `SPARK_ONLY` only run on Spark; both
engines refuse functions in neither list. (Clean Rooms SQL reference, "Spark SQL functions".)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_AGGREGATES = """
    any_value(T) -> T = any_value({0}){over}
    avg(integer) -> double = avg({0}){over}
    avg(fraction) -> double = avg({0}){over}
    bit_and(integer) -> 0 = bit_and({0}){over}
    bit_or(integer) -> 0 = bit_or({0}){over}
    bit_xor(integer) -> 0 = bit_xor({0}){over}
    bool_and(boolean) -> boolean = bool_and({0}){over}
    bool_or(boolean) -> boolean = bool_or({0}){over}
    count(any) -> bigint = count({0}){over}
    count_if(boolean) -> bigint = count(CASE WHEN {0} THEN 1 END){over}
    covar_pop(double, double) -> double = covar_pop({0}, {1}){over}
    covar_samp(double, double) -> double = covar_samp({0}, {1}){over}
    every(boolean) -> boolean = bool_and({0}){over}
    max(T) -> T = max({0}){over}
    mean(integer) -> double = avg({0}){over}
    mean(fraction) -> double = avg({0}){over}
    median(double) -> double = quantile_cont({0}, 0.5){over}
    min(T) -> T = min({0}){over}
    percentile(double, constant) -> double = quantile_cont({0}, {1}){over}
    some(boolean) -> boolean = bool_or({0}){over}
    std(double) -> double = stddev_samp({0}){over}
    stddev(double) -> double = stddev_samp({0}){over}
    stddev_pop(double) -> double = stddev_pop({0}){over} + 0 * max({0}){over}
    stddev_samp(double) -> double = stddev_samp({0}){over}
    sum(integer) -> bigint = CAST(sum({0}){over} AS BIGINT)
    sum(fraction) -> double = sum({0}){over}
    var_pop(double) -> double = var_pop({0}){over} + 0 * max({0}){over}
    var_samp(double) -> double = var_samp({0}){over}
    variance(double) -> double = var_samp({0}){over}
"""

_WINDOWS = """
    cume_dist() -> double = cume_dist(){over}
    dense_rank() -> int = CAST(dense_rank(){over} AS INTEGER)
    first_value(T) -> T = first_value({0}){over}
    lag(T) -> T = lag({0}){over}
    lag(T, constant) -> T = lag({0}, {1}){over}
    lag(T, constant, T) -> 0 = lag({0}, {1}, {2}){over}
    last_value(T) -> T = last_value({0}){over}
    lead(T) -> T = lead({0}){over}
    lead(T, constant) -> T = lead({0}, {1}){over}
    lead(T, constant, T) -> 0 = lead({0}, {1}, {2}){over}
    nth_value(T, constant) -> T = nth_value({0}, {1}){over}
    ntile(constant) -> int = CAST(ntile({0}){over} AS INTEGER)
    percent_rank() -> double = percent_rank(){over}
    rank() -> int = CAST(rank(){over} AS INTEGER)
    row_number() -> int = CAST(row_number(){over} AS INTEGER)
"""

_NUMBERS = """
    abs(integer) -> 0 = abs({0})
    abs(fraction) -> double = abs({0})
    acos(double) -> double = CASE WHEN abs({0}) > 1 THEN 'nan'::DOUBLE ELSE acos({0}) END
    asin(double) -> double = CASE WHEN abs({0}) > 1 THEN 'nan'::DOUBLE ELSE asin({0}) END
    atan(double) -> double = atan({0})
    atan2(double, double) -> double = atan2({0}, {1})
    cbrt(double) -> double = cbrt({0})
    ceil(integer) -> bigint = CAST({0} AS BIGINT)
    ceil(fraction) -> bigint = spark_double_to_bigint(ceil({0}))
    ceiling(integer) -> bigint = CAST({0} AS BIGINT)
    ceiling(fraction) -> bigint = spark_double_to_bigint(ceil({0}))
    cos(double) -> double = cos({0})
    cosh(double) -> double = cosh({0})
    degrees(double) -> double = degrees({0})
    e() -> double = 2.718281828459045::DOUBLE
    exp(double) -> double = exp({0})
    floor(integer) -> bigint = CAST({0} AS BIGINT)
    floor(fraction) -> bigint = spark_double_to_bigint(floor({0}))
    greatest(T...) -> T = greatest({*})
    isnan(double) -> boolean = coalesce(isnan({0}), false)
    least(T...) -> T = least({*})
    ln(double) -> double = CASE WHEN {0} > 0 THEN ln({0}) END
    log(double) -> double = CASE WHEN {0} > 0 THEN ln({0}) END
    log10(double) -> double = CASE WHEN {0} > 0 THEN log10({0}) END
    log2(double) -> double = CASE WHEN {0} > 0 THEN log2({0}) END
    nanvl(double, double) -> double = CASE WHEN isnan({0}) THEN {1} ELSE {0} END
    pi() -> double = pi()
    pow(double, double) -> double = pow({0}, {1})
    power(double, double) -> double = pow({0}, {1})
    radians(double) -> double = radians({0})
    rand() -> double = random()
    random() -> double = random()
    round(integer) -> 0 = {0}
    round(integer, constant) -> 0 = {0}
    round(fraction) -> double = spark_round({0}, 0)
    round(fraction, constant) -> double = spark_round({0}, {1})
    sign(double) -> double = CASE WHEN isnan({0}) THEN {0} ELSE CAST(sign({0}) AS DOUBLE) END
    signum(double) -> double = CASE WHEN isnan({0}) THEN {0} ELSE CAST(sign({0}) AS DOUBLE) END
    sin(double) -> double = sin({0})
    sinh(double) -> double = sinh({0})
    sqrt(double) -> double = CASE WHEN {0} < 0 THEN 'nan'::DOUBLE ELSE sqrt({0}) END
    tan(double) -> double = tan({0})
    tanh(double) -> double = tanh({0})
"""

_TEXTS = """
    ascii(string) -> int = CASE WHEN {0} = '' THEN 0 ELSE unicode({0}) END
    bit_length(string) -> int = CAST(bit_length({0}) AS INTEGER)
    char_length(string) -> int = CAST(length({0}) AS INTEGER)
    character_length(string) -> int = CAST(length({0}) AS INTEGER)
    concat(string...) -> string = ({||})
    concat_ws(string, string...) -> string = CASE WHEN {0} IS NOT NULL THEN concat_ws({*}) END
    contains(string, string) -> boolean = contains({0}, {1})
    endswith(string, string) -> boolean = ends_with({0}, {1})
    instr(string, string) -> int = CAST(instr({0}, {1}) AS INTEGER)
    lcase(string) -> string = lower(spark_letters({0}))
    left(string, int) -> string = left({0}, spark_size({1}))
    len(string) -> int = CAST(length({0}) AS INTEGER)
    length(string) -> int = CAST(length({0}) AS INTEGER)
    locate(string, string) -> int = CAST(instr({1}, {0}) AS INTEGER)
    lower(string) -> string = lower(spark_letters({0}))
    lpad(string, int, string) -> string = spark_pad({0}, {1}, {2}, true)
    ltrim(string) -> string = ltrim({0}, ' ')
    md5(string!) -> string = md5({0})
    octet_length(string) -> int = CAST(strlen({0}) AS INTEGER)
    position(string, string) -> int = CAST(instr({1}, {0}) AS INTEGER)
    repeat(string, int) -> string = repeat({0}, spark_size({1}))
    replace(string, string, string) -> string = CASE WHEN {1} = '' THEN {0} ELSE replace({0}, {1}, {2}) END
    right(string, int) -> string = right({0}, spark_size({1}))
    rpad(string, int, string) -> string = spark_pad({0}, {1}, {2}, false)
    rtrim(string) -> string = rtrim({0}, ' ')
    sha(string!) -> string = sha1({0})
    sha1(string!) -> string = sha1({0})
    space(int) -> string = repeat(' ', spark_size({0}))
    split(string, pattern) -> array<string> = string_split_regex({0}, {1})
    startswith(string, string) -> boolean = starts_with({0}, {1})
    substr(string, int) -> string = spark_substring({0}, {1}, 2147483647)
    substr(string, int, int) -> string = spark_substring({0}, {1}, {2})
    substring(string, int) -> string = spark_substring({0}, {1}, 2147483647)
    substring(string, int, int) -> string = spark_substring({0}, {1}, {2})
    trim(string) -> string = trim({0}, ' ')
    ucase(string) -> string = upper(spark_letters({0}))
    upper(string) -> string = upper(spark_letters({0}))
    uuid() -> string = CAST(uuid() AS VARCHAR)
"""

_TIMES = """
    add_months(date, int) -> date = CAST({0} + to_months({1}) AS DATE)
    current_date() -> date = CAST(current_timestamp AS DATE)
    current_timestamp() -> timestamp = CAST(current_timestamp AS TIMESTAMP)
    date_add(date, int) -> date = ({0} + {1})
    date_format(timestamp, time_pattern) -> string = strftime({0}, {1})
    date_from_unix_date(int) -> date = (DATE '1970-01-01' + {0})
    date_sub(date, int) -> date = ({0} - {1})
    date_trunc(unit, timestamp) -> timestamp = CAST(date_trunc({0}, {1}) AS TIMESTAMP)
    datediff(date, date) -> int = CAST({0} - {1} AS INTEGER)
    date_diff(date, date) -> int = CAST({0} - {1} AS INTEGER)
    day(date) -> int = CAST(day({0}) AS INTEGER)
    dayofmonth(date) -> int = CAST(day({0}) AS INTEGER)
    dayofweek(date) -> int = CAST(dayofweek({0}) + 1 AS INTEGER)
    dayofyear(date) -> int = CAST(dayofyear({0}) AS INTEGER)
    hour(timestamp) -> int = CAST(hour({0}) AS INTEGER)
    last_day(date) -> date = last_day({0})
    make_date(int, int, int) -> date = TRY(make_date({0}, {1}, {2}))
    minute(timestamp) -> int = CAST(minute({0}) AS INTEGER)
    month(date) -> int = CAST(month({0}) AS INTEGER)
    now() -> timestamp = CAST(current_timestamp AS TIMESTAMP)
    quarter(date) -> int = CAST(quarter({0}) AS INTEGER)
    second(timestamp) -> int = CAST(second({0}) AS INTEGER)
    to_date(date) -> date = {0}
    to_timestamp(timestamp) -> timestamp = {0}
    trunc(date, day_unit) -> date = CAST(date_trunc({1}, {0}) AS DATE)
    unix_date(date!) -> int = CAST({0} - DATE '1970-01-01' AS INTEGER)
    unix_seconds(timestamp!) -> bigint = spark_seconds({0})
    weekday(date) -> int = CAST(isodow({0}) - 1 AS INTEGER)
    weekofyear(date) -> int = CAST(weekofyear({0}) AS INTEGER)
    year(date) -> int = CAST(year({0}) AS INTEGER)
"""

_CONDITIONS = """
    coalesce(T...) -> T = coalesce({*})
    equal_null(C, C) -> boolean = ({0} IS NOT DISTINCT FROM {1})
    if(boolean, T, T) -> T = CASE WHEN {0} THEN {1} ELSE {2} END
    ifnull(T, T) -> T = coalesce({0}, {1})
    isnotnull(any) -> boolean = ({0} IS NOT NULL)
    isnull(any) -> boolean = ({0} IS NULL)
    nvl(T, T) -> T = coalesce({0}, {1})
    nvl2(any, T, T) -> T = CASE WHEN {0} IS NOT NULL THEN {1} ELSE {2} END
    array(T...) -> array<T> = [{*}]
    sequence(int, int) -> array<int> = generate_series({0}, {1}, CASE WHEN {0} <= {1} THEN 1 ELSE -1 END)::INTEGER[]
    sequence(bigint, bigint) -> array<bigint> = generate_series({0}, {1}, CASE WHEN {0} <= {1} THEN 1 ELSE -1 END)
"""


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call a function.

    Attributes:
        name: in lower case.
        arguments: the type of each one; the last one may be repeated (`...`).
        result: its type; a number means that of an argument.
        sql: the translation to DuckDB.
    """

    name: str
    arguments: tuple[str, ...]
    result: str
    sql: str

    def takes(self, count: int) -> bool:
        """Whether it can be called with this number of arguments."""
        own = len(self.arguments)
        return count >= own if self.arguments and self.arguments[-1].endswith("...") else count == own

    def argument(self, place: int) -> str:
        """Return the type of an argument."""
        return self.arguments[min(place, len(self.arguments) - 1)].removesuffix("...")


def _signatures(*tables: str) -> Iterator[Signature]:
    for line in filter(str.strip, "".join(tables).splitlines()):
        found = re.fullmatch(r"\s*(\w+)\((.*?)\) -> (\S+) = (.*)", line)
        assert found, line
        name, arguments, result, sql = found.groups()
        yield Signature(name, tuple(arguments.split(", ")) if arguments else (), result, sql)


SIGNATURES: Final = tuple(_signatures(_AGGREGATES, _WINDOWS, _NUMBERS, _TEXTS, _TIMES, _CONDITIONS))
"""Functions that DuckDB computes like Spark."""

WINDOW_FUNCTIONS: Final = frozenset(each.name for each in _signatures(_WINDOWS))
"""Functions that require OVER."""

UNORDERED: Final = frozenset({"any_value", "first", "last"})
"""Functions that depend on an order, which only OVER can define."""

_SPARK_AGGREGATES = """
    approx_count_distinct approx_percentile array_agg bool_xor collect_list collect_set corr first grouping
    histogram_numeric kurtosis last listagg max_by min_by mode percentile_approx percentile_cont percentile_disc
    regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy skewness string_agg
    try_avg try_sum
"""
_SPARK_SCALARS = """
    acosh aggregate array_append array_compact array_contains array_distinct array_except array_insert
    array_intersect array_join array_max array_min array_position array_prepend array_remove array_repeat array_size
    array_sort array_union arrays_overlap arrays_zip asinh atanh base64 bin bit_count bround btrim cardinality char
    chr conv convert_timezone cot crc32 csc curdate date date_part dateadd decode double element_at elt encode expm1
    factorial filter find_in_set flatten float forall format_number format_string from_unixtime from_utc_timestamp
    hash hex hypot ilike initcap int json_array_length levenshtein like log1p make_timestamp map map_concat
    map_entries map_filter map_from_arrays map_from_entries map_keys map_values mask mod months_between named_struct
    negative next_day nullif overlay parse_url pmod positive printf regexp regexp_count regexp_extract
    regexp_extract_all regexp_instr regexp_like regexp_replace regexp_substr reverse rint rlike sec sentences sha2
    shiftleft shiftright shiftrightunsigned shuffle size slice sort_array soundex split_part str_to_map string
    struct substring_index timestamp timestamp_micros timestamp_millis timestamp_seconds to_char to_json to_number
    to_unix_timestamp to_utc_timestamp transform transform_keys transform_values translate try_add try_divide
    try_element_at try_multiply try_subtract try_to_number try_to_timestamp typeof unbase64 unhex unix_micros
    unix_millis unix_timestamp url_decode url_encode width_bucket xxhash64 zip_with
"""

AGGREGATES: Final = frozenset([*(each.name for each in _signatures(_AGGREGATES)), *_SPARK_AGGREGATES.split()])
"""Functions of many rows."""

SPARK_ONLY: Final = frozenset([*_SPARK_AGGREGATES.split(), *_SPARK_SCALARS.split()])
"""Functions that only read their arguments, and whose values on DuckDB may differ."""

FUNCTIONS: Final = frozenset([*(each.name for each in SIGNATURES), *SPARK_ONLY, "explode", "posexplode"])
"""Names of all functions, in lower case."""
