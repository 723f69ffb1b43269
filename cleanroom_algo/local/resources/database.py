"""The SQLite database of a local clean room: its tables, and transactions for several threads and processes.

WAL mode, so that readers and one writer do not wait for each other. Every change is a transaction, so that kill -9 at
any time leaves the state before or after it.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from cleanroom_algo.errors import RoomStateError
from cleanroom_algo.local.resources.private_folder import make_private

FORMAT = 2
BUSY_SECONDS = 30.0  # a writer waits for others; transactions take milliseconds, checkpoints of the WAL a little more

_SCHEMA = """
CREATE TABLE records (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL, key TEXT NOT NULL, version TEXT NOT NULL,
  account TEXT NOT NULL, membership TEXT NOT NULL, collaboration TEXT NOT NULL, parent TEXT NOT NULL,
  name TEXT NOT NULL, status TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL,
  document TEXT NOT NULL, private TEXT NOT NULL,
  UNIQUE (kind, key, version)
) STRICT;
CREATE INDEX records_membership ON records (kind, membership, seq);
CREATE INDEX records_collaboration ON records (kind, collaboration, seq);
CREATE INDEX records_account ON records (kind, account, seq);
CREATE INDEX records_parent ON records (kind, parent, seq);
CREATE INDEX records_name ON records (kind, name);
CREATE INDEX records_status ON records (kind, status);
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL, key TEXT NOT NULL, version TEXT NOT NULL,
  owner TEXT NOT NULL, state TEXT NOT NULL, hosts INTEGER NOT NULL, stop INTEGER NOT NULL DEFAULT 0,
  UNIQUE (kind, key, version)
) STRICT;
CREATE TABLE set_aside (
  kind TEXT NOT NULL, key TEXT NOT NULL, version TEXT NOT NULL, document TEXT NOT NULL, private TEXT NOT NULL
) STRICT;
"""


class Database:
    """The database. Safe for use by several threads and processes.

    Args:
        path: of its file; created if missing.

    Raises:
        RoomStateError: CR-ROM-002, the file is damaged or of a later format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        try:
            make_private(path.parent)
            if not path.exists():  # SQLite would let others read it; opening it twice would release its locks
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            written = self._format()
        except OSError as error:
            raise RoomStateError.refused(path.parent, error) from error
        except sqlite3.OperationalError as error:
            self.close()
            raise RoomStateError.refused(self.path, error) from error
        except sqlite3.DatabaseError as error:
            self.close()
            raise self._unusable(f"{path} cannot be used: {error}") from error
        if written != FORMAT:
            self.close()
            what = f"{path} was written by {'a later' if written > FORMAT else 'an earlier'} version of cleanroom-algo"
            raise self._unusable(what)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._guard:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._local = threading.local()

    @contextmanager
    def transaction(self) -> Iterator[bool]:
        """Make the changes inside one transaction: all of them or, after an exception, none. Can be nested.

        Yields:
            Whether it is the outermost: others see the changes when it ends.

        Raises:
            RoomStateError: CR-ROM-002, the disk is full or cannot be written.
        """
        connection = self._connection()
        if connection.in_transaction:
            yield False
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield True
            connection.commit()
        except BaseException as error:
            connection.rollback()
            if isinstance(error, sqlite3.OperationalError):
                raise RoomStateError.refused(self.path, error) from error
            raise

    def _connection(self) -> sqlite3.Connection:
        """Return the connection of this thread."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # in WAL mode, this is safe against kill -9
            self._local.connection = connection
            with self._guard:
                self._connections.append(connection)
        return connection

    def _format(self) -> int:
        """Return the format of the records; in a new file, create the tables first."""
        connection = self._connection()
        read = "SELECT user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_user_version"
        if connection.execute(read).fetchone() == (0, 0):
            with self.transaction():  # another process may do the same
                if connection.execute(read).fetchone() == (0, 0):
                    for statement in filter(str.strip, _SCHEMA.split(";")):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {FORMAT}")
        return int(connection.execute(read).fetchone()[0])

    def _unusable(self, what: str) -> RoomStateError:
        return RoomStateError(
            what,
            expected=f"a database of cleanroom-algo, format {FORMAT}",
            fix=f"clear it with `cleanroom-algo clean --home {shlex.quote(str(self.path.parent))}`, or choose another "
            "with --home",
        )
