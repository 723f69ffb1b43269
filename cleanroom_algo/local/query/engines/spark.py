"""Spark on this machine, in a session of this process, for queries that DuckDB does not compute like Spark.

The tables of the collaboration are temporary views of the columns that the query uses; its catalog is in memory, and
contains nothing else. One session serves all queries of a process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from sqlglot import exp

from cleanroom_algo.errors import (
    CleanroomError,
    Problem,
    QueryError,
    QueryTooLargeError,
    SparkUnavailableError,
    TableUnreadableError,
)
from cleanroom_algo.local.objects.s3 import S3Prefix
from cleanroom_algo.local.query.engines.database import identifier, load_tables, open_database, quoted
from cleanroom_algo.local.query.engines.table_files import is_cluster
from cleanroom_algo.local.query.resolution import MEMBERS, Resolution

if TYPE_CHECKING:
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import AnalysisException
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

Properties = tuple[tuple[str, str], ...]
"""Properties of Spark, by name."""

_PARTITIONS: Final = "spark.sql.shuffle.partitions"
_PARTITION_BYTES: Final = 32 << 20  # of tables; to divide less for a sort takes longer than to sort it
_ANSI: Final = "spark.sql.ansi.enabled"
_DEFAULTS: Final = {
    "spark.master": "local[*]",
    # Queries on samples end before the second compiler would save time.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}
_OF_VALUES: Final = {
    _ANSI: "false",  # unless a query's own session sets it
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "false",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
"""Settings that values of results depend on, and what queries can access."""

_TAIL: Final = 64 * 1024  # bytes at the end of Java's output
_LINE: Final = 200  # characters of a line in it

_lock = threading.Lock()
_running: dict[Properties, SparkSession] = {}
_java_log: list[IO[bytes]] = []  # Java's output: its log may quote values, and must not go to the terminal


def compute(resolution: Resolution, draft: Path, properties: Properties = (), *, ansi: bool = False) -> None:
    """Create the table `result` of a database in a folder.

    Args:
        resolution: of the query.
        draft: the folder.
        properties: of Spark, by name.
        ansi: whether an undefined value is an error, and not null.

    Raises:
        SparkUnavailableError: CR-JOB-404. QueryError: CR-JOB-401, Spark cannot run the query.
        TableUnreadableError: CR-JOB-402. QueryTooLargeError: CR-JOB-405.
    """
    session = spark_session(properties).newSession()  # it cannot see the views of another query
    log_start = _log_size()
    with open_database(draft) as connection:
        tables = load_tables(connection, resolution)
        for name in tables:
            rows = f"SELECT * FROM {MEMBERS}.{identifier(name)}"  # noqa: S608
            connection.execute(f"COPY ({rows}) TO {quoted(str(draft / f'{name}.parquet'))} (FORMAT parquet)")
    try:
        session.conf.set(_ANSI, str(ansi).lower())
        if _PARTITIONS not in dict(properties) and len(tables) == len(resolution.columns):
            size = sum((draft / f"{name}.parquet").stat().st_size for name in tables)
            session.conf.set(_PARTITIONS, size // _PARTITION_BYTES + 1)
        for name, columns in tables.items():
            table = session.read.schema(_schema(columns)).parquet(str(draft / f"{name}.parquet"))
            table.createOrReplaceTempView(f"{MEMBERS}_{name}")
        for name, used in resolution.columns.items():
            if isinstance(location := resolution.tables[name.lower()].location, S3Prefix):
                _view_of_s3(session, name, location, used)
        session.sql(spark_sql(resolution)).write.parquet(str(draft / "spark"))
    except TableUnreadableError:
        raise
    except Exception as error:  # of pyspark, of the bridge to Java, or of its socket
        raise _failed(error, log_start) from None
    with open_database(draft) as connection:
        rows = f"SELECT * FROM read_parquet({quoted(str(draft / 'spark/*.parquet'))})"  # noqa: S608
        connection.execute(f"CREATE TABLE result AS {rows}")
    for name in tables:
        (draft / f"{name}.parquet").unlink()
    shutil.rmtree(draft / "spark")


def as_int96(files: Sequence[Path], properties: Properties = ()) -> None:
    """Write the timestamps of Parquet files as INT96, as Spark does by default.

    Raises:
        SparkUnavailableError: CR-JOB-404. QueryTooLargeError: CR-JOB-405.
    """
    session = spark_session(properties).newSession()
    session.conf.set("spark.sql.parquet.outputTimestampType", "INT96")
    session.conf.set("spark.sql.parquet.inferTimestampNTZ.enabled", "true")  # these are never INT96
    log_start = _log_size()
    for path in files:
        copy = path.with_name(f".{path.name}")
        try:
            session.read.parquet(str(path)).coalesce(1).write.parquet(str(copy))
        except Exception as error:  # as above
            raise _failed(error, log_start) from None
        (written,) = copy.glob("part-*.parquet")
        written.replace(path)
        shutil.rmtree(copy)


def _view_of_s3(session: SparkSession, name: str, location: S3Prefix, columns: Sequence[str]) -> None:
    """Let Spark read the used columns of a table in S3 itself."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import AnalysisException

    shown = [exp.to_identifier(each, quoted=True).sql(dialect="spark") for each in columns] or ["true AS present"]
    objects = session.read.option("pathGlobFilter", "*.parquet")
    try:
        table = objects.parquet(f"s3a://{location.bucket}/{location.key}").selectExpr(*shown)
    except (AnalysisException, Py4JJavaError) as error:
        raise TableUnreadableError(
            f"Spark cannot read table {name!r} at {location}",
            expected=f"Parquet files with the columns {', '.join(columns)}, and a Spark that can read s3a://",
            fix='check the columns; add hadoop-aws with "spark.jars.packages", and the properties '
            '"spark.hadoop.fs.s3a.*" that your S3 needs, to [spark]',
            problems=[Problem("Spark", _reason(error))],
        ) from None
    table.createOrReplaceTempView(f"{MEMBERS}_{name.lower()}")


