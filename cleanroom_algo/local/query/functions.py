"""The functions that a member's query may call: what is not listed is refused, and not reached in any engine.

The names are those of Spark SQL. Listed are functions that read nothing but their arguments, and whose translation to
DuckDB runs. Left out, beside what Spark does not have: functions that read files, catalogs, settings or the session,
and those whose values are known to be others than Spark's (`dayofweek`, `hash`, `percentile`, `typeof` and more).
"""

from __future__ import annotations

from typing import Final

_AGGREGATES = """
    any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or collect_list collect_set corr count count_if
    covar_pop covar_samp first first_value kurtosis last last_value max max_by mean median min min_by mode skewness
    stddev stddev_pop stddev_samp sum var_pop var_samp variance
"""
_WINDOWS = "cume_dist dense_rank lag lead nth_value ntile percent_rank rank row_number"
_NUMBERS = """
    abs acos asin atan atan2 cbrt ceil ceiling cos cosh cot degrees div exp factorial floor greatest isnan least ln log
    log10 log2 mod pi pow power radians rand random round shiftleft shiftright sign signum sin sinh sqrt tan tanh
    try_divide
"""
_TEXTS = """
    ascii bit_length char char_length character_length chr concat concat_ws contains endswith format_string hex initcap
    instr lcase left len length levenshtein like ilike locate lower lpad ltrim md5 overlay position regexp_extract
    regexp_like regexp_replace repeat replace reverse right rlike rpad rtrim sha sha1 sha2 space split split_part
    startswith substr substring translate trim ucase upper uuid
"""
_TIMES = """
    add_months curdate current_date current_timestamp date date_add date_diff date_format date_from_unix_date date_part
    date_sub date_trunc dateadd datediff day dayofmonth dayofyear extract from_unixtime hour last_day make_date
    make_timestamp minute month months_between next_day now quarter second timestamp timestampadd timestampdiff to_date
    to_timestamp to_utc_timestamp trunc unix_date unix_seconds weekofyear year
"""
_CONDITIONS = "and case coalesce decode equal_null if ifnull nullif nvl nvl2 or xor"
_CASTS = "boolean cast double float int string try_cast"
_COLLECTIONS = """
    array array_append array_contains array_distinct array_except array_intersect array_join array_max array_min
    array_position array_remove array_size array_sort cardinality element_at explode flatten map map_keys map_values
    named_struct sequence size slice sort_array struct to_json
"""

FUNCTIONS: Final = frozenset(
    " ".join((_AGGREGATES, _WINDOWS, _NUMBERS, _TEXTS, _TIMES, _CONDITIONS, _CASTS, _COLLECTIONS)).split()
)
"""Names of the functions, in lower case."""
