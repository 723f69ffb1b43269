"""The files of the tables that a query uses: on this machine, or in S3 for a cluster that reads them itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from cleanroom_algo.errors import NoObjectsError, ObjectLostError, ObjectStoreError, TableUnreadableError
from cleanroom_algo.local.objects.download import Downloads
from cleanroom_algo.local.objects.listing import objects_of
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.query.plan import QueryPlan
from cleanroom_algo.local.query.resolution import Resolution
from cleanroom_algo.local.query.table import Format, Table

log = logging.getLogger(__name__)


def with_files(resolution: Resolution, plan: QueryPlan, folder: Path) -> Resolution:
    """Return a query whose tables in S3 are on this machine, or are left to a cluster.

    A cluster reads Parquet in S3 itself. CSV is read by this machine, so that its types do not depend on the engine.

    Args:
        resolution: of the query.
        plan: of the query.
        folder: for downloads.

    Raises:
        TableUnreadableError: CR-JOB-402, the objects of a table cannot be read.
    """
    used = {name.lower() for name in resolution.columns}
    is_direct = plan.engine == "spark" and is_cluster(dict(plan.spark))
    tables = {
        name: _present(table, folder / name, plan.s3_endpoint, is_direct=is_direct) if name in used else table
        for name, table in resolution.tables.items()
    }
    return replace(resolution, tables=tables)


def with_first_file(table: Table, folder: Path, endpoint: str | None) -> Table:
    """Return a table that is read only for its columns: if it is Parquet in S3, one object is downloaded.

    Args:
        table: of a collaboration.
        folder: for downloads.
        endpoint: the URL of an S3 service; as boto3 finds it if None.

    Raises:
        TableUnreadableError: CR-JOB-402, the objects of the table cannot be read.
    """
    return _present(table, folder, endpoint, is_direct=False, only_first=True)


def is_cluster(properties: dict[str, str]) -> bool:
    """Whether these Spark properties name a master other than this machine."""
    return not properties.get("spark.master", "local").startswith("local")


def _present(table: Table, folder: Path, endpoint: str | None, *, is_direct: bool, only_first: bool = False) -> Table:
    location = table.location
    if isinstance(location, Path):
        found = [location] if location.is_file() else location.rglob("*")
        return replace(table, format=table.format or _named(each.name for each in found))
    try:
        objects = objects_of(location, endpoint)
        kind = table.format or _named(each.key for each in objects)
        is_one = str(objects[0].place) == str(location)
        wanted = [each for each in objects if is_one or each.key.endswith(f".{kind}")]
        if is_direct and kind == "parquet" and wanted:
            _check_folders(table, wanted)
            return replace(table, format=kind)
        folder.mkdir(parents=True)
        Downloads(threading.Event(), log.info).bring(
            "this machine", f"table {table.name}", wanted[:1] if only_first and kind == "parquet" else wanted, folder
        )
    except (NoObjectsError, ObjectStoreError, ObjectLostError) as error:
        raise TableUnreadableError(
            f"table {table.name!r} cannot be read: {error.what}", expected=error.expected, fix=error.fix
        ) from error
    return replace(table, format=kind, location=folder / wanted[0].key if is_one else folder)


def _check_folders(table: Table, objects: Sequence[ObjectRef]) -> None:
    """Refuse folders that Spark does not read: it reads only folders named as partitions."""
    for each in objects:
        if not all("=" in part for part in each.key.split("/")[:-1]):
            raise TableUnreadableError(
                f"table {table.name!r} has an object that Spark does not read: {each.key}",
                expected="objects at the location itself, or in folders named COLUMN=VALUE",
                fix="declare the folder that contains the objects, or run queries without spark.master",
            )


def _named(names: Iterable[str]) -> Format:
    """Return the format of files if their owner has not declared it: Parquet if a name ends with it, else CSV."""
    return "parquet" if any(name.endswith(".parquet") for name in names) else "csv"