def _reason(error: AnalysisException | Py4JJavaError) -> str:
    """Return Java's words, or Spark's condition: its words can name columns that the query may not use."""
    from pyspark.errors import PySparkException

    if isinstance(error, PySparkException):
        return error.getCondition() or type(error).__name__
    return str(error.java_exception).partition("\n")[0][:_LINE]


def _schema(columns: Mapping[str, str]) -> str:
    """Return the schema of a table, because Spark would start a job to find it."""
    return ", ".join(
        f"{exp.to_identifier(name, quoted=True).sql(dialect='spark')} {kind}" for name, kind in columns.items()
    )


def spark_sql(resolution: Resolution) -> str:
    """Return a query in Spark's dialect, over the views of its tables."""
    statement = resolution.statement.copy()
    for table in statement.find_all(exp.Table):
        if table.db:
            table.set("db", None)
            table.set("this", exp.to_identifier(f"{MEMBERS}_{table.name.lower()}", quoted=True))
    return statement.sql(dialect="spark", comments=False)


def spark_session(properties: Properties = ()) -> SparkSession:
    """Return the session of this process; the first call starts Spark.

    Raises:
        SparkUnavailableError: CR-JOB-404, pyspark or Java is missing, a property cannot be set, or is already set
            otherwise.
    """
    with _lock:
        if _running and _has_ended():
            _end()
        if properties not in _running:
            if _running:
                raise _unavailable(
                    "Spark runs in this process with other properties", "start another process for these"
                )
            _running[properties] = _start(dict(properties))
        return _running[properties]


def stop_spark() -> None:
    """End the session of this process, if there is one."""
    with _lock:
        _end()
        for each in _java_log:
            each.close()
        _java_log.clear()


def _start(properties: dict[str, str]) -> SparkSession:
    try:
        from pyspark import SparkConf, SparkContext
        from pyspark.java_gateway import launch_gateway
        from pyspark.sql import SparkSession as Session
    except ImportError:
        raise _unavailable("pyspark is not installed", "pip install 'cleanroom-algo[spark]'") from None
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise _unavailable("Java is not installed", "install Java 17, or set JAVA_HOME")
    if fixed := [name for name in properties if name in _OF_VALUES or not name.startswith("spark.")]:
        raise _unavailable(
            f"{', '.join(fixed)} cannot be set in [spark]", "leave them out; ANSI mode is the switch spark_ansi"
        )
    settings = {**_DEFAULTS, **properties, **_OF_VALUES}
    log.warning("starting Spark (%s); this takes some seconds", settings["spark.master"])  # so that it is visible
    warnings.filterwarnings("ignore", category=FutureWarning, module="pyspark")  # about pandas, which is not used here
    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        # Pyspark would write errors with values of rows to the terminal, and format all handlers of its loggers anew.
        logging.getLogger(name).disabled = True
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if not is_cluster(settings):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    configuration = SparkConf(loadDefaults=False).setAppName("cleanroom-algo").setAll(list(settings.items()))
    written = tempfile.TemporaryFile()  # noqa: SIM115  (as long as Java runs)
    for earlier in _java_log:
        earlier.close()
    _java_log[:] = [written]
    try:
        gateway: Any = launch_gateway(configuration, {"stdout": written, "stderr": written})  # type: ignore[no-untyped-call]
        SparkContext(conf=configuration, gateway=gateway)
        return Session.builder.getOrCreate()
    except Exception as error:  # pyspark has no class for errors before Java responds
        causes = [line for line in _written().splitlines() if "Exception: " in line or "Error: " in line]
        problems = [Problem("Java", line.strip()[:_LINE]) for line in causes[-1:]]
        _end()
        raise _unavailable(
            f"Spark does not start ({type(error).__name__}, spark.master {settings['spark.master']})",
            "run `java -version`: Spark needs 17; check whether the master can be reached, and check [spark]",
            problems,
        ) from error


def _end() -> None:
    """End Spark and Java, even if one of them has already ended, so that both can start again.

    Pyspark would keep one Java process for its lifetime: the names with an underscore are private to it, and
    pyproject.toml limits its version.
    """
    from pyspark import SparkContext

    _running.clear()
    context, gateway = SparkContext._active_spark_context, SparkContext._gateway
    SparkContext._active_spark_context = SparkContext._gateway = SparkContext._jvm = None
    if gateway is None:
        return
    for end in (*([context.stop] if context is not None else []), gateway.shutdown, gateway.proc.stdin.close):
        with contextlib.suppress(Exception):  # of the bridge to a Java process that has ended
            end()
    gateway.proc.wait()


def _has_ended() -> bool:
    from pyspark import SparkContext

    return SparkContext._gateway is None or SparkContext._gateway.proc.poll() is not None


def _written(start: int = 0) -> str:
    """Return the end of Java's output after a position. Java continues to write at its own position."""
    return os.pread(_java_log[0].fileno(), _TAIL, max(_log_size() - _TAIL, start)).decode(errors="replace")


def _log_size() -> int:
    return os.fstat(_java_log[0].fileno()).st_size


def _failed(error: Exception, log_start: int) -> CleanroomError:
    """Return an error with the name of Spark's error condition, but without its text about values."""
    from py4j.protocol import Py4JNetworkError
    from pyspark.errors import PySparkException

    # A task without memory ends Java; then the query may get different errors.
    has_ended = isinstance(error, Py4JNetworkError | OSError)
    lacks_memory = "OutOfMemory" in str(error) + _written(log_start)
    if has_ended or lacks_memory:
        with _lock:
            _end()
    if lacks_memory:
        return QueryTooLargeError(
            "the query needs more memory than Spark has",
            expected="a query that fits into spark.driver.memory, or a master with more",
            fix='set "spark.driver.memory" = "8g" in [spark] of settings.toml, or read fewer rows or columns',
        )
    if has_ended:
        return _unavailable("Spark has ended", "check whether the machine has too little memory, and try again")
    condition = (error.getCondition() if isinstance(error, PySparkException) else None) or type(error).__name__
    return QueryError(
        "the query failed on Spark",
        expected="a query that runs on every row",
        fix="look up Spark's error condition; check column names and types",
        problems=[Problem("queryString", f"Spark's {condition}")],
    )


def _unavailable(what: str, fix: str, problems: Sequence[Problem] = ()) -> SparkUnavailableError:
    return SparkUnavailableError(
        what,
        expected='pyspark and Java 17, for query_engine = "spark"',
        fix=f'{fix}; or set query_engine = "duckdb"',
        problems=problems,
    )
